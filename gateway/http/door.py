"""The doors that MCP clients knock at: `/mcp`, `/servers/{slug}/mcp` and `/groups/{group}/mcp`.

Which question: what must hold of an HTTP request before its body means anything, and what does each HTTP method do?
Touches aiohttp. The rule: everything here is decided from the request line and headers; what is in the body belongs
to the pipeline.

MCP 2026-07-28 `basic/transports/streamable-http`, MCP 2025-11-25 `basic/transports`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from aiohttp import hdrs, web

from gateway.access import Frontier
from gateway.errors import JSONRPC_CODE, GatewayError, Kind
from gateway.http.reply import Patience, Reply, Streams, accepts
from gateway.http.threshold import Manners, Threshold, Traffic
from gateway.naming import SLUG
from gateway.pipeline import Inbound, Pipeline
from gateway.protocol import jsonrpc
from gateway.routing import AGGREGATE, group_key
from gateway.sessions import Session
from gateway.settings import Limits
from storage.records import Caller
from storage.tasks import Tasks

SESSION = "Mcp-Session-Id"
LAST_EVENT = "Last-Event-ID"
EXPOSED = "Mcp-Session-Id, WWW-Authenticate"
ALLOWED_HEADERS = (
    "Authorization, Content-Type, Accept, Last-Event-ID, MCP-Protocol-Version, Mcp-Method, Mcp-Name, Mcp-Session-Id, "
    "X-API-Key, X-Chat-Session-Id, X-Chat-Message-Id"
)
METHODS = "DELETE, GET, OPTIONS, POST"


class Doors:
    """The aiohttp handlers of every MCP endpoint."""

    def __init__(
        self,
        pipeline: Pipeline,
        tasks: Tasks,
        traffic: Traffic,
        streams: Streams,
        *,
        limits: Limits,
        frontier: Callable[[], Frontier],
    ) -> None:
        self._pipeline = pipeline
        self._tasks = tasks
        self._streams = streams
        self._limits = limits
        self._patience = Patience(stalled=limits.stalled_reader)
        self._threshold = Threshold(pipeline, traffic, frontier, _MANNERS)

    def routes(self) -> list[web.RouteDef]:
        """The routes of all doors; a trailing slash is the same door, since a redirect would lose the body."""
        paths = ("/mcp", "/servers/{server}/mcp", "/groups/{group}/mcp")
        return [web.route("*", path + slash, self.handle) for path in paths for slash in ("", "/")]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one HTTP request, refusals included."""
        door = next(iter(request.match_info), "aggregate")
        return await self._threshold.cross(request, self._admitted, door=door, era=_era(request))

    async def _admitted(self, request: web.Request, caller: Caller, headers: Mapping[str, str]) -> web.StreamResponse:
        endpoint = endpoint_key(request.match_info)
        match request.method:
            case hdrs.METH_POST:
                return await self._post(request, caller, endpoint, headers)
            case hdrs.METH_GET:
                return await self._get(request, caller, endpoint, headers)
            case hdrs.METH_DELETE:
                return await self._delete(request, caller, endpoint, headers)
        raise _not_allowed()

    async def _post(
        self, request: web.Request, caller: Caller, endpoint: str, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        check_media(request)
        body = await read_body(request, self._limits)
        reply = Reply(request, self._tasks, self._patience, headers, self._streams)
        try:
            streams = accepts(request, "text/event-stream")
            await self._pipeline.handle(Inbound(endpoint, caller, request.headers, body, streams), reply)
        finally:
            reply.leave()
        return reply.response

    async def _get(
        self, request: web.Request, caller: Caller, endpoint: str, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        session = self._session(request, caller, endpoint)
        if not accepts(request, "text/event-stream"):
            raise GatewayError(Kind.NOT_ACCEPTABLE, "GET opens a stream: accept text/event-stream")
        last = request.headers.get(LAST_EVENT)
        stream, after = session.resume(last) if last else (session.stand(), None)
        reply = Reply(request, self._tasks, self._patience, headers, self._streams, at_once=True)
        self._pipeline.attend(session)
        try:
            await stream.relay(reply, after)
        finally:
            reply.leave()
            session.leave(stream)
            self._pipeline.attend(session)
        return reply.response

    async def _delete(
        self, request: web.Request, caller: Caller, endpoint: str, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        await self._pipeline.end_session(self._session(request, caller, endpoint))
        return web.Response(status=204, headers=headers)

    def _session(self, request: web.Request, caller: Caller, endpoint: str) -> Session:
        """The session that a GET or DELETE names; without one there is nothing to stream or end (405)."""
        if (token := request.headers.get(SESSION)) is None:
            raise _not_allowed()
        return self._pipeline.session(token, caller, endpoint)


def endpoint_key(chosen: Mapping[str, str]) -> str:
    """The key of the endpoint of this `server` or `group`, or of the aggregate. Raises UNKNOWN_SERVER for what can be
    no name, so that each endpoint has one path alone.
    """
    for kind, name in chosen.items():
        if not SLUG.fullmatch(name):
            words = f"no {kind} {name[:64]!r} is registered here"
            raise GatewayError(Kind.UNKNOWN_SERVER, words, data={"param": kind})
        return group_key(name) if kind == "group" else name
    return AGGREGATE


def check_media(request: web.Request) -> None:
    """Raises UNSUPPORTED_MEDIA or NOT_ACCEPTABLE for a POST that carries no JSON or accepts no answer of ours."""
    if request.content_type != "application/json":
        raise GatewayError(Kind.UNSUPPORTED_MEDIA, "Content-Type must be application/json")
    coding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower()
    if coding != "identity":
        raise GatewayError(Kind.UNSUPPORTED_MEDIA, f"Content-Encoding {coding[:32]!r} is not accepted; send it plain")
    charset = (request.charset or "utf-8").lower()
    if charset not in {"utf-8", "utf8", "us-ascii"}:
        raise GatewayError(Kind.UNSUPPORTED_MEDIA, "JSON travels as UTF-8 (RFC 8259 §8.1)")
    if not (accepts(request, "application/json") or accepts(request, "text/event-stream")):
        raise GatewayError(Kind.NOT_ACCEPTABLE, "accept application/json and text/event-stream")


async def read_body(request: web.Request, limits: Limits) -> bytes:
    """The whole body. Raises BODY_TOO_LARGE or BODY_TOO_SLOW, naming the limit; never holds more than the limit."""
    if request.content_length is not None and request.content_length > limits.request_bytes:
        raise _too_large(limits.request_bytes)
    try:
        async with asyncio.timeout(limits.request_seconds):
            return await _read(request, limits.request_bytes)
    except TimeoutError as error:
        words = f"the body took longer than limits.request_seconds, {limits.request_seconds:g} s"
        raise GatewayError(Kind.BODY_TOO_SLOW, words) from error


async def _read(request: web.Request, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(limit: int) -> GatewayError:
    return GatewayError(Kind.BODY_TOO_LARGE, f"the body is larger than limits.request_bytes, {limit} bytes")


def _not_allowed() -> GatewayError:
    return GatewayError(Kind.METHOD_NOT_ALLOWED, "only POST is served without a session")


def _refusal(error: GatewayError) -> bytes:
    return jsonrpc.error(None, JSONRPC_CODE[error.kind], error.message, error.data)


_MANNERS = Manners(METHODS, "POST", ALLOWED_HEADERS, EXPOSED, _refusal)


def _era(request: web.Request) -> str:
    return "legacy" if request.headers.get("MCP-Protocol-Version", "") < "2026" else "modern"
