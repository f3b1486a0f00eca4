"""The baseline tells a fall from a rise, and the page shows what it holds."""

from __future__ import annotations

from tests.conformance import page, scores
from tests.conformance.software import versions
from tests.conformance.stand import Cell
from tests.conformance.suite import Revision, Scenario

DIRECT, DOOR = (Cell("server", Revision("2025-11-25", True), place) for place in ("direct", "door"))
GOOD, BAD = Scenario("ping", True), Scenario("ping", False, complaints=("ping: no answer",))
WARNED = Scenario("ping", True, complaints=("ping: should be faster",))
PENDING = Scenario("polling", False, unscored="pending")


def test_a_scenario_that_stops_passing_is_a_fall() -> None:
    before = scores.tabulate({DOOR: [GOOD, PENDING]})
    assert scores.compare(before, DOOR, [BAD, PENDING]) == scores.Change((BAD,), (), ())


def test_a_new_warning_is_a_fall_and_its_end_a_rise() -> None:
    assert scores.compare(scores.tabulate({DOOR: [GOOD]}), DOOR, [WARNED]) == scores.Change((WARNED,), (), ())
    assert scores.compare(scores.tabulate({DOOR: [WARNED]}), DOOR, [GOOD]) == scores.Change((), (), ("ping",))


def test_a_scenario_that_vanishes_does_not_go_unseen() -> None:
    before = scores.tabulate({DOOR: [GOOD, PENDING]})
    assert scores.compare(before, DOOR, [GOOD]) == scores.Change((), ("polling",), ())


def test_a_scenario_that_begins_to_pass_is_a_rise() -> None:
    before = scores.tabulate({DOOR: [BAD]})
    assert scores.compare(before, DOOR, [GOOD]) == scores.Change((), (), ("ping",))


def test_a_cell_that_the_baseline_does_not_know_is_all_rises() -> None:
    before = scores.tabulate({DIRECT: [GOOD]})
    assert scores.compare(before, DOOR, [GOOD]) == scores.Change((), (), ("ping",))


def test_the_page_counts_what_is_required_and_marks_the_rest() -> None:
    made = page.page(scores.tabulate({DIRECT: [GOOD, PENDING], DOOR: [BAD, PENDING]}), versions())
    assert "| As a server, 2025-11-25 | 1 of 1 | 0 of 1 |" in made
    assert "| ping | ✓ | ✗ | |" in made
    assert "| polling | ✗ | ✗ | not required: pending |" in made


def test_the_page_counts_a_warned_scenario_as_passed_and_says_so() -> None:
    made = page.page(scores.tabulate({DIRECT: [GOOD], DOOR: [WARNED]}), versions())
    assert "| As a server, 2025-11-25 | 1 of 1 | 1 of 1 |" in made
    assert "| ping | ✓ | ✓ ¹ | |" in made


def test_a_failing_scenario_is_told_with_its_complaints() -> None:
    assert str(BAD) == "ping\n    ping: no answer"
