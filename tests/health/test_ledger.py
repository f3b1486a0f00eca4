"""A belief and its row say the same."""

from __future__ import annotations

import pytest

from health.ledger import health_of, row_of
from health.probe import HealthState
from health.state import ServerHealth
from storage.health import HealthRow

BELIEF = ServerHealth(
    state=HealthState.FAILING,
    since_us=1,
    reason="timeout",
    rise=0,
    fall=2,
    version=9,
    observed_us=3,
    latency_us=4,
    era="modern",
    catalog_sha256=b"\5" * 32,
)


@pytest.mark.parametrize("state", HealthState)
def test_a_belief_survives_its_row(state: HealthState) -> None:
    for belief in (BELIEF, ServerHealth(since_us=7)):
        held = ServerHealth(**{name: getattr(belief, name) for name in belief.__struct_fields__} | {"state": state})
        assert health_of(row_of(1, held)) == held


def test_a_state_of_another_version_is_unknown() -> None:
    row = row_of(1, BELIEF)
    strange = HealthRow(**{name: getattr(row, name) for name in row.__struct_fields__} | {"state": "quarantined"})
    assert health_of(strange).state is HealthState.UNKNOWN
