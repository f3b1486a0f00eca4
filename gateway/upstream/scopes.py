"""Who shares a line with whom, and how long an unused one lives.

Which question: which session or child serves this call? Touches the clock that it is given. The rule: a scope has
one line, opened once however many ask for it at the same moment; nobody gets a line of another scope.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Literal

from gateway.errors import GatewayError, Kind
from gateway.protocol.versions import Era
from gateway.upstream.flight import Flight
from gateway.upstream.line import Lease, Line
from gateway.upstream.surroundings import Surroundings
from gateway.upstream.values import Forward, ScopeKey

Isolation = Literal["auto", "session", "caller", "shared", "call"]
HOUSE = ScopeKey("house")
"""The gateway's own scope: probes and discovery."""

OF_ONE_CLIENT: frozenset[Isolation] = frozenset({"auto", "session"})
"""Isolations under which a client with a session has one of its own with the server, and hears what it says there."""

ENDED_AT_ONCE = 32
"""Lines of one server that are ended side by side: what a thousand idle clients leave behind goes in turns, not with a
thousand connections.
"""

_SESSION, _ONE_CALL = "session:", "call:"


class ScopeKeys:
    """Turns calls into scope keys under one isolation policy.

    `auto` is the client's session where it has one, else the user. `session` gives a client without one a line for
    the single call, and what is asked `alone` always gets one. `shared` is everybody who sends the same allow-listed
    headers, which may be credentials.
    """

    def __init__(self, isolation: Isolation) -> None:
        self._isolation = isolation
        self._serial: Iterator[int] = count(1)

    def of(self, call: Forward) -> ScopeKey:
        scope = call.scope
        match "alone" if call.alone else self._isolation:
            case "shared":
                return ScopeKey(f"shared:{_digest(call)}")
            case "auto" | "session" if scope.session is not None:
                return session_key(scope.session)
            case "auto" | "caller":
                return ScopeKey(f"user:{scope.user_id}")
        return ScopeKey(f"{_ONE_CALL}{next(self._serial)}")


def session_key(sid: str) -> ScopeKey:
    """The key of the lines that serve one client session alone."""
    return ScopeKey(f"{_SESSION}{sid}")


def session_of(key: ScopeKey) -> str | None:
    """The sid of the one client session that lines of this scope serve; None for every other scope."""
    return key.removeprefix(_SESSION) if is_of_session(key) else None


def is_of_session(key: ScopeKey) -> bool:
    """Whether lines of this scope serve one client session alone."""
    return key.startswith(_SESSION)


def is_of_one_call(key: ScopeKey) -> bool:
    """Whether a line of this scope ends with the one call that it serves."""
    return key.startswith(_ONE_CALL)


@dataclass(slots=True, eq=False)
class _Slot:
    """A scope's place in the pool. `line` is None until it is open."""

    key: ScopeKey
    last_used: float
    users: int = 0
    line: Line | None = None
    flight: Flight[Line] = field(init=False)

    @property
    def stale(self) -> bool:
        return self.line is not None and self.line.life.ended


class Pool:
    """The lines of one server, by scope.

    `open` opens the line of a scope for its first call; `brief` are scopes whose lines end with their last user (a
    single call's always do). At most `most` lines of callers are kept; the gateway's own is not counted.
    """

    def __init__(
        self,
        open: Callable[[ScopeKey, Forward], Awaitable[Line]],
        around: Surroundings,
        *,
        most: int | None = None,
        brief: frozenset[ScopeKey] = frozenset(),
    ) -> None:
        self._open_line = open
        self._tasks = around.tasks
        self._clock = around.clock
        self._events = around.events
        self._most = most
        self._brief = brief
        self._slots: dict[ScopeKey, _Slot] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(ENDED_AT_ONCE)
        self._closed = False

    def __repr__(self) -> str:
        return f"<Pool of {len(self._slots)} lines>"

    def __len__(self) -> int:
        return len(self._slots)

    async def take(self, key: ScopeKey, call: Forward) -> Lease:
        """The line of `key`, opened for `call` when there is none. Raises `GatewayError`; BUSY when all are taken."""
        slot = self._slots.get(key)
        if slot is None or slot.stale:
            slot = self._open(key, call)
        slot.users += 1
        try:
            line = slot.line or await slot.flight.join()
        except BaseException:
            self._give_back(slot)
            raise
        return Lease(line, partial(self._give_back, slot))

    def borrow(self, key: ScopeKey) -> Lease | None:
        """The line of `key` if it is open; None otherwise."""
        slot = self._slots.get(key)
        if slot is None or slot.line is None or slot.stale:
            return None
        slot.users += 1
        return Lease(slot.line, partial(self._give_back, slot))

    async def end(self, key: ScopeKey) -> None:
        """End the line of `key`, if there is one, in use or not. The end goes on when the waiting is cut short."""
        slot = self._slots.get(key)
        if slot is not None and (ending := self._drop(slot)) is not None:
            await asyncio.shield(ending)

    async def sweep(self, before: float, keep: frozenset[ScopeKey] = frozenset()) -> None:
        """End the lines that nobody has used since `before`, and forget those that ended by themselves."""
        idle = [slot for slot in self._slots.values() if slot.users == 0 and slot.last_used <= before]
        for slot in (*self._stale(), *(slot for slot in idle if slot.key not in keep)):
            self._drop(slot)

    async def close(self) -> None:
        """End every line, and open none any more; an opening under way is stopped, since its server may be mute."""
        self._closed = True
        for slot in tuple(self._slots.values()):
            self._drop(slot)
            slot.flight.stop()
        await asyncio.gather(*self._ending)

    def _open(self, key: ScopeKey, call: Forward) -> _Slot:
        if self._closed:
            raise GatewayError(Kind.DRAINING, "the server's connections are being closed", unsent=True)
        for slot in self._stale():
            self._drop(slot)
        self._check_room(key)
        slot = self._slots[key] = _Slot(key, self._clock())
        slot.flight = Flight(self._tasks, partial(self._opened, slot, call), f"open {key}")
        return slot

    async def _opened(self, slot: _Slot, call: Forward) -> Line:
        try:
            slot.line = await self._open_line(slot.key, call)
        finally:
            if slot.line is None and self._slots.get(slot.key) is slot:
                del self._slots[slot.key]
        if slot.line.era is Era.LEGACY:
            self._events.session_opened()
        return slot.line

    def _stale(self) -> list[_Slot]:
        return [slot for slot in self._slots.values() if slot.stale]

    def _check_room(self, key: ScopeKey) -> None:
        taken = sum(1 for other in self._slots if other != HOUSE)
        if self._most is not None and key != HOUSE and taken >= self._most:
            raise GatewayError(
                Kind.BUSY,
                f"all {self._most} processes of this server are serving other sessions; one comes free when a "
                "session ends or has been idle for some minutes: try again later, or do without it",
                reason="max_children",
                unsent=True,
            )

    def _give_back(self, slot: _Slot) -> None:
        slot.users -= 1
        slot.last_used = self._clock()
        if slot.users == 0 and (slot.key in self._brief or is_of_one_call(slot.key)):
            self._drop(slot)

    def _drop(self, slot: _Slot) -> asyncio.Task[None] | None:
        """End a line in the background, once: a line must not be lost because its client no longer waits."""
        if self._slots.get(slot.key) is not slot:
            return None
        del self._slots[slot.key]
        task = self._tasks.spawn(self._end(slot), f"end {slot.key}")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task

    async def _end(self, slot: _Slot) -> None:
        """Wait for a line that is still being opened, so that no session and no child is left behind."""
        try:
            line = await slot.flight.join()
        except GatewayError:
            return
        async with self._turns:
            await line.life.end()
        if line.era is Era.LEGACY:
            self._events.session_ended()


def _digest(call: Forward) -> str:
    """Tells apart the allow-listed headers of two calls, without keeping them."""
    hasher = hashlib.sha256()
    for name, value in sorted(call.headers.items()):
        hasher.update(f"{name}\0{value}\0".encode())
    return hasher.hexdigest()[:16] if call.headers else ""
