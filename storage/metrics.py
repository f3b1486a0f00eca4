"""The metrics of storage.

Which question: are records written, how soon, and what stands in the way? Touches a Prometheus registry. The rule:
names are constant, and no label holds an id or free text.
"""

from __future__ import annotations

from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

COMMIT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
REMOVED = ("calls", "payloads", "transitions", "sessions")
"""What retention removes, as `storage.purge.Removed` has it."""

REASONS = ("contended", "unavailable", "refused")
"""Why a batch was not committed: another transaction, the database itself, or what the batch holds."""


class Backlog(Protocol):
    """What waits to be written; `storage.writer.Writer` has it."""

    @property
    def pending(self) -> int:
        """Records with something unwritten."""

    @property
    def pending_bytes(self) -> int:
        """What they take of `recording.pending_bytes`."""

    @property
    def lag(self) -> float:
        """Seconds since the oldest of it was accepted; 0 when nothing waits."""


class Room(Protocol):
    """Bytes on a disk; `storage.journal.diary.Diary` has them."""

    @property
    def size(self) -> int: ...

    @property
    def free_bytes(self) -> int: ...


class Connections(Protocol):
    """A pool; `storage.database.Database` has one."""

    @property
    def busy(self) -> int: ...

    @property
    def idle(self) -> int: ...


class StorageMetrics:
    """Counters that the writer moves, and gauges that look when they are scraped."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.written = Counter(
            "mcp_gateway_records_written", "Calls whose final record is in the database.", registry=registry
        )
        self.lost = Counter(
            "mcp_gateway_records_lost",
            "Records accepted and never written: the gateway had to stop.",
            registry=registry,
        )
        self.set_aside = Counter(
            "mcp_gateway_records_set_aside", "Records that the database refused in every form.", registry=registry
        )
        self.orphans = Counter(
            "mcp_gateway_orphans_closed",
            "Calls that were closed as unknown since their gateway has ended.",
            registry=registry,
        )
        self.adopted = Counter(
            "mcp_gateway_journals_adopted",
            "Journals of earlier runs whose records were brought into the database.",
            registry=registry,
        )
        self.quarantined = Counter(
            "mcp_gateway_journal_frames_quarantined",
            "Damaged parts of journals, which were kept apart.",
            registry=registry,
        )
        self._journal = Gauge("mcp_gateway_journal_bytes", "What the journal takes on its disk.", registry=registry)
        self._journal_free = Gauge(
            "mcp_gateway_journal_free_bytes",
            "What may still be journalled before new calls are refused.",
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "mcp_gateway_record_commit_seconds", "Time to write one batch.", buckets=COMMIT_BUCKETS, registry=registry
        )
        errors = Counter(
            "mcp_gateway_database_errors", "Batches that were not committed, by reason.", ["reason"], registry=registry
        )
        self.errors = {reason: errors.labels(reason) for reason in REASONS}
        self._pending = Gauge("mcp_gateway_records_pending", "Records with something unwritten.", registry=registry)
        self._pending_bytes = Gauge(
            "mcp_gateway_records_pending_bytes", "Bytes held by records that are not final yet.", registry=registry
        )
        self._lag = Gauge("mcp_gateway_record_lag_seconds", "Age of the oldest unwritten record.", registry=registry)
        self._connections = Gauge(
            "mcp_gateway_database_connections", "Connections of the pool, by state.", ["state"], registry=registry
        )

    def watch(self, backlog: Backlog) -> None:
        """Show `backlog` from now on."""
        self._pending.set_function(lambda: backlog.pending)
        self._pending_bytes.set_function(lambda: backlog.pending_bytes)
        self._lag.set_function(lambda: backlog.lag)

    def watch_journal(self, journal: Room) -> None:
        """Show `journal` from now on."""
        self._journal.set_function(lambda: journal.size)
        self._journal_free.set_function(lambda: journal.free_bytes)

    def watch_pool(self, pool: Connections) -> None:
        """Show `pool` from now on."""
        self._connections.labels("busy").set_function(lambda: pool.busy)
        self._connections.labels("idle").set_function(lambda: pool.idle)


class RetentionMetrics:
    """What was removed by age or size, and how old the oldest call is."""

    def __init__(self, registry: CollectorRegistry) -> None:
        removed = Counter(
            "mcp_gateway_retention_removed", "What was removed by age or size, by kind.", ["kind"], registry=registry
        )
        self.removed = {kind: removed.labels(kind) for kind in REMOVED}
        self.last_run = Gauge(
            "mcp_gateway_retention_last_run_timestamp_seconds",
            "When this gateway last removed what was due; 0 for never.",
            registry=registry,
        )
        self.oldest = Gauge(
            "mcp_gateway_oldest_call_timestamp_seconds", "When the oldest call began; 0 for none.", registry=registry
        )
