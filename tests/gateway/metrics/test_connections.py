"""Sessions, streams and children as Prometheus reads them."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from gateway.metrics import ConnectionMetrics
from gateway.upstream.exchange import Dropped


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> ConnectionMetrics:
    return ConnectionMetrics(registry)


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"mcp_gateway_{name}", labels)


def test_sessions_exist_at_zero_before_the_first_one(metrics: ConnectionMetrics, registry: CollectorRegistry) -> None:
    assert value(registry, "sessions", side="client", era="legacy") == 0
    assert value(registry, "sessions", side="server", era="legacy") == 0


def test_sessions_of_clients_are_asked_for_at_each_scrape(
    metrics: ConnectionMetrics, registry: CollectorRegistry
) -> None:
    live = ["one"]
    metrics.client_sessions(lambda: len(live))
    live.append("two")
    assert value(registry, "sessions", side="client", era="legacy") == 2


def test_opened_sessions_are_counted_by_side(metrics: ConnectionMetrics, registry: CollectorRegistry) -> None:
    metrics.client_session_opened()
    docs = metrics.server("docs")
    docs.session_opened()
    docs.session_opened()
    docs.session_ended()
    assert value(registry, "sessions_opened_total", side="client", server="") == 1
    assert value(registry, "sessions_opened_total", side="server", server="docs") == 2
    assert value(registry, "sessions", side="server", era="legacy") == 1


def test_sessions_opened_again_are_counted_by_what_the_server_said(
    metrics: ConnectionMetrics, registry: CollectorRegistry
) -> None:
    metrics.server("docs").session_reinitialised("status_404")
    assert value(registry, "sessions_reinitialised_total", server="docs", reason="status_404") == 1


def test_streams_of_servers_are_counted_by_kind(metrics: ConnectionMetrics, registry: CollectorRegistry) -> None:
    docs = metrics.server("docs")
    assert value(registry, "upstream_streams", server="docs", kind="watch") == 0
    docs.stream_opened("watch")
    docs.stream_opened("session")
    docs.stream_opened("session")
    docs.stream_closed("session", broken=False)
    assert value(registry, "upstream_streams", server="docs", kind="watch") == 1
    assert value(registry, "upstream_streams", server="docs", kind="session") == 1
    metrics.forget("docs")
    assert value(registry, "upstream_streams", server="docs", kind="watch") is None


def test_streams_that_break_and_resources_that_are_followed_are_counted(
    metrics: ConnectionMetrics, registry: CollectorRegistry
) -> None:
    docs = metrics.server("docs")
    assert value(registry, "upstream_streams_broken_total", server="docs", kind="watch") == 0
    docs.following(3)
    for broken in (True, False):
        docs.stream_opened("watch")
        docs.stream_closed("watch", broken=broken)
    assert value(registry, "upstream_streams_broken_total", server="docs", kind="watch") == 1
    assert value(registry, "resources_followed", server="docs") == 3
    metrics.forget("docs")
    assert value(registry, "upstream_streams_broken_total", server="docs", kind="watch") is None
    assert value(registry, "resources_followed", server="docs") is None


def test_children_are_counted_as_running_and_as_started(
    metrics: ConnectionMetrics, registry: CollectorRegistry
) -> None:
    git = metrics.server("git")
    git.child_started()
    git.child_ended()
    git.child_started()
    assert value(registry, "children", server="git") == 1
    assert value(registry, "child_starts_total", server="git") == 2


@pytest.mark.parametrize("reason", Dropped)
def test_whatever_a_server_sent_in_vain_is_counted_once(
    metrics: ConnectionMetrics, registry: CollectorRegistry, reason: Dropped
) -> None:
    metrics.server("git").dropped(reason.value)
    lines = value(registry, "child_lines_dropped_total", server="git", reason=reason.value)
    frames = value(registry, "frames_dropped_total", reason=reason.value)
    of_lines = reason in (Dropped.NOT_JSON, Dropped.NOT_A_MESSAGE, Dropped.OVERLONG)
    assert (lines, frames) == ((1, None) if of_lines else (None, 1))


def test_streams_rise_and_fall_and_dropped_frames_add_up(
    metrics: ConnectionMetrics, registry: CollectorRegistry
) -> None:
    metrics.stream_opened()
    metrics.stream_opened()
    metrics.stream_closed()
    metrics.frames_dropped("ring_full", 3)
    metrics.frames_dropped("ring_full")
    assert value(registry, "streams_open") == 1
    assert value(registry, "frames_dropped_total", reason="ring_full") == 4


def test_a_server_is_counted_by_one_hand_until_it_leaves(metrics: ConnectionMetrics) -> None:
    first = metrics.server("docs")
    assert metrics.server("docs") is first
    metrics.forget("docs")
    assert metrics.server("docs") is not first


def test_connections_that_end_after_their_server_left_bring_no_series_back(
    metrics: ConnectionMetrics, registry: CollectorRegistry
) -> None:
    docs = metrics.server("docs")
    docs.session_opened()
    docs.child_started()
    metrics.forget("docs")
    docs.session_ended()
    docs.child_ended()
    docs.session_reinitialised("status_404")
    docs.dropped("not_json")
    samples = [sample for family in registry.collect() for sample in family.samples]
    assert not [sample for sample in samples if sample.labels.get("server")]
    assert value(registry, "sessions", side="server", era="legacy") == 0
