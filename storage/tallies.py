"""Exact counts of calls by hour, server and outcome.

Which question: how do the counts follow the rows? Touches `call_tallies`, in the transaction that writes the rows it
counts. The rule: each row whose outcome is known is counted once, under the outcome that it has; nobody else's rows
are touched, since the journal is part of the key.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from storage.dialects import Dialect
from storage.records import CallUid, Outcome
from storage.rows import hour_of
from storage.schema import call_tallies
from storage.upserts import added


@dataclass(frozen=True, slots=True)
class Count:
    """One row enters a tally (`calls` 1) or leaves it (-1)."""

    call_uid: CallUid
    server_id: int
    outcome: Outcome
    journal_id: int
    total_us: int = 0
    calls: int = 1


async def tally(connection: AsyncConnection, dialect: Dialect, counts: Iterable[Count]) -> None:
    """Add `counts` to the tallies."""
    sums: defaultdict[tuple[object, ...], list[int]] = defaultdict(lambda: [0, 0])
    for count in counts:
        cell = sums[hour_of(count.call_uid), count.server_id, count.outcome.value, count.journal_id]
        cell[0] += count.calls
        cell[1] += count.total_us
    names = [column.name for column in call_tallies.columns]
    rows = [dict(zip(names, (*key, *cell), strict=True)) for key, cell in sums.items()]
    if rows:
        await connection.execute(added(dialect, call_tallies, ("calls", "total_us")), rows)
