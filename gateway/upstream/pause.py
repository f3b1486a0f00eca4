"""Time that is not the server's: while its client is being asked, a server may be silent.

Which question: does this wait count against the server? Touches the event loop's clock. The rule: what is held is
resumed by whoever held it, and however long a client thinks, each call has an end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")


class Pausable(Protocol):
    """A clock that can stand still. Both verbs are synchronous and never raise."""

    def stop(self) -> None:
        """Time stands still."""

    def go(self) -> None:
        """Time goes on."""


class Pause:
    """Stops the clocks that joined it for as long as anybody holds it."""

    def __init__(self) -> None:
        self._holds = 0
        self._clocks: set[Pausable] = set()

    @property
    def held(self) -> bool:
        return self._holds > 0

    def join(self, clock: Pausable) -> None:
        """Stop `clock` together with the others, at once when the pause is held."""
        self._clocks.add(clock)
        if self.held:
            clock.stop()

    def part(self, clock: Pausable) -> None:
        """Leave `clock` alone from now on."""
        if clock in self._clocks:
            self._clocks.discard(clock)
            if self.held:
                clock.go()

    @contextmanager
    def around(self, clock: Pausable) -> Iterator[None]:
        """`clock` joins, and parts."""
        self.join(clock)
        try:
            yield
        finally:
            self.part(clock)

    def hold(self) -> None:
        self._holds += 1
        if self._holds == 1:
            for clock in self._clocks:
                clock.stop()

    def resume(self) -> None:
        self._holds -= 1
        if self._holds == 0:
            for clock in self._clocks:
                clock.go()


class Silence:
    """The longest silence: `seconds` on `clock`, counted anew after each stop. None: no limit."""

    def __init__(self, clock: asyncio.Timeout, seconds: float | None) -> None:
        self._clock = clock
        self._seconds = seconds

    def stop(self) -> None:
        self._set(None)

    def go(self) -> None:
        self._set(None if self._seconds is None else asyncio.get_running_loop().time() + self._seconds)

    def _set(self, when: float | None) -> None:
        if not self._clock.expired():
            self._clock.reschedule(when)


class Deadline:
    """The end of a call: `seconds` without its stops, which may last `allowance` seconds together. None: no end."""

    def __init__(self, seconds: float | None, allowance: float) -> None:
        self._now = asyncio.get_running_loop().time
        self._at = None if seconds is None else self._now() + seconds
        self._allowance = allowance
        self._stopped: float | None = None
        self._clock: asyncio.Timeout | None = None

    @property
    def at(self) -> float | None:
        """The end on the loop's clock, if nothing changes."""
        if self._at is None or self._stopped is None:
            return self._at
        return self._at + self._allowance

    @property
    def stopped(self) -> bool:
        return self._stopped is not None

    def stop(self) -> None:
        if self._stopped is None:
            self._stopped = self._now()
            self._set()

    def go(self) -> None:
        if self._stopped is None:
            return
        stood = min(self._now() - self._stopped, self._allowance)
        self._stopped = None
        self._allowance -= stood
        self._at = None if self._at is None else self._at + stood
        self._set()

    async def meet(self, step: Awaitable[T]) -> T:
        """Await one step of the call. Raises `TimeoutError` at the end."""
        async with asyncio.timeout_at(self.at) as clock:
            self._clock = clock
            try:
                return await step
            finally:
                self._clock = None

    def _set(self) -> None:
        if self._clock is not None and not self._clock.expired():
            self._clock.reschedule(self.at)
