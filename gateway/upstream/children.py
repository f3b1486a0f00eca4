"""The children of one stdio server: their starts, their ends, and what may be learnt from both.

Which question: may a child be started, and did it end by itself? Touches children through their channel. The rule:
every child that was started is watched to its end, and an end that we did not cause counts against the next start
for the same scope: what one user makes a child do delays nobody else.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway.errors import GatewayError, Kind
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.protocol.versions import Era
from gateway.upstream.backoff import Backoffs
from gateway.upstream.exchange import Channel, OnMessage
from gateway.upstream.line import Line
from gateway.upstream.loose import Loose
from gateway.upstream.surroundings import Surroundings
from gateway.upstream.values import ScopeKey


class PipeChannel(Channel, Protocol):
    """A channel that is a child."""

    @property
    def over(self) -> bool:
        """It carries nothing any more."""

    async def wait_over(self) -> None:
        """Wait until the child is gone."""


Start = Callable[[OnMessage], Awaitable[PipeChannel]]
"""Starts a child, whose messages that belong to no exchange go to the given ear. Raises `GatewayError`."""


class ChildLife:
    """A child's life; the `Life` of the line that it carries. `key` is the scope that it was started for, `started`
    is monotonic seconds.
    """

    def __init__(self, channel: PipeChannel, key: ScopeKey, started: float) -> None:
        self.channel = channel
        self.key = key
        self.started = started
        self.by_us = False
        """It ends because we ended it."""
        self.line: Line | None = None
        """What it carries, once it was greeted."""
        self._users: set[int] = set()

    @property
    def ended(self) -> bool:
        return self.channel.over

    def joined(self, user_id: int) -> None:
        self._users.add(user_id)

    @property
    def private(self) -> bool:
        """A child that has served two users may still be logging about the first."""
        return len(self._users) < 2

    def lose(self) -> None:
        """A child's session is lost with the child alone."""

    async def wait_ended(self) -> None:
        await self.channel.wait_over()

    async def end(self) -> None:
        self.by_us = self.by_us or not self.channel.over
        await self.channel.close()


class Children:
    """Starts children by `start`, and watches them."""

    def __init__(self, start: Start, around: Surroundings) -> None:
        self._start = start
        self._around = around
        self._backoffs = Backoffs()
        self._well: set[ChildLife] = set()

    def check(self, key: ScopeKey) -> None:
        """Raises SERVER_DOWN (reason `crash_loop`) while it is too early for another start in this scope."""
        for life in [life for life in self._well if life.ended]:
            self._bury(life)
        if (wait := self._backoffs.wait(key, self._around.clock())) > 0:
            words = f"{self._around.terms.slug} keeps ending right after its start; it is not started for {wait:.0f} s"
            data = {"reason": "crash_loop", "retryAfter": math.ceil(wait)}
            raise GatewayError(Kind.SERVER_DOWN, words, data=data, reason="crash_loop", unsent=True)

    async def start(self, key: ScopeKey) -> ChildLife:
        """A new child. Raises `GatewayError`."""
        ear, started = _Ear(self._around), self._around.clock()
        life = ChildLife(await self._start(ear.hear), key, started)
        ear.belong(life)
        self._around.events.child_started()
        self._around.tasks.spawn(self._watch(life, ear), "watch a child")
        return life

    def greeted(self, life: ChildLife, line: Line) -> None:
        """The child works, and carries `line`; should it end by itself, that is a crash."""
        life.line = line
        self._well.add(life)

    def crashed(self, life: ChildLife) -> None:
        """The child is of no use."""
        now = self._around.clock()
        self._backoffs.crashed(life.key, now, now - life.started)

    async def _watch(self, life: ChildLife, ear: _Ear) -> None:
        await life.channel.wait_over()
        ear.end()
        self._bury(life)
        self._around.events.child_ended()

    def _bury(self, life: ChildLife) -> None:
        """Take note of a child's end, once."""
        if life in self._well:
            self._well.discard(life)
            if not life.by_us:
                self.crashed(life)


class _Ear:
    """Hears what a child says to nobody. A modern child asks nothing; what it asks all the same is not answered."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._life: ChildLife | None = None
        self._loose: Loose | None = None

    def belong(self, life: ChildLife) -> None:
        """It is this child that is heard."""
        self._life = life
        self._loose = Loose(life.key, lambda body: life.channel.send(body, {}), self._around)

    def end(self) -> None:
        """The child is gone."""
        if self._loose is not None:
            self._loose.end()

    def hear(self, message: Message) -> None:
        if self._life is None or self._loose is None or self._concerns_a_call(self._life.line, message):
            return
        if message.kind is not MessageKind.REQUEST or self._around.eras.belief is not Era.MODERN:
            self._loose.hear(message)

    def _concerns_a_call(self, line: Line | None, message: Message) -> bool:
        """Whether it is a question to the client of the calls under way, or such a question is taken back."""
        if line is None or line.questions is None:
            return False
        if message.kind is MessageKind.REQUEST:
            return line.questions.offer(message)
        return line.questions.withdraw(message)
