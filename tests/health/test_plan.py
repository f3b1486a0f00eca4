"""When servers are probed: changes between plans, and moments as numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from health.plan import Changes, Plan, changes, first_delay, next_slot, phase, urgent_delay
from health.probe import Observation
from health.settings import HealthSettings


async def never() -> Observation:
    raise AssertionError("nobody probes here")


def plan(server_id: int = 1, **facts: object) -> Plan:
    defaults: dict[str, object] = {
        "slug": f"server-{server_id}",
        "revision": b"1",
        "settings": HealthSettings(),
        "probe": never,
    }
    return Plan(server_id=server_id, **defaults | facts)


def differ(before: list[Plan], now: list[Plan]) -> Changes:
    return changes({one.server_id: one for one in before}, now)


def test_the_same_plans_change_nothing() -> None:
    assert differ([plan(1), plan(2)], [plan(2), plan(1)]) == Changes()


def test_a_new_server_is_added_and_a_missing_one_removed() -> None:
    assert differ([plan(1)], [plan(2)]) == Changes(added=(plan(2),), removed=(1,))


def test_another_revision_is_another_target() -> None:
    moved = plan(1, revision=b"2", settings=HealthSettings(interval=5))
    assert differ([plan(1)], [moved]) == Changes(retargeted=(moved,))


def test_another_interval_alone_is_only_another_rhythm() -> None:
    faster = plan(1, settings=HealthSettings(interval=5))
    assert differ([plan(1)], [faster]) == Changes(retimed=(faster,))


def test_other_thresholds_leave_the_rhythm_alone() -> None:
    assert differ([plan(1)], [plan(1, settings=HealthSettings(fall=9))]) == Changes()


def test_a_server_under_maintenance_is_not_probed_and_is_added_again_afterwards() -> None:
    paused = replace(plan(1), maintenance=True)
    assert differ([plan(1)], [paused]) == Changes(removed=(1,))
    assert differ([], [paused]) == Changes()
    assert differ([], [plan(1)]) == Changes(added=(plan(1),))


@pytest.mark.trap(47)
@pytest.mark.parametrize("ids", [range(1, 201), range(3, 603, 3), range(1000, 1200)])
def test_two_hundred_servers_never_knock_together(ids: range) -> None:
    interval = 30.0
    slots = sorted(phase(server_id) * interval for server_id in ids)
    busiest = max(sum(start <= slot < start + 1 for slot in slots) for start in slots)
    assert busiest <= 2 * len(ids) / interval


@pytest.mark.trap(47)
def test_first_probes_of_a_starting_gateway_are_spread() -> None:
    delays = sorted(first_delay(server_id, 200, 30.0) for server_id in range(1, 201))
    assert delays[-1] <= 10.0
    assert max(sum(start <= delay < start + 1 for delay in delays) for start in delays) <= 40


def test_the_first_probe_of_a_lone_server_comes_at_once() -> None:
    assert first_delay(1, 1, 30.0) < 0.05


def test_first_probes_wait_no_longer_than_an_interval() -> None:
    assert all(first_delay(server_id, 10_000, 2.0) < 2.0 for server_id in range(100))


moments = st.floats(1_700_000_000, 1_900_000_000)
intervals = st.floats(1, 3600)
ids = st.integers(1, 10**6)


@given(ids, intervals, moments)
def test_turns_come_once_in_an_interval(server_id: int, interval: float, now: float) -> None:
    first = next_slot(server_id, interval, now, None)
    second = next_slot(server_id, interval, first, first)
    assert now <= first <= now + interval * 1.000001
    assert second - first == pytest.approx(interval, rel=1e-6)


@given(ids, intervals, moments, st.floats(0, 1))
def test_a_probe_out_of_turn_is_not_followed_closely_by_one_in_turn(
    server_id: int, interval: float, now: float, part: float
) -> None:
    slot = next_slot(server_id, interval, now, previous=now)
    assert interval * 0.499999 <= slot - now <= interval * 1.500001


def test_a_server_that_was_never_probed_can_be_probed_at_once() -> None:
    assert urgent_delay(100.0, None) == 0


def test_a_burst_of_evidence_cannot_use_up_the_bad_probes_at_once() -> None:
    assert urgent_delay(100.0, previous=99.75) == 0.75
    assert urgent_delay(100.0, previous=90.0) == 0
