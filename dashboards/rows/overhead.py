"""Row *Gateway overhead*: what does the gateway itself cost, hold and refuse?"""

from __future__ import annotations

from dashboards.grafana import GREEN, RED, Panel, Query, Row, unit_of
from dashboards.promql import (
    GATEWAY,
    SERVER,
    grown,
    quantile,
    rate,
)


def overhead() -> Row:
    return Row(
        "Gateway overhead",
        [
            Panel(
                "Overhead by era",
                "Time that the gateway added to calls, by the client's and the server's era.",
                [
                    Query(
                        quantile(part, "mcp_gateway_overhead_seconds", GATEWAY, "client_era, server_era"),
                        f"{name} {{{{client_era}}}} → {{{{server_era}}}}",
                    )
                    for part, name in ((0.5, "p50"), (0.99, "p99"))
                ],
                unit="s",
                steps=((None, GREEN), (0.05, RED)),
            ),
            Panel(
                "Overhead",
                "How the added time is distributed.",
                [Query(grown("mcp_gateway_overhead_seconds_bucket", GATEWAY, "le"), "{{le}}", form="heatmap")],
                kind="heatmap",
                unit="short",
            ),
            Panel(
                "Event-loop lag",
                "The longest that a timer was late in the last 30 s. Above 0.1 s every call feels it.",
                [Query(f"max by (instance) (mcp_gateway_event_loop_lag_seconds{{{GATEWAY}}})", "{{instance}}")],
                unit="s",
                steps=((None, GREEN), (0.1, RED)),
            ),
            Panel(
                "Requests",
                "HTTP requests per second, by door and status.",
                [
                    Query(
                        rate("mcp_gateway_requests_total", GATEWAY, "door, era, status"), "{{door}} {{era}} {{status}}"
                    )
                ],
                unit="reqps",
                stacked=True,
            ),
            Panel(
                "Chat back ends",
                "Requests per second of back ends that speak no MCP, by status. What went wrong with a single call is "
                "in the outcomes.",
                [
                    Query(
                        rate("mcp_gateway_requests_total", f'{GATEWAY}, door="chat"', "status"),
                        "{{status}}",
                    )
                ],
                unit="reqps",
                stacked=True,
            ),
            Panel(
                "Refusals",
                "Requests per second that were refused before they became calls, by reason.",
                [Query(rate("mcp_gateway_refusals_total", GATEWAY, "reason"), "{{reason}}")],
                unit="reqps",
                stacked=True,
            ),
            Panel(
                "Sessions and streams",
                "Legacy sessions of clients with the gateway and of the gateway with servers, and open event streams.",
                [
                    Query(f"sum by (side, era) (mcp_gateway_sessions{{{GATEWAY}}})", "sessions {{side}} {{era}}"),
                    Query(f"sum(mcp_gateway_streams_open{{{GATEWAY}}})", "streams"),
                ],
            ),
            Panel(
                "Sessions opened again",
                "Sessions with servers that had to be opened again, by what the server had said.",
                [
                    Query(
                        rate("mcp_gateway_sessions_reinitialised_total", SERVER, "server, reason"),
                        "{{server}} {{reason}}",
                    )
                ],
                unit="ops",
            ),
            Panel(
                "Dropped",
                "Frames that no reader got, and lines of children that were no message.",
                [
                    Query(rate("mcp_gateway_frames_dropped_total", GATEWAY, "reason"), "frames {{reason}}"),
                    Query(
                        rate("mcp_gateway_child_lines_dropped_total", SERVER, "server, reason"),
                        "lines {{server}} {{reason}}",
                    ),
                ],
                unit="ops",
            ),
            Panel(
                "Configuration reloads",
                "Reloads by result, and the age of the configuration in force.",
                [
                    Query(grown("mcp_gateway_config_reloads_total", GATEWAY, "result"), "{{result}}"),
                    Query(
                        f"time() - min(mcp_gateway_config_last_reload_success_timestamp_seconds{{{GATEWAY}}})",
                        "age of the configuration",
                    ),
                ],
                overrides=[unit_of("age of the configuration", "s", axis="right")],
            ),
            Panel(
                "Process",
                "Processor time and resident memory of the gateway, without its children.",
                [
                    Query(rate("process_cpu_seconds_total", GATEWAY, "instance"), "cpu {{instance}}"),
                    Query(f"sum by (instance) (process_resident_memory_bytes{{{GATEWAY}}})", "memory {{instance}}"),
                ],
                unit="percentunit",
                overrides=[unit_of("/memory.*/", "bytes", axis="right")],
            ),
            Panel(
                "Builds",
                "Running versions of the gateway.",
                [
                    Query(
                        f"count by (version, python) (mcp_gateway_build_info{{{GATEWAY}}})",
                        "{{version}} on Python {{python}}",
                    )
                ],
            ),
        ],
    )
