"""When a stream that ended is opened again."""

from __future__ import annotations

from gateway.upstream.pace import FIRST_WAIT, LONGEST_RETRY, LONGEST_WAIT, SHORTEST_WAIT, Pace


def test_each_failure_makes_the_next_wait_longer_up_to_a_bound() -> None:
    pace = Pace()
    waits = [pace.wait(0.0) for _ in range(100)]
    assert waits[:4] == [FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT, 8 * FIRST_WAIT]
    assert waits[-1] == LONGEST_WAIT


def test_success_begins_anew() -> None:
    pace = Pace()
    pace.wait(0.0)
    pace.wait(0.0)
    pace.succeeded()
    assert pace.wait(0.0) == FIRST_WAIT


def test_chance_spreads_the_attempts_and_shortens_none() -> None:
    assert [Pace().wait(chance) for chance in (0.0, 0.5, 0.99)] == [1.0, 1.25, 1.495]


def test_a_server_that_names_a_time_is_not_asked_before_it() -> None:
    assert Pace().wait(0.0, retry=7.0) == 7.0
    pace = Pace()
    for _ in range(20):
        assert pace.wait(0.0, retry=300.0) == 300.0


def test_a_server_that_names_no_time_at_all_is_not_asked_all_the_time() -> None:
    assert Pace().wait(0.0, retry=0.0) == SHORTEST_WAIT


def test_nobody_waits_for_ever() -> None:
    assert Pace().wait(0.0, retry=1e12) == LONGEST_RETRY
