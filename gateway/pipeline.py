"""The data path: from an HTTP body to an answer, in one straight line.

Which question: what happens to a message that came through a door? Touches sessions, the routing table and the
calls through what it is given. The rule: everything that a request reads is one immutable `Live` value, taken once,
so that a reload never changes a call under way.

limits, Host, Origin → authenticate → read body (the door's) → envelope → era → header checks → session → route →
admit → record → exchange → relay → close → answer (`gateway.calls`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from msgspec import Raw

from gateway import batch, endings, local
from gateway.access import Frontier, KeyRing
from gateway.calls import Calls, Forwarder
from gateway.errors import HTTP_STATUS, JSONRPC_CODE, GatewayError, Kind
from gateway.protocol import eras, jsonrpc
from gateway.protocol.jsonrpc import Malformed, Message, MessageKind
from gateway.protocol.params import open_params
from gateway.protocol.versions import Era, negotiate
from gateway.request import Request
from gateway.routing import AGGREGATE, Endpoint, Route, RoutingTable, find
from gateway.sessions import Session, SessionFacts, Sessions, Stream
from gateway.sink import Answer, Sink
from gateway.upstream.values import ClientFacts
from storage.records import Caller

log = logging.getLogger(__name__)

COLD_LIST_SECONDS = 2.0
EMPTY_RESULT = b"{}"


@dataclass(frozen=True, slots=True)
class Live:
    """All that requests read, as one value: swapped whole, never changed."""

    table: RoutingTable
    upstreams: Mapping[int, Forwarder]
    keys: KeyRing = field(repr=False)
    frontier: Frontier
    depth: int = 128


class Source(Protocol):
    """Who builds the live value."""

    @property
    def live(self) -> Live: ...

    async def settle(self, endpoint: str, seconds: float) -> None:
        """Wait until every server of the endpoint has been listed or has failed once, but no longer than this."""

    async def end_session(self, facts: SessionFacts) -> None:
        """A client's legacy session has ended: remember it, and free what servers hold for it."""


class Counter(Protocol):
    def refusal(self, reason: str) -> None:
        """A request was refused before it became a call."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """One POST, as the door lets it in. `endpoint` is the key of `gateway.routing`."""

    endpoint: str
    caller: Caller
    headers: Mapping[str, str]
    body: bytes


class Pipeline:
    """Serves what comes through the doors."""

    def __init__(self, source: Source, sessions: Sessions, calls: Calls, counter: Counter) -> None:
        self._source = source
        self._sessions = sessions
        self._calls = calls
        self._counter = counter
        self._draining = False
        self._modern: Mapping[str, _Method] = {
            "server/discover": self._discover,
            "tools/list": self._tools_list,
            "tools/call": self._tools_call,
        }
        self._legacy: Mapping[str, _Method] = {
            "ping": self._ping,
            "tools/list": self._tools_list,
            "tools/call": self._tools_call,
        }

    @property
    def draining(self) -> bool:
        return self._draining

    def drain(self) -> None:
        """Take no more requests."""
        self._draining = True

    def authenticate(self, authorization: str | None, api_key: str | None) -> Caller:
        return self._source.live.keys.authenticate(authorization, api_key)

    def session(self, token: str, caller: Caller, endpoint: str) -> Session:
        """The caller's legacy session. Raises SESSION_UNKNOWN."""
        return self._sessions.find(token, caller, endpoint)

    async def end_session(self, session: Session) -> None:
        """End a legacy session, its exchanges, and what servers hold for it."""
        self._sessions.end(session)
        await self._source.end_session(session.facts)

    async def handle(self, inbound: Inbound, sink: Sink, *, alone: bool = True) -> None:
        """Answer one POST on `sink`, whatever is in it; a message that is not `alone` is part of a batch, and none
        itself.
        """
        try:
            await self._serve(inbound, sink, alone)
        except Malformed as error:
            self._counter.refusal("parse" if error.code == JSONRPC_CODE[Kind.PARSE] else "invalid_request")
            await sink.finish(Answer(jsonrpc.error(error.id, error.code, error.message), HTTP_STATUS[Kind.PARSE]))

    async def _serve(self, inbound: Inbound, sink: Sink, alone: bool) -> None:
        if self._draining:
            raise GatewayError(Kind.DRAINING, "the gateway is shutting down; connect again")
        live = self._source.live
        endpoint = live.table.endpoint(inbound.endpoint)
        if alone and batch.is_batch(inbound.body) and self._takes_batches(inbound):
            return await self._serve_batch(inbound, live.depth, sink)
        message = jsonrpc.parse(inbound.body, depth=live.depth)
        era = eras.classify(inbound.headers, message)
        serve = self._serve_modern if era is Era.MODERN else self._serve_legacy
        try:
            await serve(inbound, endpoint, message, sink)
        except GatewayError as error:
            await self._refuse(message, error, era, sink)
        except Exception:  # the data path's last resort: whatever we got wrong, the client gets an answer
            log.exception("request failed: method=%s endpoint=%s", message.method[:64], inbound.endpoint)
            await self._refuse(message, _internal(), era, sink)

    def _takes_batches(self, inbound: Inbound) -> bool:
        session = self._session_of(inbound)
        return session is not None and session.facts.version == batch.VERSION

    async def _serve_batch(self, inbound: Inbound, depth: int, sink: Sink) -> None:
        jsonrpc.check_text(inbound.body, depth)
        bodies = batch.parts(inbound.body)
        done = [batch.Part(sink) for _ in bodies]
        alone = (replace(inbound, body=body) for body in bodies)
        await asyncio.gather(*(self.handle(one, part, alone=False) for one, part in zip(alone, done, strict=True)))
        await sink.finish(batch.whole_answer(done))

    async def _refuse(self, message: Message, error: GatewayError, era: Era, sink: Sink) -> None:
        self._counter.refusal(error.reason)
        await sink.finish(endings.error_answer(message.id, error, era))

    async def _serve_modern(self, inbound: Inbound, endpoint: Endpoint, message: Message, sink: Sink) -> None:
        if message.kind is MessageKind.NOTIFICATION:
            return await sink.finish(Answer(None, 202))
        modern = eras.check_modern(inbound.headers, message)
        params = modern.params
        client = ClientFacts(
            era=Era.MODERN,
            protocol_version=modern.version,
            capabilities=modern.capabilities,
            info=modern.client_info,
            log_level=modern.log_level,
            wants_progress=params.progress_token is not None,
        )
        serve = self._modern.get(message.method, _unknown_method)
        request = Request(endpoint, inbound.caller, _id(message), message.method, params, client, inbound.headers)
        return await serve(request, sink)

    async def _serve_legacy(self, inbound: Inbound, endpoint: Endpoint, message: Message, sink: Sink) -> None:
        if message.kind is MessageKind.REQUEST and message.method == "initialize":
            return await self._initialize(inbound, endpoint, message, sink)
        session = self._session_of(inbound)
        eras.check_legacy(inbound.headers, None if session is None else session.facts.version)
        if message.kind is MessageKind.NOTIFICATION:
            return await self._notified(session, message, sink)
        if message.kind is not MessageKind.REQUEST:
            return await sink.finish(Answer(None, 202))  # an answer to a request that we never made
        params = open_params(message.params)
        client = ClientFacts(
            era=Era.LEGACY,
            protocol_version=eras.legacy_version(inbound.headers) if session is None else session.facts.version,
            capabilities=None if session is None else session.facts.capabilities,
            info=None if session is None else session.facts.client_info,
            wants_progress=params.progress_token is not None,
        )
        serve = self._legacy.get(message.method, _unknown_method)
        sid = None if session is None else session.facts.sid
        request = Request(endpoint, inbound.caller, _id(message), message.method, params, client, inbound.headers, sid)
        if session is None or serve == self._ping:
            return await serve(request, sink)
        return await self._detached(session, request, serve, sink)

    async def _detached(self, session: Session, request: Request, serve: _Method, sink: Sink) -> None:
        """Run a legacy request as an exchange of its session: a disconnect detaches the reader and stops nothing."""

        async def work(stream: Stream) -> None:
            try:
                await serve(request, stream)
            except GatewayError as error:
                self._counter.refusal(error.reason)
                stream.end(endings.error_answer(request.id, error, Era.LEGACY))

        def lost(task: asyncio.Task[None]) -> Answer:
            if task.cancelled():
                return endings.of_cancellation(request, Kind.CANCELLED).answer
            return endings.error_answer(request.id, _internal(), Era.LEGACY)

        await session.begin(bytes(request.id), work, lost).relay(sink)

    def _session_of(self, inbound: Inbound) -> Session | None:
        token = inbound.headers.get("Mcp-Session-Id")
        return None if token is None else self.session(token, inbound.caller, inbound.endpoint)

    async def _initialize(self, inbound: Inbound, endpoint: Endpoint, message: Message, sink: Sink) -> None:
        handshake = eras.open_initialize(message)
        version = negotiate(handshake.version)
        token = self._sessions.open(
            inbound.caller, inbound.endpoint, version, bytes(handshake.capabilities), bytes(handshake.client_info)
        )
        endpoint = await self._settled(endpoint)
        body = jsonrpc.result(_id(message), local.initialized(endpoint, version))
        await sink.finish(Answer(body, headers={"Mcp-Session-Id": token}))

    async def _notified(self, session: Session | None, message: Message, sink: Sink) -> None:
        if session is not None and message.method == "notifications/cancelled" and message.params is not None:
            session.cancel(bytes(jsonrpc.members(message.params).get("requestId", b"")))
        await sink.finish(Answer(None, 202))

    async def _ping(self, request: Request, sink: Sink) -> None:
        await sink.finish(Answer(jsonrpc.result(request.id, EMPTY_RESULT)))

    async def _discover(self, request: Request, sink: Sink) -> None:
        await sink.finish(Answer(jsonrpc.result(request.id, local.discovered(request.endpoint))))

    async def _tools_list(self, request: Request, sink: Sink) -> None:
        endpoint = await self._settled(request.endpoint)
        await sink.finish(Answer(jsonrpc.result(request.id, local.tools(endpoint, request.era, request.params.cursor))))

    async def _tools_call(self, request: Request, sink: Sink) -> None:
        route, upstream = await self._route(request)
        await self._calls.run(request, route, upstream, sink)

    async def _route(self, request: Request) -> tuple[Route, Forwarder]:
        """Where the call goes. A server that was never listed may offer anything: on its own endpoint the name is
        passed on as it is, on an aggregate the first listing is awaited.
        """
        live, endpoint, name = self._source.live, request.endpoint, request.params.name
        if name not in endpoint.routes and not endpoint.complete:
            endpoint = await self._settled(endpoint)
            live = self._source.live
        if name not in endpoint.routes and not endpoint.complete and endpoint.key != AGGREGATE:
            route = Route(live.table.servers[endpoint.key], name)
        else:
            route = find(endpoint, name)
        if (upstream := live.upstreams.get(route.server.id)) is None:
            raise GatewayError(Kind.SERVER_DOWN, f"Server '{route.server.slug}' was just removed from this gateway.")
        return route, upstream

    async def _settled(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint once its servers were listed, at most two seconds later; at once when it is complete."""
        if endpoint.complete:
            return endpoint
        await self._source.settle(endpoint.key, COLD_LIST_SECONDS)
        return self._source.live.table.endpoint(endpoint.key)


_Method = Callable[[Request, Sink], Awaitable[None]]


async def _unknown_method(request: Request, sink: Sink) -> None:
    raise GatewayError(Kind.METHOD_NOT_FOUND, "Method not found", data={"method": request.method[:128]})


def _id(message: Message) -> Raw:
    if message.id is None:
        raise Malformed(JSONRPC_CODE[Kind.INVALID_REQUEST], "a request needs an id")
    return message.id


def _internal() -> GatewayError:
    return GatewayError(Kind.INTERNAL, "internal error; the gateway's log tells more")
