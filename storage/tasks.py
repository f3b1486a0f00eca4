"""Background tasks with an owner.

Which question: who keeps this task alive, hears of its failure, and waits for it at shutdown? Touches the event
loop alone. The rule: nothing else in the project calls `asyncio.create_task`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")


class Tasks:
    """A set of running tasks that is closed as one."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._running: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        return f"<Tasks {self._owner}: {len(self._running)} running>"

    def __len__(self) -> int:
        return len(self._running)

    def spawn(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run `work` until it ends or `close` cancels it; a failure is logged once, with its traceback."""
        task = asyncio.get_running_loop().create_task(work, name=f"{self._owner}:{name}")
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self, grace: float = 0.0) -> None:
        """Wait up to `grace` seconds for the tasks to end by themselves, then cancel the rest and await them."""
        if self._running and grace > 0:
            await asyncio.wait(self._running, timeout=grace)
        waiting = tuple(self._running)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background task %s failed", task.get_name(), exc_info=error)
