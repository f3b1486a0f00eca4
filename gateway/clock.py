"""Time and chance, as values that are passed in.

Which question: what time is it, and what is random here? The rule: nobody else reads a clock on the data path, so
that every test owns its time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass


def _wall_us() -> int:
    return time.time_ns() // 1_000


def _steady_us() -> int:
    return time.perf_counter_ns() // 1_000


@dataclass(frozen=True, slots=True)
class Clock:
    """`wall_us`: microseconds since the Unix epoch; `steady_us`: microseconds that never jump; `entropy(n)`: n
    random bytes.
    """

    wall_us: Callable[[], int] = _wall_us
    steady_us: Callable[[], int] = _steady_us
    entropy: Callable[[int], bytes] = os.urandom

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        return self.wall_us() / 1_000_000
