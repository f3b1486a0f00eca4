"""The event loop's lag, measured on a loop that is really blocked."""

from __future__ import annotations

import asyncio
import time

from prometheus_client import CollectorRegistry

from gateway.metrics import LoopLag
from gateway.metrics.loop import WINDOW_SECONDS
from storage.tasks import Tasks

NAME = "mcp_gateway_event_loop_lag_seconds"


class Watched(LoopLag):
    """Says when a lag worth waiting for was measured."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry, period=0.01)
        self.blocked = asyncio.Event()

    def late(self, seconds: float) -> None:
        super().late(seconds)
        if seconds > 0.15:
            self.blocked.set()


async def test_a_blocked_loop_is_seen_and_stays_visible_for_a_window() -> None:
    registry, tasks = CollectorRegistry(), Tasks("test")
    lag = Watched(registry)
    tasks.spawn(lag.run(), "lag")
    asyncio.get_running_loop().call_later(0.02, time.sleep, 0.2)
    async with asyncio.timeout(5):
        await lag.blocked.wait()
    await tasks.close()
    lag.late(0.0)
    assert (registry.get_sample_value(NAME) or 0) > 0.15


def test_the_worst_of_a_window_is_shown_and_then_forgotten() -> None:
    registry = CollectorRegistry()
    lag = LoopLag(registry, period=1.0)
    lag.late(0.7)
    for _ in range(int(WINDOW_SECONDS) - 1):
        lag.late(0.1)
    assert registry.get_sample_value(NAME) == 0.7
    lag.late(0.1)
    assert registry.get_sample_value(NAME) == 0.1
