"""The series of the data path, read as Prometheus reads them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from gateway.metrics import CallMetrics, MeasuredCall
from gateway.metrics.calls import OPERATION_BUCKETS, TOOLS_PER_SERVER
from storage.records import Outcome

CALL = MeasuredCall(
    server="docs",
    method="tools/call",
    tool="search",
    outcome=Outcome.OK,
    client_era="modern",
    server_era="legacy",
    total_us=12_500,
    upstream_us=12_000,
)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> CallMetrics:
    metrics = CallMetrics(registry)
    metrics.tools("docs", ["search", "read"])
    return metrics


def run(metrics: CallMetrics, call: MeasuredCall) -> None:
    metrics.call_started(call.server)
    metrics.call_finished(call)


def calls(registry: CollectorRegistry, tool: str, outcome: str = "ok") -> float | None:
    labels = {"server": "docs", "tool": tool, "method": "tools/call", "outcome": outcome}
    return registry.get_sample_value("mcp_gateway_calls_total", labels)


def servers(registry: CollectorRegistry) -> set[str]:
    return {s.labels["server"] for family in registry.collect() for s in family.samples if "server" in s.labels}


def test_a_finished_call_is_counted_and_timed_toward_both_sides(
    metrics: CallMetrics, registry: CollectorRegistry
) -> None:
    run(metrics, CALL)
    assert calls(registry, "search") == 1
    operation = {"server": "docs", "mcp_method_name": "tools/call", "error_type": ""}
    toward_clients = operation | {"gen_ai_tool_name": "search"}
    assert registry.get_sample_value("mcp_server_operation_duration_seconds_sum", toward_clients) == 0.0125
    assert registry.get_sample_value("mcp_client_operation_duration_seconds_sum", operation) == 0.012


def test_what_the_server_did_not_take_is_overhead(metrics: CallMetrics, registry: CollectorRegistry) -> None:
    run(metrics, CALL)
    eras = {"client_era": "modern", "server_era": "legacy"}
    assert registry.get_sample_value("mcp_gateway_overhead_seconds_sum", eras) == 0.0005
    assert registry.get_sample_value("mcp_gateway_overhead_seconds_bucket", eras | {"le": "0.00025"}) == 0
    assert registry.get_sample_value("mcp_gateway_overhead_seconds_bucket", eras | {"le": "0.0005"}) == 1


def test_a_call_that_never_reached_its_server_has_neither_server_time_nor_overhead(
    metrics: CallMetrics, registry: CollectorRegistry
) -> None:
    run(metrics, replace(CALL, outcome=Outcome.REFUSED, upstream_us=None, server_era=None))
    assert calls(registry, "search", "refused") == 1
    names = {sample.name for family in registry.collect() for sample in family.samples}
    assert "mcp_server_operation_duration_seconds_count" in names
    assert not [name for name in names if "client_operation" in name or "overhead" in name]


@pytest.mark.parametrize("outcome", Outcome)
def test_the_error_type_is_the_outcome_unless_the_call_went_well(
    metrics: CallMetrics, registry: CollectorRegistry, outcome: Outcome
) -> None:
    run(metrics, replace(CALL, outcome=outcome))
    error = "" if outcome in (Outcome.OK, Outcome.INPUT_REQUIRED) else outcome.value
    labels = {"server": "docs", "mcp_method_name": "tools/call", "gen_ai_tool_name": "search", "error_type": error}
    assert registry.get_sample_value("mcp_server_operation_duration_seconds_count", labels) == 1


def test_a_tool_that_its_server_does_not_offer_is_other(metrics: CallMetrics, registry: CollectorRegistry) -> None:
    for number in range(50):
        run(metrics, replace(CALL, tool=f"made-up-{number}"))
    assert calls(registry, "other") == 50
    assert calls(registry, "made-up-7") is None


def test_a_method_without_a_tool_has_an_empty_one(metrics: CallMetrics, registry: CollectorRegistry) -> None:
    run(metrics, replace(CALL, tool=None))
    assert calls(registry, "") == 1


def test_of_a_huge_server_only_the_first_tools_that_are_called_get_series(
    metrics: CallMetrics, registry: CollectorRegistry
) -> None:
    names = [f"tool-{number}" for number in range(TOOLS_PER_SERVER + 20)]
    metrics.tools("docs", names)
    for name in reversed(names):
        run(metrics, replace(CALL, tool=name))
    assert calls(registry, names[-1]) == 1
    assert calls(registry, names[0]) is None
    assert calls(registry, "other") == 20


def test_a_tool_keeps_its_series_when_the_catalog_loses_it(metrics: CallMetrics, registry: CollectorRegistry) -> None:
    run(metrics, CALL)
    metrics.tools("docs", ["read"])
    run(metrics, CALL)
    assert calls(registry, "search") == 2


def test_calls_in_flight_rise_and_fall(metrics: CallMetrics, registry: CollectorRegistry) -> None:
    metrics.call_started("docs")
    metrics.call_started("docs")
    metrics.call_finished(CALL)
    assert registry.get_sample_value("mcp_gateway_calls_in_flight", {"server": "docs"}) == 1
    assert (metrics.in_flight("docs"), metrics.in_flight("nobody")) == (1, 0)


def test_a_server_that_leaves_takes_every_series_along_and_no_other(
    metrics: CallMetrics, registry: CollectorRegistry
) -> None:
    run(metrics, CALL)
    run(metrics, replace(CALL, server="time"))
    metrics.forget("docs")
    assert servers(registry) == {"time"}


def test_the_end_of_a_call_does_not_bring_a_server_back_that_left_meanwhile(
    metrics: CallMetrics, registry: CollectorRegistry
) -> None:
    metrics.call_started("docs")
    metrics.forget("docs")
    metrics.call_finished(CALL)
    assert servers(registry) == set()


def test_calls_in_flight_never_fall_below_zero_when_a_server_left_and_came_back(
    metrics: CallMetrics, registry: CollectorRegistry
) -> None:
    metrics.call_started("docs")
    metrics.forget("docs")
    metrics.tools("docs", ["search"])
    metrics.call_finished(CALL)
    assert registry.get_sample_value("mcp_gateway_calls_in_flight", {"server": "docs"}) == 0


def test_requests_and_refusals_are_counted(metrics: CallMetrics, registry: CollectorRegistry) -> None:
    metrics.request("aggregate", "modern", 200)
    metrics.refusal("parse")
    request = {"door": "aggregate", "era": "modern", "status": "200"}
    assert registry.get_sample_value("mcp_gateway_requests_total", request) == 1
    assert registry.get_sample_value("mcp_gateway_refusals_total", {"reason": "parse"}) == 1


def test_operations_have_the_buckets_of_the_conventions() -> None:
    assert OPERATION_BUCKETS == (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
