"""The door for chat back ends that are no MCP clients: `GET /api/tools` and `POST /api/tool-calls`.

Which question: how does a chat completions API's turn become calls, and their answers its next messages? Touches
aiohttp and the pipeline. The rule: a tool call travels the road of an MCP client's, as a modern request of its own, so
that routing, health, records and limits are one thing; only the outermost shape is different here.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from aiohttp import hdrs, web
from msgspec import Raw
from multidict import CIMultiDict

from gateway import chat_calls, chat_tools
from gateway.access import Frontier
from gateway.chat_calls import Post, ToolCall, Turn
from gateway.chat_tools import Functions
from gateway.errors import GatewayError, Kind
from gateway.http.door import check_media, endpoint_key, read_body
from gateway.http.reply import Patience, Reply, Streams, accepts
from gateway.http.threshold import Manners, Threshold, Traffic
from gateway.pipeline import Inbound, Pipeline
from gateway.protocol.jsonrpc import Message, members
from gateway.settings import Limits
from gateway.sink import Answer, Tell, cannot_be_asked
from storage.records import Caller
from storage.tasks import Tasks

PARALLEL = 16
"""Calls of one request that run at once."""

LISTS_KEPT = 32
"""Lists that are kept as functions; one that is the same as before is not converted again."""

ATTEMPTS = 3
"""How often a list that changes between two pages is begun anew."""

REQUEST_HEADERS = (
    "Authorization, Content-Type, Accept, If-None-Match, X-API-Key, X-Chat-Session-Id, X-Chat-Message-Id, traceparent"
)
EXPOSED = "ETag, WWW-Authenticate"
LISTING = Manners("GET, HEAD, OPTIONS", "GET, HEAD, OPTIONS", REQUEST_HEADERS, EXPOSED, chat_calls.refusal)
CALLING = Manners("OPTIONS, POST", "OPTIONS, POST", REQUEST_HEADERS, EXPOSED, chat_calls.refusal)


class ChatDoor:
    """The aiohttp handlers of both endpoints."""

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
        self._traffic = traffic
        self._streams = streams
        self._limits = limits
        self._patience = Patience(silence=math.inf, stalled=limits.stalled_reader)
        self._listing = Threshold(pipeline, traffic, frontier, LISTING)
        self._calling = Threshold(pipeline, traffic, frontier, CALLING)
        self._functions = lru_cache(LISTS_KEPT)(chat_tools.functions)

    def routes(self) -> list[web.RouteDef]:
        """Both endpoints; a trailing slash is the same one, since a redirect would lose the body."""
        handlers = {"/api/tools": self.tools, "/api/tool-calls": self.tool_calls}
        return [web.route("*", path + slash, handler) for path, handler in handlers.items() for slash in ("", "/")]

    async def tools(self, request: web.Request) -> web.StreamResponse:
        """Answer with the functions of the chosen servers."""
        return await self._listing.cross(request, self._list, door="chat", era="none")

    async def tool_calls(self, request: web.Request) -> web.StreamResponse:
        """Run the tool calls of one assistant message, and answer with a tool message for each."""
        return await self._calling.cross(request, self._call, door="chat", era="none")

    async def _list(self, request: web.Request, caller: Caller, headers: Mapping[str, str]) -> web.StreamResponse:
        _check(request, hdrs.METH_GET, hdrs.METH_HEAD)
        functions = await self._functions_of(_BackEnd.of(request, caller))
        told = {**headers, hdrs.ETAG: functions.etag, hdrs.CACHE_CONTROL: "private, no-cache"}
        if _is_known(request, functions.etag):
            return web.Response(status=304, headers=told)
        if request.method == hdrs.METH_HEAD:
            return web.Response(body=functions.body, content_type="application/json", headers=told)
        return await self._answer(request, Answer(functions.body, headers=told))

    async def _call(self, request: web.Request, caller: Caller, headers: Mapping[str, str]) -> web.StreamResponse:
        _check(request, hdrs.METH_POST)
        check_media(request)
        turn = chat_calls.open_turn(await read_body(request, self._limits), self._limits.depth)
        back = _BackEnd.of(request, caller)
        functions = await self._functions_of(back)
        running = _Running(self._pipeline, self._traffic, back, functions, self._limits.response_bytes)
        return await self._answer(request, Answer(await running.whole(turn), headers=headers))

    async def _functions_of(self, back: _BackEnd) -> Functions:
        """The functions of the endpoint that the back end chose. Raises UNKNOWN_SERVER."""
        for _ in range(ATTEMPTS):
            if (results := await self._results(back)) is not None:
                return self._functions(results)
        raise GatewayError(Kind.BUSY, "there is no list of tools that holds still; ask again")

    async def _results(self, back: _BackEnd) -> tuple[bytes, ...] | None:
        """The result of `tools/list`, page by page; None when there is none, or it has changed between two pages."""
        results: list[bytes] = []
        cursor: str | None = None
        while cursor is not None or not results:
            response = members(await _answered(self._pipeline, back.inbound(chat_calls.listing(back.client, cursor))))
            if "result" not in response:
                return None
            results.append(bytes(response["result"]))
            cursor = chat_tools.page_of(response["result"]).cursor
        return tuple(results)

    async def _answer(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        """Write the answer as JSON, in pieces when it is large; a reader that stalls is cut."""
        reply = Reply(request, self._tasks, self._patience, {}, self._streams)
        try:
            await reply.finish(answer)
        finally:
            reply.leave()
        return reply.response


@dataclass(frozen=True, slots=True)
class _BackEnd:
    """Who asks, as every request to the pipeline says it."""

    endpoint: str
    caller: Caller
    client: Raw
    headers: CIMultiDict[str]

    @classmethod
    def of(cls, request: web.Request, caller: Caller) -> _BackEnd:
        """Raises UNKNOWN_SERVER and INVALID_REQUEST for a query that chooses nothing."""
        kept = CIMultiDict(
            (name, value) for name, value in request.headers.items() if not name.lower().startswith("mcp-")
        )
        return cls(_endpoint(request), caller, chat_calls.client_info(request.headers.get(hdrs.USER_AGENT)), kept)

    def inbound(self, post: Post) -> Inbound:
        headers = self.headers.copy()
        headers.update(post.headers)
        return Inbound(self.endpoint, self.caller, headers, post.body)


class _Running:
    """The calls of one turn under way. What they answer fits together into `room` bytes."""

    def __init__(self, pipeline: Pipeline, traffic: Traffic, back: _BackEnd, functions: Functions, room: int) -> None:
        self._pipeline = pipeline
        self._traffic = traffic
        self._back = back
        self._functions = functions
        self._room = room
        self._left = room
        self._places = asyncio.Semaphore(PARALLEL)

    async def whole(self, turn: Turn) -> bytes:
        """The answer, with the messages in the order of the calls. Cancelling it cancels every call."""
        async with asyncio.TaskGroup() as group:
            messages = [group.create_task(self._message(call, turn.claim)) for call in turn.calls]
        return chat_calls.answered(message.result() for message in messages)

    async def _message(self, call: ToolCall, claim: Mapping[str, Raw]) -> bytes:
        async with self._places:
            try:
                return self._fitting(call, chat_calls.message(call, await self._response(call, claim)))
            except GatewayError as error:
                self._traffic.refusal(error.reason)
                return chat_calls.failure(call, error.message)

    async def _response(self, call: ToolCall, claim: Mapping[str, Raw]) -> bytes:
        function = self._functions.meant(call.name)
        post = chat_calls.calling(call, function, self._back.client, claim)
        return await _answered(self._pipeline, self._back.inbound(post))

    def _fitting(self, call: ToolCall, message: bytes) -> bytes:
        if len(message) > self._left:
            words = (
                f"the tool ran, but its answer of {len(message)} bytes does not fit into this response with the others "
                f"(limits.response_bytes, {self._room} bytes together); ask for less"
            )
            return chat_calls.failure(call, words)
        self._left -= len(message)
        return message


class _Collected:
    """A sink that keeps the answer; whatever precedes it is for clients that read streams."""

    def __init__(self) -> None:
        self.body: bytes | None = None

    async def send(self, frame: bytes) -> None:
        return

    async def ask(self, method: str, params: Raw | None, tell: Tell) -> Message:
        raise cannot_be_asked()

    def pause(self, retry: int) -> None:
        """The chat back end waits."""

    async def finish(self, answer: Answer) -> None:
        self.body = answer.body


async def _answered(pipeline: Pipeline, inbound: Inbound) -> bytes:
    """The response to one request of ours. Raises UNKNOWN_SERVER and DRAINING."""
    sink = _Collected()
    await pipeline.handle(inbound, sink)
    if sink.body is None:
        raise GatewayError(Kind.INTERNAL, "the request got no response")
    return sink.body


def _endpoint(request: web.Request) -> str:
    """The key of the endpoint that the query chooses: `?server=slug`, `?group=name`, or everything."""
    chosen = list(request.query.items())
    if not chosen:
        return endpoint_key({})
    (kind, _), *others = chosen
    if others or kind not in ("server", "group"):
        words = "the query chooses one server (?server=slug) or one group (?group=name), or is left out for all"
        raise GatewayError(Kind.INVALID_REQUEST, words, data={"param": (others[0] if others else chosen[0])[0]})
    return endpoint_key(request.query)


def _check(request: web.Request, *methods: str) -> None:
    """Raises METHOD_NOT_ALLOWED and NOT_ACCEPTABLE."""
    if request.method not in methods:
        raise GatewayError(Kind.METHOD_NOT_ALLOWED, f"{request.path} takes {' and '.join(methods)}")
    if not accepts(request, "application/json"):
        raise GatewayError(Kind.NOT_ACCEPTABLE, "the answer is JSON: accept application/json")


def _is_known(request: web.Request, etag: str) -> bool:
    """Whether the client has this version (RFC 9110 §13.1.2, weak comparison)."""
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get(hdrs.IF_NONE_MATCH, "").split(",")}
    return bool(known & {etag, "*"})
