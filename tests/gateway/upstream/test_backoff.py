"""When a program that keeps ending may be started again."""

from __future__ import annotations

from gateway.upstream.backoff import Backoff, Backoffs
from gateway.upstream.values import ScopeKey

ALICE, BOB = ScopeKey("user:1"), ScopeKey("user:2")


def test_the_wait_doubles_from_one_second_to_a_minute() -> None:
    backoff, now, waits = Backoff(), 100.0, []
    for _ in range(9):
        backoff.crashed(now, lived=0.1)
        waits.append(backoff.wait(now))
        now += backoff.wait(now)
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert backoff.crashes == 9


def test_the_wait_runs_out() -> None:
    backoff = Backoff()
    backoff.crashed(10.0, lived=0.0)
    assert backoff.wait(10.25) == 0.75
    assert backoff.wait(11.0) == 0.0


def test_a_child_that_ran_steadily_is_restarted_at_once_and_starts_the_count_anew() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.crashed(0.0, lived=0.0)
    backoff.crashed(1_000.0, lived=60.0)
    assert (backoff.wait(1_000.0), backoff.crashes) == (0.0, 0)
    backoff.crashed(1_001.0, lived=1.0)
    assert backoff.wait(1_001.0) == 1.0


def test_a_thousand_crashes_are_no_arithmetic_problem() -> None:
    backoff = Backoff()
    for _ in range(1_000):
        backoff.crashed(0.0, lived=0.0)
    assert backoff.wait(0.0) == 60.0


def test_each_scope_waits_for_its_own_crashes_alone() -> None:
    backoffs = Backoffs()
    backoffs.crashed(ALICE, 0.0, lived=0.0)
    assert (backoffs.wait(ALICE, 0.0), backoffs.wait(BOB, 0.0)) == (1.0, 0.0)


def test_scopes_that_are_calm_again_are_forgotten() -> None:
    backoffs = Backoffs()
    for serial in range(1_000):
        backoffs.crashed(ScopeKey(f"call:{serial}"), 0.0, lived=0.0)
    backoffs.crashed(ALICE, 61.0, lived=0.0)
    assert len(backoffs) == 1
