"""The state machine of health: its table cell by cell, then laws that hold for every history."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from health.probe import HealthState, Observation, Step
from health.settings import HealthSettings
from health.state import STATUS_OF, TRANSITIONS, ServerHealth, Sign, Status, Transition, pause, resume, step

SETTINGS = HealthSettings(rise=2, fall=3)
START = ServerHealth(since_us=1)

U, P, F, D, R, M = (
    HealthState.UNKNOWN,
    HealthState.UP,
    HealthState.FAILING,
    HealthState.DOWN,
    HealthState.RECOVERING,
    HealthState.MAINTENANCE,
)

EDGES = {(U, P), (U, D), (P, F), (P, D), (F, P), (F, D), (D, R), (D, P), (R, P), (R, D), (M, U)} | {
    (state, M) for state in (U, P, F, D, R)
}
"""Every change of state that may ever happen; `up → down` and `down → up` need a threshold of one."""


def good(**facts: object) -> Observation:
    return Observation(**{"ok": True, "step": Step.LIST, "latency_us": 700} | facts)


def bad(reason: str = "refused", **facts: object) -> Observation:
    return Observation(ok=False, step=Step.CONNECT, latency_us=0, reason=reason, **facts)


def after(history: str, settings: HealthSettings = SETTINGS, start: ServerHealth = START) -> ServerHealth:
    """The health after a history: `+` a good probe, `-` a bad one, `(` and `)` maintenance begins and ends."""
    return walk(history, settings, start)[0]


def walk(
    history: str, settings: HealthSettings = SETTINGS, start: ServerHealth = START
) -> tuple[ServerHealth, list[Transition]]:
    health, moves = start, []
    for now_us, event in enumerate(history, start.since_us + 1):
        if event in "()":
            health, move = (pause if event == "(" else resume)(health, now_us)
        else:
            health, move = step(health, good() if event == "+" else bad(), settings, now_us)
        moves += [move] if move else []
    return health, moves


@pytest.mark.parametrize(
    ("history", "state"),
    [
        ("", U),
        ("+", P),  # unknown: the first good probe is enough
        ("-", U),
        ("--", U),
        ("---", D),  # unknown: only `fall` bad ones take it down
        ("--+", P),
        ("+-", F),
        ("+--", F),
        ("+---", D),
        ("+--+", P),
        ("+--+--", F),  # a good probe resets the count of bad ones
        ("---+", R),
        ("---++", P),
        ("---+-", D),
        ("---+-+", R),
        ("---+-++", P),
        ("+(", M),
        ("+(-", M),
        ("+(---", M),
        ("---(++", M),
        ("+()", U),
        ("+()--", U),
        ("+()---", D),
        ("--()--", U),  # what was counted before maintenance counts no more
        ("+((", M),
        ("+)", P),
    ],
)
def test_a_history_leads_to_its_state(history: str, state: HealthState) -> None:
    assert after(history).state is state


def test_with_thresholds_of_one_every_probe_decides() -> None:
    hasty = HealthSettings(rise=1, fall=1)
    assert [after("-+-+"[:n], hasty).state for n in range(5)] == [U, D, P, D, P]


@pytest.mark.trap(45)
def test_one_bad_probe_keeps_the_server_online_and_recovery_resets_the_count() -> None:
    assert after("+-").status is Status.ONLINE
    assert after("+-+").fall == 0


def test_a_transition_says_when_from_where_to_where_and_why() -> None:
    down, move = step(after("+--"), bad("timeout", detail="no answer to initialize"), SETTINGS, 99)
    assert move == Transition(
        version=down.version,
        at_us=99,
        from_state=F,
        to_state=D,
        reason="timeout",
        detail="no answer to initialize",
    )
    assert (down.since_us, down.reason, down.observed_us) == (99, "timeout", 99)


def test_the_state_keeps_its_beginning_while_it_lasts() -> None:
    assert after("+---").since_us == after("+------").since_us


def test_the_reason_of_a_failure_stays_until_the_server_is_up() -> None:
    assert [after(history).reason for history in ("---", "---+", "---++")] == ["refused", "refused", None]


def test_facts_that_a_probe_could_not_see_are_kept() -> None:
    seen, _ = step(START, good(era="modern", catalog_sha256=b"\1" * 32), SETTINGS, 2)
    later, _ = step(seen, bad(), SETTINGS, 3)
    assert (later.era, later.catalog_sha256) == ("modern", b"\1" * 32)


def test_beginning_maintenance_twice_changes_nothing_the_second_time() -> None:
    paused, _ = pause(START, 5)
    assert pause(paused, 6) == (paused, None)


def test_the_table_answers_every_sign_in_every_state() -> None:
    assert set(TRANSITIONS) == set(HealthState)
    assert all(set(row) == set(Sign) for row in TRANSITIONS.values())


def test_the_table_holds_no_edge_beside_the_allowed_ones() -> None:
    drawn = {(state, to) for state, row in TRANSITIONS.items() for to in row.values() if to is not state}
    assert drawn == EDGES


def test_every_state_has_a_documented_status() -> None:
    assert set(STATUS_OF) == set(HealthState)


def test_only_the_administrator_ends_maintenance() -> None:
    leaving = {sign for sign, to in TRANSITIONS[M].items() if to is not M}
    assert leaving == {Sign.RESUMED}


def test_every_state_can_be_reached() -> None:
    reached, found = {U}, {U}
    while found:
        found = {to for state in found for to in TRANSITIONS[state].values()} - reached
        reached |= found
    assert reached == set(HealthState)


histories = st.text(alphabet="+-()", max_size=40)
settings = st.builds(HealthSettings, rise=st.integers(1, 5), fall=st.integers(1, 5))


@given(histories, settings)
def test_no_history_takes_an_edge_that_is_not_drawn(history: str, chosen: HealthSettings) -> None:
    health, moves = walk(history, chosen)
    assert all((move.from_state, move.to_state) in EDGES for move in moves)
    ends = [move.to_state for move in moves]
    assert [move.from_state for move in moves] == [U, *ends][: len(moves)]
    assert health.state is ([U, *ends])[-1]


@given(histories, settings)
def test_no_count_passes_its_threshold_and_one_of_them_is_zero(history: str, chosen: HealthSettings) -> None:
    health = after(history, chosen)
    assert 0 <= health.rise <= chosen.rise
    assert 0 <= health.fall <= chosen.fall
    assert 0 in (health.rise, health.fall)


@given(histories, settings, settings)
def test_counts_stay_within_thresholds_that_an_administrator_lowers(
    history: str, before: HealthSettings, now: HealthSettings
) -> None:
    health, _ = step(after(history, before), good(), now, 999)
    assert health.rise <= now.rise
    health, _ = step(after(history, before), bad(), now, 999)
    assert health.fall <= now.fall


@given(histories, settings)
def test_versions_of_transitions_grow_and_end_at_the_health_they_led_to(history: str, chosen: HealthSettings) -> None:
    health, moves = walk(history, chosen)
    versions = [move.version for move in moves]
    assert versions == sorted(set(versions))
    assert not moves or versions[-1] <= health.version


@given(histories, settings)
def test_enough_probes_of_one_kind_settle_every_history(history: str, chosen: HealthSettings) -> None:
    tail: Sequence[tuple[str, HealthState]] = (("+" * chosen.rise, P), ("-" * chosen.fall, D))
    for probes, state in tail:
        assert after(history + ")" + probes, chosen).state is state


@given(st.text(alphabet="+-", max_size=30), settings)
def test_a_server_goes_offline_only_after_fall_bad_probes_in_a_row(history: str, chosen: HealthSettings) -> None:
    for end in range(1, len(history) + 1):
        before, now = after(history[: end - 1], chosen), after(history[:end], chosen)
        if before.state in (U, P, F) and now.state is D:
            assert history[:end].endswith("-" * chosen.fall)
