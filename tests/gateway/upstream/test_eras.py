"""What proves an era, and what does not."""

from __future__ import annotations

from gateway.protocol.versions import Era
from gateway.upstream.eras import Eras


def test_an_unknown_server_has_no_era() -> None:
    eras = Eras(None, None)
    assert (eras.belief, eras.proven) == (None, None)


def test_a_presumption_is_tried_but_not_shown() -> None:
    eras = Eras(None, None)
    eras.presume(Era.LEGACY)
    assert (eras.belief, eras.proven, eras.doubtable) == (Era.LEGACY, None, False)
    eras.prove(Era.LEGACY)
    assert (eras.proven, eras.doubtable) == (Era.LEGACY, True)


def test_a_failure_ends_a_presumption_and_no_proof() -> None:
    presumed, proven = Eras(None, None), Eras(None, Era.LEGACY)
    presumed.presume(Era.LEGACY)
    presumed.fail()
    proven.fail()
    assert (presumed.belief, proven.belief) == (None, Era.LEGACY)


def test_presuming_what_is_proven_changes_nothing() -> None:
    eras = Eras(None, Era.LEGACY)
    eras.presume(Era.LEGACY)
    assert eras.proven is Era.LEGACY


def test_a_contradiction_of_the_other_era_is_no_news() -> None:
    eras = Eras(None, Era.MODERN)
    eras.forget(Era.LEGACY)
    assert eras.proven is Era.MODERN
    eras.forget(Era.MODERN)
    assert eras.belief is None


def test_what_the_admin_pinned_is_never_doubted() -> None:
    eras = Eras(Era.LEGACY, Era.MODERN)
    eras.forget(Era.LEGACY)
    eras.prove(Era.MODERN)
    eras.fail()
    assert (eras.belief, eras.proven, eras.doubtable) == (Era.LEGACY, Era.LEGACY, False)
