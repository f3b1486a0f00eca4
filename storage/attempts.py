"""Transactions that are run again.

Which question: when, and how often, after one that failed? Touches nothing. The rule: only `DatabaseContended` is met
with another attempt at once, and the whole transaction is run again, from its first read.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from storage.errors import DatabaseContended

T = TypeVar("T")
ATTEMPTS = 5


async def repeated(transaction: Callable[[], Awaitable[T]]) -> T:
    """What `transaction` returns, run at most five times. Raises what its last run raised."""
    for _ in range(ATTEMPTS - 1):
        try:
            return await transaction()
        except DatabaseContended:
            continue
    return await transaction()


def delays() -> Iterator[float]:
    """Seconds between attempts that never end: doubling from 50 ms to 2 s, each cut by up to a half so that those who
    wait part ways.
    """
    delay = 0.05
    while True:
        yield delay * random.uniform(0.5, 1)  # noqa: S311  no secret
        delay = min(2 * delay, 2.0)
