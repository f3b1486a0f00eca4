"""One forwarded request under way: out over a line, and its messages back.

Which question: what happens to a request between the pipeline and the server, and when may it be sent again? Touches
lines and channels through their seams. The rule: it is sent again only when the server cannot have processed it,
once per reason; whoever leaves before the response makes the server stop, once.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Self, TypeVar

from gateway.errors import GatewayError, Kind
from gateway.protocol.jsonrpc import Message
from gateway.protocol.versions import Era
from gateway.settings import Timeouts
from gateway.upstream.asking import Answer
from gateway.upstream.gate import Gate, Place
from gateway.upstream.line import Again, Lease, Line, Lines
from gateway.upstream.pause import Deadline
from gateway.upstream.refusals import Refusal, session_lost
from gateway.upstream.sending import RESPONSES, Sending
from gateway.upstream.values import Forward, Relist, UpstreamEvents
from storage.tasks import Tasks

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Road:
    """What every crossing to one server goes through."""

    lines: Lines
    gate: Gate
    ids: Iterator[int]
    tasks: Tasks
    events: UpstreamEvents
    timeouts: Timeouts
    relist: Relist


class Crossing:
    """A `Relay`, and the context in which it lives."""

    def __init__(self, call: Forward, road: Road) -> None:
        self.attempts = 0
        self.era: Era | None = None
        self.status: int | None = None
        self._call = call
        self._road = road
        self._deadline = Deadline(None if call.lasting else road.timeouts.absolute, road.timeouts.answer)
        self._clocks = (self._deadline,) if call.lasting else (self._deadline, Place(road.gate))
        self._waited_ns = 0
        self._sent: Sending | None = None
        self._over = False

    async def __aenter__(self) -> Self:
        if self._deadline.at is None:
            self._road.gate.check()
        else:
            await self._road.gate.enter(self._deadline.at)
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            if self._sent is not None:
                await self._leave(self._sent)
        finally:
            if not self._call.lasting:
                self._road.gate.leave()

    @property
    def upstream_us(self) -> int:
        return self._waited_ns // 1_000

    @property
    def progress_token(self) -> int | None:
        return self._sent.id if self._sent is not None and self._call.client.wants_progress else None

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        while not self._over:
            try:
                message = await self._in_time(self._first() if self._sent is None else self._sent.next())
            except GatewayError:
                self._over = True
                raise
            if self._sent is None or not self._sent.intercepts(message):
                self._over = message.kind in RESPONSES
                return message
        raise StopAsyncIteration

    async def _first(self) -> Message:
        """Send the request, again where that is safe, until something comes back."""
        spent: set[Again] = set()
        lease: Lease | None = await self._road.lines.take(self._call)
        while True:
            assert lease is not None
            line, answer = lease.line, await self._send(lease)
            again = _again(answer, line)
            if again is None or again in spent or not await self._is_worth_it(again):
                return answer.outcome()
            spent.add(again)
            await self._retreat()
            lease = await self._another(line, again, answer.refusal)
            if lease is None:
                return answer.outcome()

    async def _send(self, lease: Lease) -> Answer:
        self.era = lease.line.era
        await self._attune(lease)
        self.attempts += 1
        self._sent = Sending(self._call, lease, next(self._road.ids))
        if self._sent.pause is not None:
            for clock in self._clocks:
                self._sent.pause.join(clock)
        answer = await self._sent.begin()
        self.status = None if answer.head is None else answer.head.status
        if answer.error is not None and answer.error.unsent:
            self.attempts -= 1
        return answer

    async def _attune(self, lease: Lease) -> None:
        """Have the server know its client's level first. What cannot be told now fails with the request, or not."""
        client = self._call.client
        if client.log_level is None or client.era is not Era.LEGACY:
            return
        try:
            with suppress(GatewayError):
                await lease.line.attune(client.log_level, self._call.headers)
        except BaseException:
            lease.release()
            raise

    async def _is_worth_it(self, again: Again) -> bool:
        """Whether the request would be another than before, where it was the request that the server refused."""
        before = self._call
        if again is not Again.MIRRORS:
            return True
        if before.method != "tools/call":
            return False
        with suppress(GatewayError):
            self._call = replace(before, mirrors=await self._road.relist(before))
        return self._call.mirrors != before.mirrors

    async def _another(self, line: Line, again: Again, refusal: Refusal | None) -> Lease | None:
        """A line on which it may go better; None when there is none."""
        if again is Again.SESSION and refusal is not None:
            self._road.events.session_reinitialised(session_lost(refusal, had_session=True) or "")
        if again is not Again.ERA:
            return await self._road.lines.take(self._call)
        self._road.lines.doubt(line)
        try:
            lease = await self._road.lines.take(self._call)
        except GatewayError:
            return None
        if lease.line.era is not line.era:
            return lease
        lease.release()
        return None

    async def _retreat(self) -> None:
        """Leave a line on which the request was not processed."""
        sent, self._sent = self._sent, None
        if sent is not None:
            sent.running = False
            await self._leave(sent)

    async def _leave(self, sent: Sending) -> None:
        if sent.pause is not None:
            for clock in self._clocks:
                sent.pause.part(clock)
        await sent.leave(self._road.tasks)

    async def _in_time(self, step: Awaitable[T]) -> T:
        begun = time.perf_counter_ns()
        try:
            return await self._deadline.meet(step)
        except TimeoutError:
            raise self._late() from None
        finally:
            self._waited_ns += time.perf_counter_ns() - begun

    def _late(self) -> GatewayError:
        timeouts = self._road.timeouts
        if self._deadline.stopped:
            words = f"the client did not answer the server within {timeouts.answer:g} s (timeouts.answer)"
            return GatewayError(Kind.TIMEOUT, words, reason="answer")
        words = f"the server did not finish within {timeouts.absolute:g} s (timeouts.absolute)"
        return GatewayError(Kind.TIMEOUT, words, reason="absolute")


def _again(answer: Answer, line: Line) -> Again | None:
    """Why the request may be sent again. One that could not be sent in time is not: nobody waits twice as long."""
    if answer.error is not None and answer.error.unsent and answer.error.kind is Kind.SERVER_CLOSED:
        return Again.UNSENT
    return None if answer.refusal is None else line.again(answer.refusal)
