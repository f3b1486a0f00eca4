"""Waiting for what has no event to wait for: bounded, and failing loudly."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

PATIENCE = 20.0


async def until(holds: Callable[[], Any], every: float = 0.002) -> None:
    """Return once `holds()`, which may be awaitable, is true; the event loop runs meanwhile."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = holds()
            if await found if inspect.isawaitable(found) else found:
                return
            await asyncio.sleep(every)
