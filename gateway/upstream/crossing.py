"""One forwarded request under way: out over a line, and its messages back.

Which question: what happens to a request between the pipeline and the server, and when may it be sent again? Touches
lines and channels through their seams. The rule: it is sent again only when the server cannot have processed it,
once per reason; whoever leaves before the response makes the server stop, once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Self, TypeVar

from gateway.errors import GatewayError, Kind
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.protocol.versions import Era
from gateway.upstream.asking import Answer
from gateway.upstream.gate import Gate
from gateway.upstream.line import Again, Lease, Line, Lines
from gateway.upstream.refusals import Refusal, session_lost
from gateway.upstream.sending import RESPONSES, Sending
from gateway.upstream.values import Forward, ServerRequests, UpstreamEvents
from storage.tasks import Tasks

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Road:
    """What every crossing to one server goes through. `absolute` is the longest that a call may take, in seconds."""

    lines: Lines
    gate: Gate
    ids: Iterator[int]
    tasks: Tasks
    requests: ServerRequests
    events: UpstreamEvents
    absolute: float


class Crossing:
    """A `Relay`, and the context in which it lives."""

    def __init__(self, call: Forward, road: Road) -> None:
        self.attempts = 0
        self.era: Era | None = None
        self._call = call
        self._road = road
        self._deadline = 0.0
        self._waited_ns = 0
        self._sent: Sending | None = None
        self._over = False

    async def __aenter__(self) -> Self:
        self._deadline = asyncio.get_running_loop().time() + self._road.absolute
        await self._road.gate.enter(self._deadline)
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            if self._sent is not None:
                await self._sent.leave(self._road.tasks)
        finally:
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
            if message.kind is MessageKind.REQUEST:
                self._serve(message)
                continue
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
            if again is None or again in spent:
                return answer.outcome()
            spent.add(again)
            await self._retreat()
            lease = await self._another(line, again, answer.refusal)
            if lease is None:
                return answer.outcome()

    async def _send(self, lease: Lease) -> Answer:
        self.era = lease.line.era
        self.attempts += 1
        self._sent = Sending(self._call, lease, next(self._road.ids))
        answer = await self._sent.begin()
        if answer.error is not None and answer.error.unsent:
            self.attempts -= 1
        return answer

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
            await sent.leave(self._road.tasks)

    async def _in_time(self, step: Awaitable[T]) -> T:
        begun = time.perf_counter_ns()
        try:
            async with asyncio.timeout_at(self._deadline):
                return await step
        except TimeoutError:
            words = f"the server did not finish within {self._road.absolute:g} s (timeouts.absolute)"
            raise GatewayError(Kind.TIMEOUT, words, reason="absolute") from None
        finally:
            self._waited_ns += time.perf_counter_ns() - begun

    def _serve(self, request: Message) -> None:
        """Answer a request of the server's without keeping its other messages waiting."""
        if self._sent is not None and self.era is Era.LEGACY:
            self._road.tasks.spawn(self._reply(self._sent.line, request), f"answer {request.method}")

    async def _reply(self, line: Line, request: Message) -> None:
        body = await self._road.requests.answer(request, self._call)
        with suppress(GatewayError):
            await line.reply(body, self._call)


def _again(answer: Answer, line: Line) -> Again | None:
    """Why the request may be sent again. One that could not be sent in time is not: nobody waits twice as long."""
    if answer.error is not None and answer.error.unsent and answer.error.kind is Kind.SERVER_CLOSED:
        return Again.UNSENT
    return None if answer.refusal is None else line.again(answer.refusal)
