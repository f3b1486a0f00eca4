"""The gateway passes every scenario of the official suite that it passed when the baseline was written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mcp import Client

from tests.conformance import page, scores
from tests.conformance.software import versions
from tests.conformance.stand import Cell, Stand, cells

README = Path(__file__).parent.parent.parent / "README.md"
RENEW = "; `make conformance` renews the baseline and docs/conformance.md"


@pytest.mark.node
@pytest.mark.slow
@pytest.mark.parametrize("cell", cells(), ids=str)
def test_what_passed_passes_still_and_what_passes_is_written_down(cell: Cell, measuring: Stand) -> None:
    change = scores.compare(scores.load(), cell, measuring.scenarios(cell))
    fallen = "\n".join(str(scenario) for scenario in change.falls)
    assert not change.falls, f"{cell}: scenarios that passed and fail now:\n{fallen}"
    assert not change.gone, f"{cell}: scenarios of the baseline that did not run: {', '.join(change.gone)}"
    assert not change.rises, f"{cell} has improved by {', '.join(change.rises)}{RENEW}"


@pytest.mark.node
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_aggregate_offers_what_every_server_offers_under_its_own_name(mode: str, measuring: Stand) -> None:
    gateway = measuring.gateway(measuring.legacy if mode == "legacy" else measuring.modern)
    async with Client(gateway.url, mode=mode) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
    assert {"test_simple_text", "get_current_time", "create_entities", "echo"} <= names


def test_the_readme_names_the_scores_of_the_baseline() -> None:
    """Through the gateway every scored scenario passes, by both doors, as many as the README says."""
    told = dict(re.findall(r"(\d+ of \d+) for (\d{4}-\d\d-\d\d)", README.read_text(encoding="utf-8")))
    measured = {
        f"{passed} of {scored}": revision
        for revision, table in scores.load()["server"].items()
        for passed, scored in {scores.count(table, place, scored=True) for place in ("door", "aggregate")}
        if revision in told.values()
    }
    assert told == measured
    assert all(passed == scored for passed, _, scored in (words.split() for words in told))


def test_the_page_is_what_the_baseline_says() -> None:
    made = page.page(scores.load(), versions())
    assert page.FILE.read_text(encoding="utf-8") == made, f"docs/conformance.md is stale{RENEW}"
