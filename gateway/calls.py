"""The life of a forwarded call: open the record, exchange, relay, close the record, answer.

Which question: what happens between a call's route and its end? Touches the server, the recorder and the client's
sink through their seams. The rule: the record is closed exactly once, before the client is answered, and whatever
stops the call says so in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from msgspec import Raw

from gateway import endings, methods, task_places, uris
from gateway.clock import Clock
from gateway.endings import Ending, Result
from gateway.errors import GatewayError, Kind
from gateway.frames import LIST_CHANGED, frame_for
from gateway.interaction import Interaction
from gateway.methods import FORWARDED, Names
from gateway.protocol import jsonrpc, results
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.protocol.params import claim_of, client_names, recorded, renamed, trace_id_of
from gateway.protocol.versions import Era
from gateway.request import Request
from gateway.rounds import Rounds
from gateway.routing import Route, Server
from gateway.sink import Answer, Sink
from gateway.states import States
from gateway.upstream.values import Discovery, Forward, Relay, Scope
from storage.errors import RecordsFull, RecordsLost
from storage.records import Finished, Recorder, Started, call_uid

LASTING = frozenset({"tasks/result"})
"""Requests whose answers take as long as they take."""


class Forwarder(Protocol):
    """The way to one server; `gateway.upstream.server.Upstream` is the real one."""

    @property
    def era(self) -> Era | None: ...

    def forward(self, call: Forward) -> AbstractAsyncContextManager[Relay]: ...

    async def notify(self, scope: Scope, method: str, params: Raw | None) -> None: ...

    async def set_level(self, scope: Scope, level: Raw) -> None: ...

    async def follow(self, uris: frozenset[str]) -> frozenset[str]: ...

    def attend(self, sid: str) -> None: ...

    def unattend(self, sid: str) -> None: ...

    async def discover_in(self, sid: str) -> Discovery | None: ...

    async def discover_for(self, call: Forward) -> Discovery: ...


class Gatekeeper(Protocol):
    """Who knows which servers cannot be called now."""

    def refusal(self, server: Server) -> GatewayError | None:
        """Why `server` gets no calls, in words that a model can act on; None when it does."""


@dataclass(frozen=True, slots=True)
class CallFacts:
    """A finished call, for those who count. Times in microseconds; `sent` says that the server may have seen it."""

    server: Server
    method: str
    tool: str
    client_era: Era
    server_era: Era | None
    ending: Ending
    total_us: int
    upstream_us: int
    sent: bool


class Witness(Protocol):
    """Who hears of calls: metrics, and health as evidence. Neither verb raises."""

    def call_started(self, server: Server) -> None: ...

    def call_finished(self, facts: CallFacts) -> None: ...

    def catalog_changed(self, server: Server) -> None:
        """The server said so in the middle of a call."""


@dataclass(frozen=True, slots=True)
class _Silence:
    """Stands for the relay of a call that never reached its server."""

    era: Era | None = None
    attempts: int = 0
    upstream_us: int = 0
    status: int | None = None


class Calls:
    """Runs calls, and knows which are running."""

    def __init__(
        self, recorder: Recorder, gatekeeper: Gatekeeper, witness: Witness, clock: Clock, states: States
    ) -> None:
        self._recorder = recorder
        self._gatekeeper = gatekeeper
        self._witness = witness
        self._clock = clock
        self._rounds = Rounds(states)
        self._running: set[asyncio.Task[object]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.changed_in: Callable[[str | None, Server], None] = _unnoticed
        """Hears that a server has said in a call of this session that a list has changed."""

    def __len__(self) -> int:
        return len(self._running)

    async def run(self, request: Request, route: Route, upstream: Forwarder, sink: Sink) -> None:
        """Forward `request` along `route` and answer its client. Raises RECORDS_FULL before anything was sent, and
        `CancelledError` when the client has gone.
        """
        call = _Call(request, route, upstream, self._clock, self._rounds)
        await self._open(call)
        ending: Ending | None = None
        task = self._enter()
        try:
            ending = await self._exchange(call, sink)
        except asyncio.CancelledError as stop:
            kind = _kind_of(stop, request)
            ending = endings.of_cancellation(request, kind)
            if not stop.args:
                raise  # the client's connection is gone; nobody is left to answer
            _uncancel()
        finally:
            self._leave(task)
            ending = ending or endings.of_failure(request, GatewayError(Kind.INTERNAL, "internal error"))
            answer = await self._close(call, ending)
        await sink.finish(answer)

    async def drain(self, grace: float) -> None:
        """Let running calls end for `grace` seconds, then stop the rest and wait until their records are closed."""
        for patience, stop in ((grace, False), (5.0, True)):
            if stop:
                for task in tuple(self._running):
                    task.cancel(Kind.DRAINING)
            try:
                async with asyncio.timeout(patience):
                    await self._idle.wait()
            except TimeoutError:
                continue

    async def _exchange(self, call: _Call, sink: Sink) -> Ending:
        if (refusal := self._gatekeeper.refusal(call.route.server)) is not None:
            return endings.of_failure(call.request, refusal)
        try:
            async with call.upstream.forward(call.forward(sink)) as relay:
                call.relay = relay
                async for message in relay:
                    if message.kind in (MessageKind.RESULT, MessageKind.ERROR):
                        return self._answered(call, message, relay)
                    await self._pass_on(call, message, relay, sink)
            raise GatewayError(Kind.SERVER_CLOSED, "the server ended without an answer", reason="stream_ended")
        except GatewayError as failure:
            return endings.of_failure(call.request, failure)

    async def _pass_on(self, call: _Call, message: Message, relay: Relay, sink: Sink) -> None:
        if message.method in LIST_CHANGED:
            self._witness.catalog_changed(call.route.server)
            self.changed_in(call.request.sid, call.route.server)
        elif (frame := frame_for(call.request, message, relay.progress_token, call.route.glossary)) is not None:
            await sink.send(frame)

    def _answered(self, call: _Call, response: Message, relay: Relay) -> Ending:
        body = response.body or Raw(b"null")
        if response.kind is MessageKind.ERROR:
            shown = uris.error_out(body, call.route.naming)
            return endings.of_error(call.request, body, shown, relay.era, relay.status)
        method, head, era, augmented = call.request.method, results.head(body), relay.era, call.augmented
        if era is call.request.era and task_places.may_name(method, head, era, augmented=augmented):
            body = task_places.result_out(method, body, era, call.route.tasks, augmented=augmented)
        shown = uris.result_out(method, self._rounds.sealed(call.turn, body, head), call.route.naming)
        return endings.of_result(call.request, Result(body, head, shown), era)

    async def _open(self, call: _Call) -> None:
        try:
            await self._recorder.started(call.started())
        except RecordsFull as full:
            raise GatewayError(Kind.RECORDS_FULL, f"{full}; no call is taken that could not be recorded") from full
        self._witness.call_started(call.route.server)

    async def _close(self, call: _Call, ending: Ending) -> Answer:
        """Close the record; what the client gets."""
        facts = call.facts(ending)
        try:
            await self._recorder.finished(call.finished(facts))
        except RecordsLost as lost:
            return endings.error_answer(call.request.id, GatewayError(Kind.INTERNAL, str(lost)), call.request.era)
        finally:
            self._witness.call_finished(facts)
        return ending.answer

    def _enter(self) -> asyncio.Task[object]:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call runs in a task")
        self._running.add(task)
        self._idle.clear()
        return task

    def _leave(self, task: asyncio.Task[object]) -> None:
        self._running.discard(task)
        if not self._running:
            self._idle.set()


class _Call:
    """One call under way: what its record needs to know at both ends."""

    def __init__(self, request: Request, route: Route, upstream: Forwarder, clock: Clock, rounds: Rounds) -> None:
        self.request = request
        self.route = route
        self.upstream = upstream
        self.relay: Relay | _Silence = _Silence()
        self._clock = clock
        self._begun_us = clock.steady_us()
        started_us = clock.wall_us()
        self._started_us = started_us
        self._uid = call_uid(started_us, clock.entropy(10))
        self.turn = rounds.open(self._uid, request, route)
        self._members = uris.params_back(
            request.method, _renamed(request.method, self.turn.members, route), route.naming
        )

    def forward(self, sink: Sink) -> Forward:
        request = self.request
        return Forward(
            method=request.method,
            target=self.route.target or None,
            params={key: raw for key, raw in self._own().items() if key != "_meta"},
            meta=task_places.meta_back(request.params.meta, self.route.tasks),
            client=request.client,
            scope=request.scope,
            headers=request.headers_for(self.route.server),
            mirrors=self.route.mirrors,
            asks=None if request.sid is None else Interaction(sink, self.route.glossary, self._tell),
            lasting=request.method in LASTING,
            on_pause=sink.pause,
        )

    @property
    def augmented(self) -> bool:
        """The client wants a task (MCP 2025-11-25 `basic/utilities/tasks`)."""
        return self.request.era is Era.LEGACY and "task" in self._members

    def _own(self) -> Mapping[str, Raw]:
        """The params as the server names things; the record has them with the client's name of a task, since whoever
        knows the server's may have all that a task holds.
        """
        return {**self._members, "taskId": jsonrpc.text(self.route.target)} if self._names_a_task else self._members

    @property
    def _names_a_task(self) -> bool:
        return self.request.method in methods.OF_A_TASK

    async def _tell(self, params: Raw) -> None:
        told = task_places.back(params, self.route.tasks)
        await self.upstream.notify(self.request.scope, "notifications/progress", told)

    def started(self) -> Started:
        request, route = self.request, self.route
        name, version = client_names(request.client.info)
        return Started(
            call_uid=self._uid,
            started_us=self._started_us,
            server_id=route.server.id,
            slug=route.server.slug,
            method=request.method,
            target=None if self._names_a_task else route.target or None,
            caller=request.caller,
            client_name=name,
            client_version=version,
            client_era=request.era.value,
            server_era=None if self.upstream.era is None else self.upstream.era.value,
            claim=claim_of(request.params.meta, request.headers),
            auto_session=request.sid,
            operation_uid=self.turn.operation_uid,
            round=self.turn.round,
            trace_id=trace_id_of(request.params.meta, request.headers),
            request=recorded(self._members, request.params.meta),
        )

    def facts(self, ending: Ending) -> CallFacts:
        return CallFacts(
            server=self.route.server,
            method=self.request.method,
            tool=self.route.target if self.request.method == "tools/call" else "",
            client_era=self.request.era,
            server_era=self.relay.era or self.upstream.era,
            ending=ending,
            total_us=self._clock.steady_us() - self._begun_us,
            upstream_us=self.relay.upstream_us,
            sent=self.relay.attempts > 0,
        )

    def finished(self, facts: CallFacts) -> Finished:
        ending = facts.ending
        return Finished(
            call_uid=self._uid,
            finished_us=self._started_us + facts.total_us,
            outcome=ending.outcome,
            reason=ending.reason,
            error_message=ending.error,
            server_era=None if facts.server_era is None else facts.server_era.value,
            total_us=facts.total_us,
            upstream_us=facts.upstream_us,
            attempts=self.relay.attempts,
            response=None if ending.payload is None else bytes(ending.payload),
        )


def _renamed(method: str, members: Mapping[str, Raw], route: Route) -> Mapping[str, Raw]:
    """The params under the server's own name of the tool or prompt; a completion names the prompt in its `ref`."""
    match FORWARDED[method].names if method in FORWARDED else None:
        case Names.TOOL | Names.PROMPT:
            return renamed(members, route.target)
        case Names.REF if "name" in (ref := jsonrpc.members(members["ref"])):
            return {**members, "ref": jsonrpc.encode(renamed(ref, route.target))}
    return members


def _unnoticed(sid: str | None, server: Server) -> None:
    """Nobody has to know."""


def _kind_of(stop: asyncio.CancelledError, request: Request) -> Kind:
    """Who stopped the call: a kind given to `Task.cancel`, or a client that hung up. Only a modern disconnect is a
    cancellation; a legacy client that hangs up without a session merely stopped reading.
    """
    if stop.args and isinstance(stop.args[0], Kind):
        return stop.args[0]
    return Kind.CANCELLED if request.era is Era.MODERN else Kind.ABANDONED


def _uncancel() -> None:
    """Take back a cancellation that we answer ourselves, so that the answer can still be written."""
    if (task := asyncio.current_task()) is not None:
        task.uncancel()
