"""The metrics of storage under the names that dashboards and alerts know."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from storage.metrics import RetentionMetrics, StorageMetrics

NAMES = {
    "mcp_gateway_records_written_total",
    "mcp_gateway_records_pending",
    "mcp_gateway_records_pending_bytes",
    "mcp_gateway_records_lost_total",
    "mcp_gateway_records_set_aside_total",
    "mcp_gateway_record_lag_seconds",
    "mcp_gateway_record_commit_seconds_bucket",
    "mcp_gateway_database_errors_total",
    "mcp_gateway_database_connections",
    "mcp_gateway_retention_removed_total",
    "mcp_gateway_retention_last_run_timestamp_seconds",
    "mcp_gateway_oldest_call_timestamp_seconds",
}


class Waiting:
    """A backlog and a pool with numbers of their own."""

    pending, pending_bytes, lag, busy, idle = 3, 4_000, 1.5, 2, 5


def test_every_series_is_there_before_anything_happens() -> None:
    registry = CollectorRegistry()
    metrics = StorageMetrics(registry)
    metrics.watch(Waiting())
    metrics.watch_pool(Waiting())
    RetentionMetrics(registry)
    shown = {
        line.split("{")[0].split(" ")[0] for line in generate_latest(registry).decode().splitlines() if line[0] != "#"
    }
    assert shown >= NAMES


def test_gauges_look_when_they_are_scraped() -> None:
    registry, waiting = CollectorRegistry(), Waiting()
    metrics = StorageMetrics(registry)
    metrics.watch(waiting)
    metrics.watch_pool(waiting)
    waiting.pending = 7
    value = registry.get_sample_value
    assert (value("mcp_gateway_records_pending"), value("mcp_gateway_records_pending_bytes")) == (7, 4_000)
    assert value("mcp_gateway_record_lag_seconds") == 1.5
    assert value("mcp_gateway_database_connections", {"state": "busy"}) == 2
    assert value("mcp_gateway_database_connections", {"state": "idle"}) == 5


def test_two_gateways_in_one_process_share_nothing() -> None:
    first, second = CollectorRegistry(), CollectorRegistry()
    StorageMetrics(first).lost.inc(2)
    StorageMetrics(second)
    assert first.get_sample_value("mcp_gateway_records_lost_total") == 2
    assert second.get_sample_value("mcp_gateway_records_lost_total") == 0
