"""The dashboard: its file, its manners, and every query of it against a real Prometheus."""

from __future__ import annotations

import json
import math
import re
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from prometheus_client import generate_latest

from dashboards import mcp_gateway
from tests.dashboards.real import real_gateway
from tests.dashboards.synthetic import Gateway, SyntheticGateway, synthetic_gateway
from tests.support.prometheus import Prometheus, scraping, tool

FOLDER = Path(mcp_gateway.__file__).parent
DASHBOARD: Mapping[str, Any] = json.loads(mcp_gateway.FILE.read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]
ANNOTATIONS = [one for one in DASHBOARD["annotations"]["list"] if "expr" in one]
VARIABLES = [one for one in DASHBOARD["templating"]["list"] if one["type"] == "query"]

CHOSEN = {"__rate_interval": "10s", "__range": "10s"} | dict.fromkeys((one["name"] for one in VARIABLES), ".*")
"""What Grafana would put in place of each variable while everything is chosen."""

SCRAPES = 16
ATTEMPTS = 6
"""A busy machine may miss a scrape, and Prometheus then has no present value; a query that is wrong stays so."""


# Prometheus takes five seconds to look at its targets for the first time, so one of them serves all live tests.


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["synthetic", "real"])
async def gateway_under_traffic(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """Every series that there is, moved by hand; and the gateway itself, which must move them by its work."""
    folder = tmp_path_factory.mktemp("gateway")
    async with synthetic_gateway() if request.param == "synthetic" else real_gateway(folder) as gateway:
        yield gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prometheus(
    gateway_under_traffic: Gateway, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Prometheus]:
    async with scraping(gateway_under_traffic.address, tmp_path_factory.mktemp("prometheus")) as prometheus:
        await prometheus.until_scraped(SCRAPES, gateway_under_traffic.traffic)
        yield prometheus


def test_the_file_is_what_its_source_writes() -> None:
    assert mcp_gateway.FILE.read_text(encoding="utf-8") == mcp_gateway.text(), "run python -m dashboards.mcp_gateway"


@pytest.mark.slow
@pytest.mark.asyncio(loop_scope="module")
async def test_every_query_answers_with_numbers(prometheus: Prometheus, gateway_under_traffic: Gateway) -> None:
    asked, silent = QUERIES, gateway_under_traffic.silent
    for _ in range(ATTEMPTS):
        found = [await _flaws(prometheus, title, target, title in silent) for title, target in asked]
        asked = [query for query, flaws in zip(asked, found, strict=True) if flaws]
        if not asked:
            return
        await prometheus.until_scraped_again(gateway_under_traffic.traffic)
    pytest.fail("\n".join(flaw for flaws in found for flaw in flaws))


@pytest.mark.slow
@pytest.mark.asyncio(loop_scope="module")
async def test_every_annotation_finds_its_moments(prometheus: Prometheus) -> None:
    for annotation in ANNOTATIONS:
        assert await prometheus.query(_chosen(annotation["expr"])), annotation["name"]


@pytest.mark.slow
@pytest.mark.asyncio(loop_scope="module")
async def test_every_variable_finds_its_values(prometheus: Prometheus) -> None:
    for variable in VARIABLES:
        found = re.fullmatch(r"label_values\((?P<selector>.+), (?P<label>\w+)\)", variable["query"]["query"])
        assert found is not None, variable["query"]
        values = await prometheus.label_values(_chosen(found["selector"]), found["label"])
        assert values, variable["name"]


async def _flaws(prometheus: Prometheus, title: str, target: Mapping[str, Any], may_be_empty: bool) -> list[str]:
    """What is wrong with the answer to one query, each as a sentence."""
    try:
        found = await prometheus.query(_chosen(target["expr"]))
    except AssertionError as error:
        return [f"{title}: {error}"]
    if not found:
        return [] if may_be_empty else [f"{title}: nothing found by {target['expr']}"]
    flaws = [f"{title}: no number: {one}" for one in found if not math.isfinite(float(one["value"][1]))]
    for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
        flaws += [f"{title}: no label {label!r} in {one['metric']}" for one in found if label not in one["metric"]]
    return flaws


def _chosen(expression: str) -> str:
    return re.sub(r"\$(\w+)", lambda variable: CHOSEN[variable.group(1)], expression)


def test_grafana_finds_the_dashboard_again_after_every_import() -> None:
    assert (DASHBOARD["uid"], DASHBOARD["id"]) == ("mcp-gateway", None)
    assert DASHBOARD["schemaVersion"] >= 39
    assert not DASHBOARD["editable"]


def test_every_data_source_is_the_one_that_was_chosen() -> None:
    assert DASHBOARD["templating"]["list"][0]["type"] == "datasource"
    assert set(_uids(DASHBOARD)) == {"${datasource}"}


def test_variables_offer_all_and_follow_the_time_range() -> None:
    assert [one["name"] for one in VARIABLES] == ["job", "instance", "server", "tool"]
    assert all(one["includeAll"] and one["multi"] and one["refresh"] == 2 for one in VARIABLES)


def test_no_query_looks_at_a_fixed_window() -> None:
    windows = {window for _, target in QUERIES for window in re.findall(r"\[(.+?)\]", target["expr"])}
    windows |= {window for one in ANNOTATIONS for window in re.findall(r"\[(.+?)\]", one["expr"])}
    assert windows == {"$__rate_interval", "$__range"}


def test_every_query_follows_the_choice_of_gateways() -> None:
    selectors = [selector for _, target in QUERIES for selector in re.findall(r"{(.+?)}", target["expr"])]
    assert selectors
    assert all('job=~"$job", instance=~"$instance"' in selector for selector in selectors)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_panel_says_what_it_shows_in_which_unit(panel: Mapping[str, Any]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    assert panel["description"].endswith(".")
    assert defaults["unit"]
    assert defaults["thresholds"]["steps"][0]["value"] is None


def test_panels_have_numbers_of_their_own_and_queries_letters() -> None:
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(numbers) == len(set(numbers))
    for panel in PANELS:
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == sorted(set(letters))


def test_panels_stay_inside_the_grid_and_cover_nothing() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_rows_are_those_that_an_sre_walks_through() -> None:
    rows = [panel["title"].partition(":")[0] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Fleet", "Server", "Tool", "Gateway overhead", "Records pipeline"]


def test_the_names_and_help_of_our_series_pass_promtool() -> None:
    gateway = SyntheticGateway()
    page = generate_latest(gateway.registry)
    checked = subprocess.run([tool("promtool"), "check", "metrics"], input=page, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr.decode()


def _uids(value: object) -> Iterator[str]:
    match value:
        case {"type": "prometheus", "uid": str(uid)}:
            yield uid
        case dict():
            for one in value.values():
                yield from _uids(one)
        case list():
            for one in value:
                yield from _uids(one)
