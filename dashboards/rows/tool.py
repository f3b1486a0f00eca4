"""Row *Tool*: which tools are busy, slow or unsuccessful?"""

from __future__ import annotations

from dashboards.grafana import Panel, Query, Row, table
from dashboards.promql import (
    QUANTILES,
    TOOL,
    TOOL_OPERATION,
    quantile,
    rate,
)


def tool() -> Row:
    faults = f'{TOOL}, outcome!~"ok|input_required"'
    return Row(
        "Tool: $tool",
        [
            Panel(
                "Calls by tool",
                "The ten busiest tools. `other` stands for tools that their server does not offer.",
                [Query(f"topk(10, {rate('mcp_gateway_calls_total', TOOL, 'server, tool')})", "{{server}} {{tool}}")],
                unit="reqps",
                stacked=True,
            ),
            Panel(
                "Unsuccessful calls by tool",
                "The ten tools with the most calls that did not end ok; tool_error is a tool that answered isError.",
                [
                    Query(
                        f"topk(10, {rate('mcp_gateway_calls_total', faults, 'server, tool, outcome')})",
                        "{{server}} {{tool}} {{outcome}}",
                    )
                ],
                unit="reqps",
            ),
            Panel(
                "Call time by tool, p95",
                "The ten slowest tools.",
                [
                    Query(
                        "topk(10, "
                        + quantile(
                            0.95, "mcp_server_operation_duration_seconds", TOOL_OPERATION, "server, gen_ai_tool_name"
                        )
                        + ")",
                        "{{server}} {{gen_ai_tool_name}}",
                    )
                ],
                unit="s",
            ),
            tool_table(),
        ],
    )


def tool_table() -> Panel:
    histogram, by = "mcp_server_operation_duration_seconds", "server, gen_ai_tool_name"
    columns = {
        "Calls/s": rate(f"{histogram}_count", TOOL_OPERATION, by),
        **{name: quantile(part, histogram, TOOL_OPERATION, by) for part, name in QUANTILES},
    }
    return table(
        "Tools",
        "One line per tool that was called.",
        columns,
        {"Calls/s": "reqps", "p50": "s", "p95": "s", "p99": "s"},
        names={"server": "Server", "gen_ai_tool_name": "Tool"},
    )
