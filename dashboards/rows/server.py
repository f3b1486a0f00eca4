"""Row *Server*: what do the chosen servers get, and how do they bear it?"""

from __future__ import annotations

from dashboards.grafana import GREEN, RED, Panel, Query, Row
from dashboards.promql import (
    SERVER,
    fault_ratio,
    quantile,
    quantiles,
    rate,
)


def server() -> Row:
    return Row(
        "Server: $server",
        [
            Panel(
                "Calls by outcome",
                "Forwarded calls per second, by how they ended.",
                [Query(rate("mcp_gateway_calls_total", SERVER, "outcome"), "{{outcome}}")],
                unit="reqps",
                stacked=True,
            ),
            Panel(
                "Error ratio by server",
                "Share of counted calls that went wrong.",
                [Query(fault_ratio(SERVER, "server"), "{{server}}")],
                unit="percentunit",
                maximum=1,
                steps=((None, GREEN), (0.05, RED)),
            ),
            Panel(
                "Call time",
                "Time of a forwarded call as clients see it.",
                quantiles("mcp_server_operation_duration_seconds", SERVER),
                unit="s",
            ),
            Panel(
                "Time spent waiting for the server, p95",
                "The part of the call time that is the server's own.",
                [
                    Query(
                        quantile(0.95, "mcp_client_operation_duration_seconds", SERVER, "server, mcp_method_name"),
                        "{{server}} {{mcp_method_name}}",
                    )
                ],
                unit="s",
            ),
            Panel(
                "Calls in flight",
                "Calls that have begun and not ended.",
                [Query(f"sum by (server) (mcp_gateway_calls_in_flight{{{SERVER}}})", "{{server}}")],
            ),
            Panel(
                "Children and sessions",
                "Running processes of stdio servers, and sessions opened per second. Many starts without calls mean "
                "a child that dies again and again.",
                [
                    Query(f"sum by (server) (mcp_gateway_children{{{SERVER}}})", "children {{server}}"),
                    Query(rate("mcp_gateway_child_starts_total", SERVER, "server"), "starts/s {{server}}"),
                    Query(
                        rate("mcp_gateway_sessions_opened_total", f'{SERVER}, side="server"', "server"),
                        "sessions/s {{server}}",
                    ),
                ],
            ),
            Panel(
                "Streams of servers",
                "Open streams on which servers speak outside calls: the watch, by which the gateway hears of changes, "
                "and those of clients' sessions; how many break per second, and how many resources are followed. While "
                "the watch of an HTTP server is 0, probes alone find its changes; stdio servers need no stream.",
                [
                    Query(
                        f"sum by (server, kind) (mcp_gateway_upstream_streams{{{SERVER}}})",
                        "{{kind}} {{server}}",
                    ),
                    Query(
                        rate("mcp_gateway_upstream_streams_broken_total", SERVER, "server, kind"),
                        "broken/s {{kind}} {{server}}",
                    ),
                    Query(f"sum by (server) (mcp_gateway_resources_followed{{{SERVER}}})", "followed {{server}}"),
                ],
            ),
        ],
    )
