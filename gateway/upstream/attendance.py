"""Which sessions with a legacy server are listened to.

Which question: has this session a stream of its own open to the server? Touches lines through their listeners. The
rule: a session has one stream, for as long as somebody listens on our side and the session lives; nothing that is
heard on it reaches another scope. A session that its server has lost while its client waits for news of resources is
opened again, since such a client need not call for hours.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from functools import partial
from typing import Protocol

from gateway.errors import GatewayError
from gateway.upstream.event_stream import EventStream
from gateway.upstream.legacy import LegacyLine
from gateway.upstream.line import Begun
from gateway.upstream.listener import Ending, Listener
from gateway.upstream.loose import Loose
from gateway.upstream.news import advertised, changed, updated
from gateway.upstream.pace import STEADY_AFTER, Pace
from gateway.upstream.scopes import HOUSE
from gateway.upstream.surroundings import Surroundings
from gateway.upstream.values import Forward, ScopeKey


class Streaming(Protocol):
    """A channel on which a server can be listened to."""

    def listen(self, headers: Mapping[str, str], last_event_id: str) -> AbstractAsyncContextManager[EventStream]: ...


Reopen = Callable[[ScopeKey, Forward], Awaitable[None]]
"""Opens the line of a scope once more, if it has none. Raises `GatewayError`."""

FIRST_WORD = 1.0
"""Seconds that a call waits for the stream of its new session."""


class _Beginning:
    """Whether a stream is open yet, or will never be; `heard` is told of each opening."""

    def __init__(self, heard: Begun) -> None:
        self._heard = heard
        self._settled = asyncio.Event()

    def begun(self, missed: bool) -> None:
        self._heard(missed)
        self._settled.set()

    def over(self) -> None:
        self._settled.set()

    async def settled(self, within: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._settled.wait()


class Attendance:
    """Listens on `channel` for the sessions whose clients listen to us; `reopen` brings back those that are lost."""

    def __init__(self, channel: Streaming, around: Surroundings, reopen: Reopen) -> None:
        self._reopen = reopen
        self._paces: dict[ScopeKey, Pace] = {}
        self._lost: dict[ScopeKey, LegacyLine] = {}
        """The last lines of those whose clients wait for news; whoever listens has them back."""
        self._returning: dict[ScopeKey, asyncio.Task[None]] = {}
        self._channel = channel
        self._around = around
        self._keys: set[ScopeKey] = set()
        self._running: dict[ScopeKey, asyncio.Task[None]] = {}
        self._heard: set[ScopeKey] = set()

    @property
    def keys(self) -> frozenset[ScopeKey]:
        """The scopes that are attended, whether they have a line or not."""
        return frozenset(self._keys)

    def begin(self, key: ScopeKey, line: LegacyLine | None) -> None:
        """Listen to the line of `key`: to the one that is open, and to those that will be."""
        if key not in self._keys:
            self._keys.add(key)
            if line is not None:
                self._start(key, line)
            elif (lost := self._lost.get(key)) is not None:
                self._recall(key, lost)

    async def opened(self, key: ScopeKey, line: LegacyLine) -> None:
        """The scope has this line from now on. Some servers ask on the stream as soon as they are called, and drop
        what they cannot say: so the first call waits, a little, for the stream.
        """
        self._lost.pop(key, None)
        if key in self._keys:
            await self._start(key, line).settled(FIRST_WORD)

    def end(self, key: ScopeKey) -> None:
        """Nobody listens any more."""
        self._keys.discard(key)
        self._heard.discard(key)
        self._paces.pop(key, None)
        self._stop(key)
        if (task := self._returning.pop(key, None)) is not None:
            task.cancel()

    def forget(self, key: ScopeKey) -> None:
        """The client has gone for good."""
        self._lost.pop(key, None)
        self.end(key)

    async def listen(self, key: ScopeKey, line: LegacyLine, begun: Begun) -> bool:
        """Listen on `line` until it is over; False, at once, when the server opens no streams."""
        tasks = self._around.tasks
        held = nullcontext if line.questions is None else line.questions.elsewhere
        loose = Loose(key, lambda body: line.channel.send(body, line.loose), self._around, held)
        opening = partial(self._stream, "watch" if key == HOUSE else "session", line)
        listening = tasks.spawn(Listener(line, opening, self._around, loose.hear, begun).run(), f"stream of {key}")
        ending = tasks.spawn(line.life.wait_ended(), f"life of {key}")
        try:
            await asyncio.wait({listening, ending}, return_when=asyncio.FIRST_COMPLETED)
            return not (listening.done() and listening.result() is Ending.NOT_SERVED)
        finally:
            listening.cancel()
            ending.cancel()
            loose.end()

    def _start(self, key: ScopeKey, line: LegacyLine) -> _Beginning:
        self._stop(key)
        beginning = _Beginning(partial(self._begun, key, line))
        task = self._around.tasks.spawn(self._attend(key, line, beginning.begun), f"listen for {key}")
        self._running[key] = task
        task.add_done_callback(lambda _: self._running.pop(key) if self._running.get(key) is task else None)
        task.add_done_callback(lambda _: beginning.over())
        return beginning

    async def _attend(self, key: ScopeKey, line: LegacyLine, begun: Begun) -> None:
        started = self._around.clock()
        await self.listen(key, line, begun)
        if key in self._keys and line.life.ended and line.subscribed:
            self._lost[key] = line
            if self._around.clock() - started >= STEADY_AFTER:
                self._paces.pop(key, None)
            self._recall(key, line)

    def _recall(self, key: ScopeKey, line: LegacyLine) -> None:
        pace = self._paces.setdefault(key, Pace())
        task = self._around.tasks.spawn(self._return(key, line, pace), f"return of {key}")
        self._returning[key] = task
        task.add_done_callback(lambda _: self._returning.pop(key) if self._returning.get(key) is task else None)

    async def _return(self, key: ScopeKey, line: LegacyLine, pace: Pace) -> None:
        """Have a session again, with all that its client has subscribed to; a call may bring it back first."""
        while key in self._keys:
            await asyncio.sleep(pace.wait(random.random()))  # noqa: S311 (spreads load)
            if key in self._running:
                return
            with suppress(GatewayError):
                await self._reopen(key, line.opening)
                self._around.events.session_reinitialised("stream")
                return

    def _begun(self, key: ScopeKey, line: LegacyLine, missed: bool) -> None:
        """What may have changed since this client was last heard for counts as changed."""
        if missed and key in self._heard:
            for message in (*changed(advertised(line.greeting.capabilities)), *updated(line.subscribed)):
                self._around.audience.heard(key, message)
        self._heard.add(key)

    @asynccontextmanager
    async def _stream(self, kind: str, line: LegacyLine, last_event_id: str) -> AsyncIterator[EventStream]:
        async with self._channel.listen(line.loose, last_event_id) as stream:
            self._around.events.stream_opened(kind)
            left = False
            try:
                yield stream
            except asyncio.CancelledError:
                left = True
                raise
            finally:
                self._around.events.stream_closed(kind, broken=not left)

    def _stop(self, key: ScopeKey) -> None:
        if (task := self._running.pop(key, None)) is not None:
            task.cancel()
