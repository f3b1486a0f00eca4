"""Which days a table has, and which it lacks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from storage.days import AHEAD, BACK, BEFORE, DAY, REST, Part, gone, missing, name_of, parts

NOW = datetime(2026, 11, 23, 13, 45, tzinfo=UTC)
TODAY = datetime(2026, 11, 23, tzinfo=UTC)


def test_parts_follow_each_other_without_gaps_and_take_whatever_comes() -> None:
    found = parts(NOW - 3 * DAY, NOW)
    assert [part.name for part in found[:3]] == [BEFORE, "p20261120", "p20261121"]
    assert (found[0].since, found[-1].name, found[-1].until) == (None, REST, None)
    assert all(one.until == other.since for one, other in pairwise(found))
    assert found[-1].since == TODAY + (AHEAD + 1) * DAY


def test_a_table_of_many_years_is_not_cut_into_all_of_their_days() -> None:
    found = parts(NOW - timedelta(days=4_000), NOW)
    assert len(found) == BACK + AHEAD + 3
    assert found[1].since == TODAY - BACK * DAY


def test_an_empty_table_begins_today() -> None:
    assert [part.name for part in parts(NOW, NOW)][1] == name_of(TODAY)


def test_days_that_have_become_too_few_are_made_up_to_seven_ahead() -> None:
    have = parts(NOW - DAY, NOW)
    assert missing(have, NOW) == []
    assert [part.name for part in missing(have, NOW + DAY)] == ["p20261201"]
    assert len(missing(have, NOW + 30 * DAY)) == 30


def test_days_begin_after_rows_that_nobody_can_move() -> None:
    have = parts(NOW, NOW)
    late = NOW + 20 * DAY
    assert missing(have, late, newest=late)[0].since == TODAY + 21 * DAY


def test_a_table_in_one_piece_lacks_nothing() -> None:
    assert missing([], NOW) == missing([Part(REST, None, None)], NOW) == []


def test_a_part_is_gone_when_its_last_moment_is() -> None:
    have = parts(NOW - 2 * DAY, NOW)
    assert [part.name for part in gone(have, TODAY)] == [BEFORE, "p20261121", "p20261122"]
    assert [part.name for part in gone(have, TODAY - DAY / 24)] == [BEFORE, "p20261121"]
