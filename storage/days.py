"""Days as parts of a table.

Which question: which days should a partitioned table have, and how are they called? Pure. The rule: parts follow each
other without gaps, and there is always one for whatever comes after the last day, so that no insert is ever refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

DAY = timedelta(days=1)
AHEAD = 7
BACK = 366
"""Days that are made ahead, and back to which a table that is partitioned anew is cut into days."""

BEFORE, REST = "pbefore", "prest"
"""What is older than the first day, and what is younger than the last."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows from `since` (None: from the first) until before `until` (None: to the last)."""

    name: str
    since: datetime | None
    until: datetime | None


def day_of(moment: datetime) -> datetime:
    """The beginning of its day, in UTC."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def name_of(day: datetime) -> str:
    return f"p{day:%Y%m%d}"


def parts(first: datetime, now: datetime) -> list[Part]:
    """Every part of a table whose oldest row is of `first`."""
    start = max(day_of(first), day_of(now) - BACK * DAY)
    last = day_of(now) + (AHEAD + 1) * DAY
    return [Part(BEFORE, None, start), *days(start, last), Part(REST, last, None)]


def days(start: datetime, end: datetime) -> Iterator[Part]:
    """Each day from `start` until before `end`."""
    while start < end:
        yield Part(name_of(start), start, start + DAY)
        start += DAY


def missing(have: Sequence[Part], now: datetime, newest: datetime | None = None) -> list[Part]:
    """The days that a table lacks. `newest` is the last row for which there was no day any more, where such rows cannot
    be moved: the first new day comes after it.
    """
    known = [part.until for part in have if part.until is not None]
    if not known:
        return []
    start = max(known) if newest is None else max(*known, day_of(newest) + DAY)
    return list(days(start, day_of(now) + (AHEAD + 1) * DAY))


def gone(have: Sequence[Part], before: datetime) -> list[Part]:
    """Parts whose every row is older than `before`."""
    return [part for part in have if part.until is not None and part.until <= before]
