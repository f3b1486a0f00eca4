"""How late the event loop is.

Which question: how long does a ready callback wait for its turn? Touches the running loop's clock. The rule: the gauge
shows the worst of a window rather than the last measurement, so that a stall between two scrapes is seen, and however
many read it, all see the same.
"""

from __future__ import annotations

import asyncio
from collections import deque

from prometheus_client import CollectorRegistry, Gauge

WINDOW_SECONDS = 30.0
"""Two scrapes at the usual interval of 15 s."""


class LoopLag:
    """`mcp_gateway_event_loop_lag_seconds`, measured every `period` seconds by whoever runs `run`."""

    def __init__(self, registry: CollectorRegistry, period: float = 0.25) -> None:
        self._period = period
        self._recent: deque[float] = deque(maxlen=max(1, round(WINDOW_SECONDS / period)))
        self._gauge = Gauge(
            "mcp_gateway_event_loop_lag_seconds",
            "The longest that a timer of the event loop was late in the last 30 s.",
            registry=registry,
        )

    async def run(self) -> None:
        """Measure until cancelled; a task of its owner."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self._period
            await asyncio.sleep(self._period)
            self.late(max(0.0, loop.time() - due))

    def late(self, seconds: float) -> None:
        """A timer was this late."""
        self._recent.append(seconds)
        self._gauge.set(max(self._recent))
