"""The endpoints for those who run the gateway: `/livez`, `/readyz`, `/healthz` and `/metrics`.

Which question: what do orchestrators, load balancers and Prometheus read? Touches aiohttp. The rule: nothing here needs
credentials, so nothing here says more than states, counts and reasons without secrets.

`/livez` answers 200 as long as the event loop runs; restarting helps only when it does not. `/readyz` answers 200 or
503 with a reason per check; `/healthz` is the same with a summary of the servers. A down server never makes the gateway
unready: the others still need it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from aiohttp import hdrs, web

from gateway.http.readiness import Readiness, Reason
from gateway.metrics import Exposition

_NO_STORE = {hdrs.CACHE_CONTROL: "no-store"}


class Operations:
    """The aiohttp handlers. `census` counts the servers by health state."""

    def __init__(self, readiness: Readiness, census: Callable[[], Mapping[str, int]], exposition: Exposition) -> None:
        self._readiness = readiness
        self._census = census
        self._exposition = exposition

    def routes(self) -> list[web.RouteDef]:
        """The health endpoints; each answers GET and HEAD."""
        return [
            web.get("/livez", self.livez),
            web.get("/readyz", self.readyz),
            web.get("/healthz", self.healthz),
        ]

    def metrics_routes(self) -> list[web.RouteDef]:
        """`/metrics`, apart because it may have a listener of its own."""
        return [web.get("/metrics", self.metrics)]

    async def livez(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"}, headers=_NO_STORE)

    async def readyz(self, request: web.Request) -> web.Response:
        return _report(await self._readiness.reasons())

    async def healthz(self, request: web.Request) -> web.Response:
        return _report(await self._readiness.reasons(), servers=dict(self._census()))

    async def metrics(self, request: web.Request) -> web.Response:
        page = await self._exposition.page(request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=page.body, headers={hdrs.CONTENT_TYPE: page.content_type})


def _report(reasons: Sequence[Reason], **more: object) -> web.Response:
    ready = all(reason.ready for reason in reasons)
    report = {"status": "ready" if ready else "unready", "checks": [_line(reason) for reason in reasons], **more}
    return web.json_response(report, status=200 if ready else 503, headers=_NO_STORE)


def _line(reason: Reason) -> dict[str, object]:
    line: dict[str, object] = {"name": reason.check, "ok": reason.ok, "reason": reason.detail}
    return {**line, "warning": True} if reason.warning else line
