from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from gateway.moments import FORMS, moment

NOW = datetime(2026, 11, 22, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("30s", timedelta(seconds=30)),
        ("10m", timedelta(minutes=10)),
        ("2h", timedelta(hours=2)),
        ("3d", timedelta(days=3)),
        ("1w", timedelta(weeks=1)),
        ("0s", timedelta()),
    ],
)
def test_so_long_ago_is_a_number_and_a_unit(text: str, ago: timedelta) -> None:
    assert moment(text, NOW) == NOW - ago


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-01-31T08:30Z", datetime(2026, 1, 31, 8, 30, tzinfo=UTC)),
        ("2026-01-31T08:30:15.5+08:00", datetime(2026, 1, 31, 0, 30, 15, 500_000, tzinfo=UTC)),
        ("20260131T083000Z", datetime(2026, 1, 31, 8, 30, tzinfo=UTC)),
    ],
)
def test_a_date_with_a_zone_is_that_moment(text: str, meant: datetime) -> None:
    assert moment(text, NOW) == meant


@pytest.mark.parametrize("text", ["2026-01-31", "2026-01-31T00:00", "2026-01-31 00:00:00"])
def test_a_date_without_a_zone_is_local(text: str) -> None:
    assert moment(text, NOW).timestamp() == time.mktime((2026, 1, 31, 0, 0, 0, 0, 0, -1))


@pytest.mark.parametrize(
    ("text", "meant"),
    [("10 min", "10m"), ("2 hours ago", "2h"), ("-5m", "5m"), ("1D", "1d"), ("30 seconds", "30s"), ("3weeks", "3w")],
)
def test_what_is_nearly_right_is_answered_with_what_was_meant(text: str, meant: str) -> None:
    with pytest.raises(ValueError, match=rf"is no time; did you mean {meant}\?"):
        moment(text, NOW)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "10", "10y", "٣ moons", "9999-12-31T23:59:59-23:59"])
def test_anything_else_is_answered_with_what_may_be_written(text: str) -> None:
    with pytest.raises(ValueError) as refusal:
        moment(text, NOW)
    assert str(refusal.value) == f"{text!r} is no time; {FORMS}"


def test_before_the_beginning_of_time_nothing_was() -> None:
    with pytest.raises(ValueError, match="999999999w ago is before time began"):
        moment("999999999w", NOW)
