"""Moments as people write them, on a command line or in a query.

Which question: when is `10m` ago, or `2026-01-31T08:30`? Pure: now is an argument. The rule: what cannot be read is
answered with what was probably meant.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
FORMS = "write 30s, 10m, 2h, 3d, 1w, 2026-01-31 or 2026-01-31T08:30"

_AGO = re.compile(r"([0-9]{1,9})([smhdw])")
_NEARLY_AGO = re.compile(r"\W*([0-9]{1,9})\s*([smhdw])[a-z]*(\s+ago)?\W*", re.IGNORECASE)


def moment(text: str, now: datetime, *, zoned: bool = False) -> datetime:
    """The moment that `text` means, in UTC: so long before `now`, or a date with or without a time (ISO 8601), local
    unless it names a zone, which it must where it is `zoned`. Raises ValueError whose message says what may be written.
    """
    if (ago := _AGO.fullmatch(text)) is not None:
        return _before(now, int(ago[1]), ago[2])
    try:
        found = datetime.fromisoformat(text)
        utc = found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time; {_meant(text)}") from None
    if zoned and found.tzinfo is None:
        raise ValueError(f"{text!r} names no zone; write 2026-01-31T08:30Z, or how long ago it was, 2h")
    return utc


def _before(now: datetime, number: int, unit: str) -> datetime:
    try:
        return (now - timedelta(**{UNITS[unit]: number})).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{number}{unit} ago is before time began") from None


def _meant(text: str) -> str:
    nearly = _NEARLY_AGO.fullmatch(text)
    return FORMS if nearly is None else f"did you mean {nearly[1]}{nearly[2].lower()}?"
