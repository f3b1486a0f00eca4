"""One piece of work that many wait for.

Which question: how do concurrent callers share one opening, and survive each other's leaving? Touches the event loop
alone. The rule: a waiter who is cancelled leaves alone; the work belongs to its owner and ends or fails for all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from gateway.errors import GatewayError, Kind
from storage.tasks import Tasks

T = TypeVar("T")


class Flight(Generic[T]):
    """Runs `work` once, in a task of `tasks`. Its `GatewayError` reaches every waiter and is logged by none."""

    def __init__(self, tasks: Tasks, work: Callable[[], Awaitable[T]], name: str) -> None:
        self._task = tasks.spawn(_settled(work), name)

    async def join(self) -> T:
        """The result of the work. Raises its `GatewayError`; DRAINING when it was stopped."""
        await asyncio.wait({self._task})
        return self._result()

    async def landed(self, within: float) -> bool:
        """Wait up to `within` seconds; whether the work has ended by then."""
        await asyncio.wait({self._task}, timeout=within)
        return self._task.done()

    def stop(self) -> None:
        """Cancel the work, if it has not ended."""
        self._task.cancel()

    def _result(self) -> T:
        if self._task.cancelled():
            raise GatewayError(Kind.DRAINING, "the server's connections are being closed", unsent=True)
        settled = self._task.result()
        if isinstance(settled, GatewayError):
            raise settled
        return settled


async def first_good(*flights: Flight[T]) -> T:
    """The result of whichever succeeds first, of several at once the first named; the rest are stopped.

    Raises the last error when all fail.
    """
    waiting = {flight._task: flight for flight in flights}
    try:
        while True:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in waiting if task.done()]:
                try:
                    return waiting.pop(task)._result()
                except GatewayError:
                    if not waiting:
                        raise
    finally:
        for flight in flights:
            flight.stop()


async def _settled(work: Callable[[], Awaitable[T]]) -> T | GatewayError:
    try:
        return await work()
    except GatewayError as error:
        return error
