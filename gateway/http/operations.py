"""The endpoints for those who run the gateway: `/livez`, `/readyz`, `/healthz` and `/metrics`.

Which question: what do orchestrators, load balancers and Prometheus read? Touches aiohttp. The rule: nothing here needs
credentials, so nothing here says more than states, counts and reasons without secrets, and all but `/livez` (which
says nothing) is kept from pages in a browser.

`/livez` answers 200 as long as the event loop runs; restarting helps only when it does not. `/readyz` answers 200 or
503 with a reason per check, and names under `degraded` what is wrong although traffic survives it; `/healthz` is the
same with a summary of the servers. A down server never makes the gateway unready: the others still need it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiohttp import hdrs, web

from gateway.access import Frontier
from gateway.errors import HTTP_STATUS, GatewayError
from gateway.http.readiness import Readiness, Reason
from gateway.metrics import Exposition

_NO_STORE = {hdrs.CACHE_CONTROL: "no-store"}

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Operations:
    """The aiohttp handlers. `census` counts the servers by health state."""

    def __init__(self, readiness: Readiness, census: Callable[[], Mapping[str, int]], exposition: Exposition) -> None:
        self._readiness = readiness
        self._census = census
        self._exposition = exposition

    def routes(self, frontier: Callable[[], Frontier]) -> list[web.RouteDef]:
        """The health endpoints of a listener with this frontier; each answers GET and HEAD."""
        return [
            web.get("/livez", self.livez),
            web.get("/readyz", _guarded(self.readyz, frontier)),
            web.get("/healthz", _guarded(self.healthz, frontier)),
        ]

    def metrics_routes(self, frontier: Callable[[], Frontier]) -> list[web.RouteDef]:
        """`/metrics`, apart because it may have a listener of its own."""
        return [web.get("/metrics", _guarded(self.metrics, frontier))]

    async def livez(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"}, headers=_NO_STORE)

    async def readyz(self, request: web.Request) -> web.Response:
        return _report(await self._readiness.reasons())

    async def healthz(self, request: web.Request) -> web.Response:
        return _report(await self._readiness.reasons(), servers=dict(self._census()))

    async def metrics(self, request: web.Request) -> web.Response:
        await self._readiness.reasons()  # a scrape shows what holds now
        page = await self._exposition.page(request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=page.body, headers={hdrs.CONTENT_TYPE: page.content_type})


def _guarded(handler: Handler, frontier: Callable[[], Frontier]) -> Handler:
    async def guarded(request: web.Request) -> web.Response:
        try:
            frontier().check_monitor(request.headers.get(hdrs.HOST), request.headers.get(hdrs.ORIGIN))
        except GatewayError as error:
            refusal = {"status": "refused", "reason": error.message}
            return web.json_response(refusal, status=HTTP_STATUS[error.kind], headers=_NO_STORE)
        return await handler(request)

    return guarded


def _report(reasons: Sequence[Reason], **more: object) -> web.Response:
    ready = all(reason.ready for reason in reasons)
    report = {
        "status": "ready" if ready else "unready",
        "degraded": [reason.check for reason in reasons if reason.degraded],
        "checks": [_line(reason) for reason in reasons],
        **more,
    }
    return web.json_response(report, status=200 if ready else 503, headers=_NO_STORE)


def _line(reason: Reason) -> dict[str, object]:
    line: dict[str, object] = {"name": reason.check, "ok": reason.ok, "reason": reason.detail}
    return {**line, "warning": True} if reason.warning else line
