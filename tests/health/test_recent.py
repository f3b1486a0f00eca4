"""The five minutes that success rates are made of."""

from __future__ import annotations

from health.probe import Observation, Step
from health.recent import WINDOW_US, Counts, Recent


def seen(ok: bool, latency_us: int = 0) -> Observation:
    return Observation(ok=ok, step=Step.LIST, latency_us=latency_us)


def test_the_window_counts_all_probes_and_times_the_good_ones() -> None:
    recent = Recent()
    for observation in (seen(True, 2_000), seen(False, 9_000_000), seen(True, 4_000)):
        recent.add(10, observation)
    assert recent.counts(10) == Counts(counted=3, successes=2, timed=2, total_us=6_000)
    assert recent.counts(10).mean_ms == 3.0


def test_what_is_older_than_the_window_is_not_counted_although_nothing_new_came() -> None:
    recent = Recent()
    recent.add(0, seen(False))
    recent.add(1, seen(True))
    assert recent.counts(WINDOW_US) == Counts(counted=1, successes=1, timed=1, total_us=0)
    assert recent.counts(WINDOW_US + 1) == Counts()


def test_what_seems_to_come_from_later_since_the_clock_was_set_back_is_not_counted() -> None:
    recent = Recent()
    recent.add(2 * WINDOW_US, seen(False))
    recent.add(5, seen(True))
    assert recent.counts(6) == Counts(counted=1, successes=1, timed=1, total_us=0)


def test_nothing_has_neither_rate_nor_mean() -> None:
    assert (Counts().success_rate, Counts().mean_ms) == (None, None)


def test_calls_and_probes_add_up() -> None:
    both = Counts(counted=3, successes=3, timed=4, total_us=8) + Counts(counted=1, successes=0, timed=0, total_us=0)
    assert both == Counts(counted=4, successes=3, timed=4, total_us=8)
    assert both.success_rate == 0.75
