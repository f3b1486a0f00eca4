"""The series of health, read as Prometheus reads them."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from health.metrics import HealthMetrics
from health.probe import HealthState, Observation, Step
from health.state import STATUS_OF, ServerHealth, Status, Transition


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> HealthMetrics:
    return HealthMetrics(registry)


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"mcp_gateway_{name}", labels)


@pytest.mark.parametrize("state", HealthState)
def test_up_is_one_exactly_while_the_document_shows_online(
    metrics: HealthMetrics, registry: CollectorRegistry, state: HealthState
) -> None:
    metrics.shown("docs", ServerHealth(state=state, since_us=0))
    assert value(registry, "server_up", server="docs") == (STATUS_OF[state] is Status.ONLINE)


def test_exactly_one_state_of_a_server_is_one(metrics: HealthMetrics, registry: CollectorRegistry) -> None:
    for state in (HealthState.UP, HealthState.FAILING):
        metrics.shown("docs", ServerHealth(state=state, since_us=0))
    ones = [s for s in HealthState if value(registry, "server_state", server="docs", state=s.value) == 1]
    assert ones == [HealthState.FAILING]


def test_probes_are_counted_by_what_they_found(metrics: HealthMetrics, registry: CollectorRegistry) -> None:
    metrics.probed("docs", Observation(ok=True, step=Step.LIST, latency_us=5), 0.2, 7_500_000)
    metrics.probed("docs", Observation(ok=False, step=Step.CONNECT, latency_us=0, reason="dns"), 0.1, 9_000_000)
    assert value(registry, "probes_total", server="docs", result="ok") == 1
    assert value(registry, "probes_total", server="docs", result="dns") == 1
    assert value(registry, "probe_duration_seconds_sum", server="docs") == pytest.approx(0.3)
    assert value(registry, "probe_last_success_timestamp_seconds", server="docs") == 7.5


def test_http_statuses_are_counted_by_their_class_however_many_a_server_makes_up(
    metrics: HealthMetrics, registry: CollectorRegistry
) -> None:
    for status in range(500, 600):
        failed = Observation(ok=False, step=Step.HANDSHAKE, latency_us=0, reason=f"status_{status}")
        metrics.probed("docs", failed, 0.1, 9_000_000)
    assert value(registry, "probes_total", server="docs", result="status_5xx") == 100


def test_transitions_are_born_at_zero_so_that_the_first_one_is_seen_as_growth(
    metrics: HealthMetrics, registry: CollectorRegistry
) -> None:
    metrics.shown("docs", ServerHealth(since_us=0))
    assert value(registry, "server_transitions_total", server="docs", to_state="down") == 0
    move = Transition(version=1, at_us=1, from_state=HealthState.UP, to_state=HealthState.DOWN, reason="dns")
    metrics.moved("docs", move)
    assert value(registry, "server_transitions_total", server="docs", to_state="down") == 1


def test_a_server_that_leaves_takes_every_series_along_and_no_other(
    metrics: HealthMetrics, registry: CollectorRegistry
) -> None:
    for server in ("docs", "time"):
        metrics.shown(server, ServerHealth(since_us=0))
        metrics.probed(server, Observation(ok=True, step=Step.LIST, latency_us=5), 0.2, 1)
    metrics.forget("docs")
    left = {sample.labels["server"] for family in registry.collect() for sample in family.samples}
    assert left == {"time"}
