"""Row *Records pipeline*: does every call reach the database, and how soon?"""

from __future__ import annotations

from dashboards.grafana import GREEN, ORANGE, RED, YELLOW, Panel, Query, Row, unit_of
from dashboards.promql import (
    GATEWAY,
    quantiles,
    rate,
)


def records() -> Row:
    return Row(
        "Records pipeline",
        [
            Panel(
                "Records lost",
                "Calls that were answered and never recorded. Anything but 0 is an incident.",
                [Query(f"sum(increase(mcp_gateway_records_lost_total{{{GATEWAY}}}[$__range]))", "lost")],
                kind="stat",
                width=4,
                height=4,
                steps=((None, GREEN), (0.001, RED)),
            ),
            Panel(
                "Records set aside",
                "Records that the database refused even without payloads; they are kept and want a look.",
                [Query(f"sum(increase(mcp_gateway_records_set_aside_total{{{GATEWAY}}}[$__range]))", "set aside")],
                kind="stat",
                width=4,
                height=4,
                steps=((None, GREEN), (0.001, ORANGE)),
            ),
            Panel(
                "Record lag",
                "The age of the oldest record that is not in the database yet.",
                [Query(f"max by (instance) (mcp_gateway_record_lag_seconds{{{GATEWAY}}})", "{{instance}}")],
                kind="stat",
                unit="s",
                width=4,
                height=4,
                steps=((None, GREEN), (0.25, YELLOW), (5, RED)),
            ),
            Panel(
                "Records written",
                "Rows per second that reached the database.",
                [Query(rate("mcp_gateway_records_written_total", GATEWAY), "written")],
                kind="stat",
                unit="wps",
                width=4,
                height=4,
            ),
            Panel(
                "Records pending",
                "Records that wait for their transaction.",
                [Query(f"sum(mcp_gateway_records_pending{{{GATEWAY}}})", "pending")],
                kind="stat",
                width=4,
                height=4,
            ),
            Panel(
                "Database errors",
                "Failed statements per second.",
                [Query(f"{rate('mcp_gateway_database_errors_total', GATEWAY)} or vector(0)", "errors")],
                kind="stat",
                unit="ops",
                width=4,
                height=4,
                steps=((None, GREEN), (0.001, RED)),
            ),
            Panel(
                "Pending",
                "Records that are not in the database, and bytes that they take in memory; beyond "
                "recording.pending_bytes they wait on the disk alone.",
                [
                    Query(f"sum by (instance) (mcp_gateway_records_pending{{{GATEWAY}}})", "records {{instance}}"),
                    Query(f"sum by (instance) (mcp_gateway_records_pending_bytes{{{GATEWAY}}})", "bytes {{instance}}"),
                ],
                overrides=[unit_of("/bytes.*/", "bytes", axis="right")],
            ),
            Panel(
                "Journal",
                "What the journal takes on its disk, and the room until new calls are refused.",
                [
                    Query(f"sum by (instance) (mcp_gateway_journal_bytes{{{GATEWAY}}})", "taken {{instance}}"),
                    Query(f"sum by (instance) (mcp_gateway_journal_free_bytes{{{GATEWAY}}})", "free {{instance}}"),
                ],
                unit="bytes",
            ),
            Panel(
                "After gateways that ended",
                "Journals that were taken over from runs that did not end well, calls that were closed as unknown, and "
                "damaged parts of journals, of which there should be none.",
                [
                    Query(f"sum(increase(mcp_gateway_journals_adopted_total{{{GATEWAY}}}[$__range]))", "journals"),
                    Query(f"sum(increase(mcp_gateway_orphans_closed_total{{{GATEWAY}}}[$__range]))", "unknown calls"),
                    Query(
                        f"sum(increase(mcp_gateway_journal_frames_quarantined_total{{{GATEWAY}}}[$__range]))", "damaged"
                    ),
                ],
            ),
            Panel(
                "Commit time",
                "Time of the transaction that writes one batch.",
                quantiles("mcp_gateway_record_commit_seconds", GATEWAY),
                unit="s",
            ),
            Panel(
                "Database connections",
                "Connections of the pool by state.",
                [
                    Query(
                        f"sum by (instance, state) (mcp_gateway_database_connections{{{GATEWAY}}})",
                        "{{state}} {{instance}}",
                    )
                ],
                stacked=True,
            ),
        ],
    )
