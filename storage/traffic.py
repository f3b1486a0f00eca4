"""How servers did lately, by what was recorded.

Which question: how many calls of each server ended in the last minutes, how, and how fast? Reads `server_calls`. The
rule: calls that say nothing about the server (cancelled, abandoned, refused) are counted but never in a share.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from storage.database import Database
from storage.records import NOT_COUNTED, SUCCESSES, Outcome, RecordState
from storage.schema import server_calls

WINDOW = timedelta(minutes=5)
LONGEST_CALL = timedelta(minutes=15)
"""Rows are found by when they started; calls that took longer than this are missed."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """One server's calls of the window: how many ended with which outcome, and how long each kind took together."""

    calls: Mapping[Outcome, int] = field(default_factory=dict)
    total_us: Mapping[Outcome, int] = field(default_factory=dict)

    @property
    def counted(self) -> int:
        """Calls that say something about the server."""
        return sum(number for outcome, number in self.calls.items() if outcome not in NOT_COUNTED)

    @property
    def successes(self) -> int:
        """Calls in which the server did its work."""
        return sum(number for outcome, number in self.calls.items() if outcome in SUCCESSES)

    @property
    def success_us(self) -> int:
        """Microseconds that these took together."""
        return sum(spent for outcome, spent in self.total_us.items() if outcome in SUCCESSES)

    @property
    def success_rate(self) -> float | None:
        """From 0 to 1; None of nothing."""
        return self.successes / self.counted if self.counted else None

    @property
    def mean_ms(self) -> float | None:
        """Mean milliseconds of a success; None of nothing."""
        return self.success_us / self.successes / 1_000 if self.successes else None

    @property
    def concurrency(self) -> float:
        """Calls in flight on average over the window (Little's law)."""
        return sum(self.total_us.values()) / (WINDOW / timedelta(microseconds=1))


async def recent(db: Database, server_id: int | None = None, *, now: datetime | None = None) -> dict[int, Traffic]:
    """The calls of the last five minutes by server id: of every server that had any, or of one alone. Raises
    `DatabaseUnavailable`.
    """
    since = (now or datetime.now(UTC)) - WINDOW
    calls = server_calls.c
    query = (
        select(calls.server_id, calls.outcome, func.count(), func.sum(calls.total_us))
        .where(calls.created_at >= since - LONGEST_CALL, calls.finished_at >= since)
        .where(calls.record_state == RecordState.FINAL, calls.outcome.is_not(None))
        .group_by(calls.server_id, calls.outcome)
    )
    if server_id is not None:
        query = query.where(calls.server_id == server_id)
    numbers, spent = defaultdict[int, dict[Outcome, int]](dict), defaultdict[int, dict[Outcome, int]](dict)
    async with db.reading() as connection:
        for server, outcome, number, total_us in await connection.execute(query):
            numbers[server][Outcome(outcome)], spent[server][Outcome(outcome)] = number, int(total_us or 0)
    return {server: Traffic(numbers[server], spent[server]) for server in numbers}
