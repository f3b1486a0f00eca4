"""What every door does around its own work: Host and Origin, CORS, credentials, draining, refusals, counting.

Which question: may this HTTP request come in, and how is it told that it may not? Touches aiohttp. The rule: everything
here is decided from the request line and headers, before a byte of the body is read; a door adds only its own words.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from aiohttp import hdrs, web

from gateway.access import Frontier
from gateway.errors import HTTP_STATUS, GatewayError, Kind
from gateway.http.refusals import RefusalLog
from gateway.pipeline import Pipeline
from storage.records import Caller

_MIRROR = re.compile(r"mcp-param-[!#$%&'*+.^_`|~0-9a-z-]+", re.IGNORECASE)
"""A header that carries an argument (MCP 2026-07-28 `basic/transports/streamable-http`); a token (RFC 9110 §5.6.2)."""


class Traffic(Protocol):
    """What the doors count."""

    def request(self, door: str, era: str, status: int) -> None:
        """One HTTP request was answered."""

    def refusal(self, reason: str) -> None:
        """A request was refused before it became a call."""


@dataclass(frozen=True, slots=True)
class Manners:
    """How one door speaks: header values for browsers (Fetch §3.2) and for `Allow`, and the body of a refusal."""

    methods: str
    allow: str
    request_headers: str
    exposed: str
    refusal: Callable[[GatewayError], bytes]


Inside = Callable[[web.Request, Caller, Mapping[str, str]], Awaitable[web.StreamResponse]]
"""A door's own work for a caller that came in; the headers belong on whatever it answers."""


class Threshold:
    """The frame around a door's handlers."""

    def __init__(
        self, pipeline: Pipeline, traffic: Traffic, frontier: Callable[[], Frontier], manners: Manners
    ) -> None:
        self._pipeline = pipeline
        self._traffic = traffic
        self._frontier = frontier
        self._manners = manners
        self._refusals = RefusalLog(time.monotonic)

    async def cross(self, request: web.Request, inside: Inside, *, door: str, era: str) -> web.StreamResponse:
        """Answer one HTTP request, refusals included; `door` and `era` are what it is counted under."""
        headers = self._cors(request)
        try:
            self._frontier().check(request.headers.get(hdrs.HOST), request.headers.get(hdrs.ORIGIN))
            if request.method == hdrs.METH_OPTIONS:
                return web.Response(status=204, headers={**headers, **self._preflight(request)})
            response = await inside(request, self._caller(request), headers)
        except GatewayError as error:
            self._refusals.tell(request, error)
            response = self._refusal(error, headers)
        self._traffic.request(door, era, response.status)
        return response

    def _caller(self, request: web.Request) -> Caller:
        caller = self._pipeline.authenticate(request.headers.get(hdrs.AUTHORIZATION), request.headers.get("X-API-Key"))
        if self._pipeline.draining:
            raise GatewayError(Kind.DRAINING, "the gateway is shutting down; connect again")
        return caller

    def _refusal(self, error: GatewayError, headers: Mapping[str, str]) -> web.Response:
        self._traffic.refusal(error.reason)
        extra = dict(headers)
        if error.kind is Kind.UNAUTHENTICATED:
            extra[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="mcp-gateway"'
        if error.kind is Kind.METHOD_NOT_ALLOWED:
            extra[hdrs.ALLOW] = self._manners.allow
        if error.kind in (Kind.BODY_TOO_LARGE, Kind.BODY_TOO_SLOW, Kind.DRAINING):
            extra[hdrs.CONNECTION] = "close"
        return web.Response(
            body=self._manners.refusal(error),
            status=HTTP_STATUS[error.kind],
            content_type="application/json",
            headers=extra,
        )

    def _cors(self, request: web.Request) -> dict[str, str]:
        """Headers that let an allowed browser origin read the answer (Fetch §3.2)."""
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None:
            return {}
        return {
            hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin,
            hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: self._manners.exposed,
            hdrs.VARY: hdrs.ORIGIN,
        }

    def _preflight(self, request: web.Request) -> dict[str, str]:
        """What a browser may send. Headers that carry arguments have no list: those that it asks for are named back."""
        asked = (name.strip() for name in request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "").split(","))
        mirrors = [name for name in asked if _MIRROR.fullmatch(name)]
        return {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: self._manners.methods,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ", ".join((self._manners.request_headers, *mirrors)),
            hdrs.ACCESS_CONTROL_MAX_AGE: "600",
        }
