"""How long records are kept, and how fast they go."""

from __future__ import annotations

from datetime import timedelta

import pytest

from storage.pace import FEWEST, MOST, REST, TARGET, Pace
from storage.retention import Ages, Terms, age_of, size_of, terms
from storage.settings import RetentionSettings, ServerRetention

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "age"),
    [("12h", DAY / 2), ("90d", 90 * DAY), ("8w", 56 * DAY), ("2y", 730 * DAY), ("forever", None)],
)
def test_an_age_is_a_number_and_a_unit(text: str, age: timedelta | None) -> None:
    assert age_of(text) == age


def test_a_size_is_decimal() -> None:
    assert [size_of(text) for text in ("500MB", "20GB", "1TB")] == [500_000_000, 20_000_000_000, 1_000_000_000_000]


def test_without_a_word_everything_is_kept() -> None:
    assert terms(RetentionSettings(), {"time": None, "docs": ServerRetention()}).keeps_all


@pytest.mark.parametrize(
    "settings",
    [{"calls": "1d"}, {"payloads": "1d"}, {"transitions": "1d"}, {"size": "1GB"}],
)
def test_any_word_is_heard(settings: dict[str, str]) -> None:
    assert not terms(RetentionSettings(**settings), {}).keeps_all


def test_a_server_s_own_ages_stand_over_the_common_ones() -> None:
    own = {"docs": ServerRetention(calls="forever"), "time": ServerRetention(payloads="1h")}
    found = terms(RetentionSettings(calls="90d", payloads="14d"), own)
    assert found.of("docs") == Ages(None, 14 * DAY)
    assert found.of("time") == Ages(90 * DAY, DAY / 24)
    assert found.of("web") == found.of(None) == Ages(90 * DAY, 14 * DAY)
    assert not Terms(servers=found.servers).keeps_all


def test_what_is_gone_everywhere_is_older_than_each_age() -> None:
    assert Terms(Ages(90 * DAY, 14 * DAY), {"a": Ages(30 * DAY, None)}).longest == Ages(90 * DAY, 30 * DAY)
    assert Terms(Ages(90 * DAY), {"a": Ages(None, DAY)}).longest == Ages(None, 90 * DAY)


def test_payloads_that_outlive_their_calls_need_no_step_of_their_own() -> None:
    assert Ages(None, DAY).strips
    assert Ages(2 * DAY, DAY).strips
    assert not Ages(DAY, DAY).strips
    assert not Ages(DAY, None).strips


@pytest.mark.trap(53)
@pytest.mark.parametrize("per_row", [0.000_01, 0.000_2, 0.001, 0.01])
def test_a_transaction_comes_to_take_as_long_as_it_may(per_row: float) -> None:
    pace = Pace()
    for _ in range(20):
        pace.took(pace.rows * per_row, pace.rows)
    assert FEWEST <= pace.rows <= MOST
    assert pace.rows * per_row <= TARGET * 1.1 or pace.rows == FEWEST
    assert pace.rows * per_row >= TARGET * 0.9 or pace.rows == MOST
    assert REST[0] <= pace.rest <= REST[1]
