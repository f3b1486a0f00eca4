from __future__ import annotations

import pytest

from gateway.protocol.versions import LEGACY_VERSIONS, MODERN_VERSIONS, SUPPORTED, negotiate


@pytest.mark.parametrize("version", LEGACY_VERSIONS)
def test_a_version_that_we_speak_is_agreed_to(version: str) -> None:
    assert negotiate(version) == version


@pytest.mark.point(38)
@pytest.mark.parametrize("version", ["2024-11-05", *MODERN_VERSIONS, "2030-01-01", "", "latest"])
def test_any_other_version_is_answered_with_our_newest_legacy_one(version: str) -> None:
    assert negotiate(version) == "2025-11-25"


def test_every_version_is_offered_newest_first() -> None:
    assert SUPPORTED == ("2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26")
