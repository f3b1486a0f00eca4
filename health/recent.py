"""How a server did lately.

Which question: how often, and how fast, did it answer in the last five minutes? Pure: moments are arguments. The rule:
what is older than the window is never counted, however rarely anybody asks.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from health.probe import Observation

WINDOW_US = 300_000_000


@dataclass(frozen=True, slots=True)
class Counts:
    """Calls or probes: `counted` of them say something about the server, `successes` of these went well, and those
    that were `timed` took `total_us` together.
    """

    counted: int = 0
    successes: int = 0
    timed: int = 0
    total_us: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.counted + other.counted,
            self.successes + other.successes,
            self.timed + other.timed,
            self.total_us + other.total_us,
        )

    @property
    def success_rate(self) -> float | None:
        """From 0 to 1; None of nothing."""
        return self.successes / self.counted if self.counted else None

    @property
    def mean_ms(self) -> float | None:
        """Milliseconds; None of nothing."""
        return self.total_us / self.timed / 1_000 if self.timed else None


class Recent:
    """A sliding window over one server's observations."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, Observation]] = deque()

    def add(self, now_us: int, observation: Observation) -> None:
        """A probe ended."""
        self._prune(now_us)
        self._seen.append((now_us, observation))

    def counts(self, now_us: int) -> Counts:
        """The probes of the window that ends now; bad ones have no time."""
        self._prune(now_us)
        good = [observation for _, observation in self._seen if observation.ok]
        return Counts(len(self._seen), len(good), len(good), sum(one.latency_us for one in good))

    def _prune(self, now_us: int) -> None:
        """Nor is what seems to come from later, since the clock was set back: nobody knows how old it is."""
        while self._seen and self._seen[-1][0] > now_us:
            self._seen.pop()
        while self._seen and self._seen[0][0] <= now_us - WINDOW_US:
            self._seen.popleft()
