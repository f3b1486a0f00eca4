"""Transactions that are worth running again at once.

Which question: what if another transaction was in the way? Touches nothing. The rule: only `DatabaseContended` is met
with another attempt, and the whole transaction is run again, from its first read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
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
