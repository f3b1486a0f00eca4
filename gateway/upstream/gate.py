"""How many calls a server gets at once.

Which question: may this call go to its server now? Touches the event loop alone. The rule: whoever entered leaves,
and a queue that is full says so at once, since a call that waits without hope only holds memory.
"""

from __future__ import annotations

import asyncio

from gateway.errors import GatewayError, Kind


class Gate:
    """`places` calls at a time, `queue` more that wait in order; `slug` is named in refusals."""

    def __init__(self, slug: str, places: int, queue: int) -> None:
        self._slug = slug
        self._places = asyncio.Semaphore(places)
        self._queue = queue
        self._waiting = 0
        self._inside = 0
        self._owed = 0
        self._shut = False
        self._over = False
        self._empty = asyncio.Event()
        self._empty.set()

    def __repr__(self) -> str:
        return f"<Gate {self._slug}: {self._inside} inside, {self._waiting} waiting>"

    @property
    def inside(self) -> int:
        """Calls that have a place."""
        return self._inside

    @property
    def waiting(self) -> int:
        """Calls that wait for one."""
        return self._waiting

    def check(self) -> None:
        """Raises DRAINING once it is shut."""
        if self._shut:
            raise self._draining()

    async def enter(self, deadline: float) -> None:
        """Take a place, waiting until `deadline` (the loop's clock). Raises BUSY, or DRAINING once it is shut."""
        self.check()
        self._empty.clear()
        try:
            await (self._wait(deadline) if self._places.locked() else self._places.acquire())
        except BaseException:
            self._check_empty()
            raise
        if self._over:
            self._places.release()
            raise self._draining()
        self._inside += 1

    def leave(self) -> None:
        """Give the place back."""
        self.lend()
        self._inside -= 1
        self._check_empty()

    def lend(self) -> None:
        """Whoever is inside works no more, or not now: another may have the place."""
        if self._owed:
            self._owed -= 1
        else:
            self._places.release()

    def reclaim(self) -> None:
        """Whoever lent its place goes on at once; until the next one leaves there may be one too many."""
        self._owed += 1

    async def shut(self, grace: float) -> bool:
        """Let nobody queue any more, and wait up to `grace` seconds for the others, who may still get their turn, to
        leave; whether they did.
        """
        self._shut = True
        try:
            async with asyncio.timeout(grace):
                await self._empty.wait()
        except TimeoutError:
            self._over = True
            return False
        return True

    def _check_empty(self) -> None:
        if not self._inside and not self._waiting:
            self._empty.set()

    async def _wait(self, deadline: float) -> None:
        if self._waiting >= self._queue:
            raise self._busy(f"{self._inside} calls are running and {self._waiting} are waiting")
        self._waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                await self._places.acquire()
        except TimeoutError:
            raise self._busy("no place came free in time") from None
        finally:
            self._waiting -= 1

    def _busy(self, why: str) -> GatewayError:
        return GatewayError(
            Kind.BUSY, f"{self._slug} is busy: {why}; try again in a few seconds", reason="queue_full", unsent=True
        )

    def _draining(self) -> GatewayError:
        return GatewayError(Kind.DRAINING, f"{self._slug} takes no more calls: it is being stopped", unsent=True)


class Place:
    """A call's place; others may have it while the call's client is being asked."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def stop(self) -> None:
        self._gate.lend()

    def go(self) -> None:
        self._gate.reclaim()
