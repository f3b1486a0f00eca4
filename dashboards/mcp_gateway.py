"""The gateway's Grafana dashboard: what an SRE asks, from the fleet down to the records.

Run `python -m dashboards.mcp_gateway` after a change; it writes `mcp-gateway.json`, which is what Grafana loads.
"""

from __future__ import annotations

import json
from pathlib import Path

from dashboards.grafana import ORANGE, Annotation, Dashboard, Variable
from dashboards.promql import GATEWAY, SERVER, grown
from dashboards.rendering import render
from dashboards.rows.fleet import fleet
from dashboards.rows.overhead import overhead
from dashboards.rows.records import records
from dashboards.rows.server import server
from dashboards.rows.tool import tool

FILE = Path(__file__).with_name("mcp-gateway.json")

DASHBOARD = Dashboard(
    uid="mcp-gateway",
    title="MCP gateway",
    description="Servers, tools, the gateway's own cost, and the records of every call.",
    tags=["mcp", "gateway"],
    variables=[
        Variable("job", "mcp_gateway_build_info", "job"),
        Variable("instance", 'mcp_gateway_build_info{job=~"$job"}', "instance"),
        Variable("server", f"mcp_gateway_server_up{{{GATEWAY}}}", "server"),
        Variable("tool", f"mcp_gateway_calls_total{{{SERVER}}}", "tool"),
    ],
    annotations=[
        Annotation(
            "Changes of state",
            f"{grown('mcp_gateway_server_transitions_total', SERVER, 'server, to_state')} > 0",
            "{{server}} is {{to_state}}",
            ORANGE,
        )
    ],
    rows=[fleet(), server(), tool(), overhead(), records()],
)


def text() -> str:
    """What `mcp-gateway.json` holds."""
    return json.dumps(render(DASHBOARD), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
