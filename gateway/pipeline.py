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
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from msgspec import Raw

from gateway import batch, endings, local
from gateway.asides import Asides
from gateway.dispatch import Dispatch
from gateway.errors import HTTP_STATUS, JSONRPC_CODE, GatewayError, Kind
from gateway.live import Source
from gateway.protocol import eras, jsonrpc
from gateway.protocol.jsonrpc import Malformed, Message, MessageKind
from gateway.protocol.params import Params, open_params
from gateway.protocol.versions import Era, negotiate
from gateway.questions import Dialogue
from gateway.request import Request
from gateway.router import Router
from gateway.routing import Endpoint
from gateway.sessions import Session, Sessions
from gateway.sink import Answer, Sink
from gateway.streams import Stream
from gateway.upstream.values import ClientFacts, Scope
from storage.records import Caller

log = logging.getLogger(__name__)


class Counter(Protocol):
    def refusal(self, reason: str) -> None:
        """A request was refused before it became a call."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """One POST, as the door lets it in. `endpoint` is the key of `gateway.routing`; `streams`: its client reads event
    streams.
    """

    endpoint: str
    caller: Caller
    headers: Mapping[str, str]
    body: bytes
    streams: bool = True


class Pipeline:
    """Serves what comes through the doors."""

    def __init__(
        self,
        source: Source,
        sessions: Sessions,
        router: Router,
        dispatch: Dispatch,
        asides: Asides,
        counter: Counter,
    ) -> None:
        self._source = source
        self._sessions = sessions
        self._router = router
        self._dispatch = dispatch
        self._asides = asides
        self._counter = counter
        self._draining = False

    @property
    def draining(self) -> bool:
        return self._draining

    def drain(self) -> None:
        """Take no more requests."""
        self._draining = True

    def authenticate(self, authorization: str | None, api_key: str | None) -> Caller:
        return self._source.live.keys.authenticate(authorization, api_key)

    def session(self, token: str, caller: Caller, endpoint: str) -> Session:
        """The caller's legacy session. Raises UNKNOWN_SERVER and SESSION_UNKNOWN."""
        self._source.live.table.endpoint(endpoint)
        return self._sessions.find(token, caller, endpoint)

    def attend(self, session: Session) -> None:
        """Somebody has begun, or ceased, to read the stream of a session's GET: its servers are heard meanwhile."""
        self._asides.attend(session.facts, session.stands)

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
        return await self._dispatch.serve(_request(inbound, endpoint, message, params, client), sink)

    async def _serve_legacy(self, inbound: Inbound, endpoint: Endpoint, message: Message, sink: Sink) -> None:
        if message.kind is MessageKind.REQUEST and message.method == "initialize":
            return await self._initialize(inbound, endpoint, message, sink)
        session = self._session_of(inbound)
        eras.check_legacy(inbound.headers, None if session is None else session.facts.version)
        if message.kind is MessageKind.NOTIFICATION:
            return await self._notified(session, endpoint, message, sink)
        if message.kind is not MessageKind.REQUEST:
            if session is not None:
                session.questions.answered(message)
            return await sink.finish(Answer(None, 202))
        params = open_params(message.params)
        client = ClientFacts(
            era=Era.LEGACY,
            protocol_version=eras.legacy_version(inbound.headers) if session is None else session.facts.version,
            capabilities=None if session is None else session.facts.capabilities,
            info=None if session is None else session.facts.client_info,
            log_level=None if session is None else session.level,
            wants_progress=params.progress_token is not None,
        )
        request = _request(inbound, endpoint, message, params, client, None if session is None else session.facts.sid)
        if session is None or message.method == "ping":
            return await self._dispatch.serve(request, sink)
        return await self._detached(session, request, sink)

    async def _detached(self, session: Session, request: Request, sink: Sink) -> None:
        """Run a legacy request as an exchange of its session: a disconnect detaches the reader and stops nothing."""

        async def work(stream: Stream) -> None:
            try:
                await self._dispatch.serve(request, Dialogue(stream, session.questions if request.streams else None))
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
        endpoint = await self._router.settled(endpoint)
        lists_tasks = inbound.caller.key is None
        body = jsonrpc.result(_id(message), local.initialized(endpoint, version, lists_tasks=lists_tasks))
        await sink.finish(Answer(body, headers={"Mcp-Session-Id": token}))

    async def _notified(self, session: Session | None, endpoint: Endpoint, message: Message, sink: Sink) -> None:
        """A legacy client's notification: ours to act on, or for the servers that it has sessions with."""
        match message.method:
            case _ if session is None:
                pass
            case "notifications/cancelled":
                params = {} if message.params is None else jsonrpc.members(message.params)
                session.cancel(bytes(params.get("requestId", b"")))
            case "notifications/progress":
                await session.questions.progressed(message.params)
            case "notifications/initialized":
                pass
            case _:
                self._asides.tell(endpoint, Scope(session.facts.sid, session.facts.user_id), message)
        await sink.finish(Answer(None, 202))


def _request(
    inbound: Inbound, endpoint: Endpoint, message: Message, params: Params, client: ClientFacts, sid: str | None = None
) -> Request:
    return Request(
        endpoint=endpoint,
        caller=inbound.caller,
        id=_id(message),
        method=message.method,
        params=params,
        client=client,
        headers=inbound.headers,
        sid=sid,
        streams=inbound.streams,
    )


def _id(message: Message) -> Raw:
    if message.id is None:
        raise Malformed(JSONRPC_CODE[Kind.INVALID_REQUEST], "a request needs an id")
    return message.id


def _internal() -> GatewayError:
    return GatewayError(Kind.INTERNAL, "internal error; the gateway's log tells more")
