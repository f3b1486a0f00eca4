"""The registered servers, the configuration and the build as Prometheus reads them."""

from __future__ import annotations

import platform

import pytest
from prometheus_client import CollectorRegistry

from gateway.metrics import FleetMetrics


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> FleetMetrics:
    return FleetMetrics(registry, "1.2.3")


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"mcp_gateway_{name}", labels)


def infos(registry: CollectorRegistry) -> list[dict[str, str]]:
    samples = [sample for family in registry.collect() for sample in family.samples]
    return [sample.labels for sample in samples if sample.name == "mcp_gateway_server_info"]


def test_the_build_names_version_and_python(metrics: FleetMetrics, registry: CollectorRegistry) -> None:
    assert value(registry, "build_info", version="1.2.3", python=platform.python_version()) == 1


def test_a_server_is_described_once_however_often_it_changes(
    metrics: FleetMetrics, registry: CollectorRegistry
) -> None:
    metrics.described("docs", transport="http", era="", protocol_version="")
    metrics.described("docs", transport="http", era="modern", protocol_version="2026-07-28")
    known = {"server": "docs", "transport": "http", "era": "modern", "protocol_version": "2026-07-28"}
    assert infos(registry) == [known]


def test_a_refused_file_turns_success_off_and_keeps_the_moment_of_the_last_good_one(
    metrics: FleetMetrics, registry: CollectorRegistry
) -> None:
    metrics.loaded(1_000.5)
    metrics.load_refused()
    assert value(registry, "config_last_reload_successful") == 0
    assert value(registry, "config_last_reload_success_timestamp_seconds") == 1_000.5
    assert value(registry, "config_reloads_total", result="success") == 1
    assert value(registry, "config_reloads_total", result="failure") == 1


def test_what_is_hidden_is_counted_by_the_kind_of_endpoint(metrics: FleetMetrics, registry: CollectorRegistry) -> None:
    assert value(registry, "names_hidden", endpoint="aggregate") == 0
    metrics.hidden({"group": 3})
    assert value(registry, "names_hidden", endpoint="group") == 3
    metrics.hidden({"aggregate": 1})
    assert value(registry, "names_hidden", endpoint="group") == 0
    assert value(registry, "names_hidden", endpoint="aggregate") == 1


def test_a_server_that_leaves_takes_every_series_along_and_no_other(
    metrics: FleetMetrics, registry: CollectorRegistry
) -> None:
    for server in ("docs", "time"):
        metrics.described(server, transport="stdio", era="legacy", protocol_version="2025-11-25")
        metrics.tools(server, 3)
    metrics.forget("docs")
    assert [labels["server"] for labels in infos(registry)] == ["time"]
    assert value(registry, "server_tools", server="docs") is None
    assert value(registry, "server_tools", server="time") == 3
