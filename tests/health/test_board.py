"""The board: what it shows, and what it tells a model whose call is refused."""

from __future__ import annotations

import pytest

from health.board import Board
from health.probe import HealthState
from health.state import STATUS_OF, ServerHealth, Status

SINCE = 1_795_342_503_000_000
"""2026-11-22 10:15:03 UTC."""


def health(state: HealthState, reason: str | None = None) -> ServerHealth:
    return ServerHealth(state=state, since_us=SINCE, reason=reason)


def board(state: HealthState, reason: str | None = None, next_in: float | None = None, after: float = 0) -> Board:
    shown = Board()
    shown.put(7, "docs", health(state, reason))
    shown.expect(7, None if next_in is None else SINCE + round((after + next_in) * 1e6))
    return shown


def text(shown: Board, after: float = 0) -> str:
    refusal = shown.refusal(7, SINCE + round(after * 1e6))
    assert refusal is not None
    return refusal.text


def test_a_server_that_nobody_watches_is_unknown_and_may_be_called() -> None:
    assert Board().state_of(7).state is HealthState.UNKNOWN
    assert Board().refusal(7, SINCE) is None


@pytest.mark.parametrize("state", HealthState)
def test_exactly_the_servers_that_are_not_shown_as_online_are_refused(state: HealthState) -> None:
    refused = board(state).refusal(7, SINCE) is not None
    assert refused is (STATUS_OF[state] is not Status.ONLINE)


def test_a_refusal_says_which_server_since_when_why_and_when_to_come_back() -> None:
    shown = board(HealthState.DOWN, "timeout", next_in=11.2, after=125)
    assert text(shown, after=125) == (
        "Server 'docs' is offline since 2026-11-22 10:15:03 UTC (for 2 min): it does not answer in time. "
        "The call was not sent. It is probed again in 12 s: retry after that, or use another server."
    )
    refusal = shown.refusal(7, SINCE + 125_000_000)
    assert refusal is not None
    assert (refusal.reason, refusal.retry_after) == ("timeout", 12)


def test_a_refusal_without_a_planned_probe_promises_no_moment() -> None:
    refusal = board(HealthState.DOWN, "dns").refusal(7, SINCE)
    assert refusal is not None
    assert refusal.retry_after is None
    assert "Retry later, or use another server." in refusal.text


def test_a_probe_that_is_overdue_is_awaited_for_a_second() -> None:
    refusal = board(HealthState.DOWN, "dns", next_in=-5).refusal(7, SINCE)
    assert refusal is not None
    assert refusal.retry_after == 1


def test_maintenance_is_not_to_be_retried() -> None:
    refusal = board(HealthState.MAINTENANCE, "maintenance", next_in=5).refusal(7, SINCE)
    assert refusal is not None
    assert (refusal.reason, refusal.retry_after) == ("maintenance", None)
    assert "do not retry now" in refusal.text


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("refused", "it refuses connections"),
        ("status_503", "it answers with HTTP status 503"),
        ("unauthorized", "it rejects the gateway's credentials"),
        ("novel", "its probes fail (novel)"),
        (None, "its probes fail (down)"),
    ],
)
def test_the_reason_is_told_in_words(reason: str | None, words: str) -> None:
    assert f": {words}. " in text(board(HealthState.DOWN, reason))


def test_a_recovering_server_is_said_to_answer_again() -> None:
    assert "answers again, but not yet for long enough" in text(board(HealthState.RECOVERING, "refused"))


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "for 0 s"), (59, "for 59 s"), (3_700, "for 1 h"), (200_000, "for 2 d"), (-9, "for 0 s")]
)
def test_the_age_of_a_state_is_told_in_its_largest_unit(seconds: int, words: str) -> None:
    assert f"({words})" in text(board(HealthState.DOWN), after=seconds)


def test_a_reader_keeps_what_it_got() -> None:
    shown = board(HealthState.UP)
    before = shown.entries
    shown.put(8, "time", health(HealthState.DOWN))
    shown.forget(7)
    assert set(before) == {7}
    assert set(shown.entries) == {8}


def test_what_was_read_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        board(HealthState.UP).entries[9] = None


def test_new_health_keeps_the_planned_probe() -> None:
    shown = board(HealthState.DOWN, next_in=9)
    shown.put(7, "docs", health(HealthState.RECOVERING))
    refusal = shown.refusal(7, SINCE)
    assert refusal is not None
    assert refusal.retry_after == 9


def test_a_plan_for_a_server_that_left_brings_it_not_back() -> None:
    shown = Board()
    shown.expect(7, SINCE)
    assert not shown.entries


def test_the_census_counts_servers_by_state() -> None:
    shown = board(HealthState.UP)
    shown.put(8, "time", health(HealthState.UP))
    shown.put(9, "git", health(HealthState.DOWN))
    assert shown.census() == {"up": 2, "down": 1}


def test_the_board_shows_itself_on_one_line() -> None:
    assert repr(board(HealthState.UP)) == "<Board docs:up>"
