"""Row *Fleet*: is anything wrong, and where?"""

from __future__ import annotations

from collections.abc import Mapping

from dashboards.grafana import BLUE, GREEN, GREY, ORANGE, RED, YELLOW, Panel, Query, Row, table
from dashboards.promql import (
    GATEWAY,
    SERVER,
    fault_ratio,
    grown,
    quantile,
    rate,
)

STATES: Mapping[int, tuple[str, str]] = {
    0: ("unknown", GREY),
    1: ("up", GREEN),
    2: ("failing", YELLOW),
    3: ("recovering", ORANGE),
    4: ("down", RED),
    5: ("maintenance", BLUE),
}


def fleet() -> Row:
    return Row(
        "Fleet",
        [
            Panel(
                "Servers online",
                "Servers to which calls are routed, of those registered.",
                [
                    Query(f"sum(max by (server) (mcp_gateway_server_up{{{SERVER}}}))", "online"),
                    Query(f"count(max by (server) (mcp_gateway_server_up{{{SERVER}}}))", "registered"),
                ],
                kind="stat",
                width=4,
                height=4,
            ),
            Panel(
                "Calls",
                "Forwarded calls per second.",
                [Query(rate("mcp_gateway_calls_total", SERVER), "calls")],
                kind="stat",
                unit="reqps",
                width=4,
                height=4,
            ),
            Panel(
                "Error ratio",
                "Share of calls that ended in a protocol error, an upstream error, a timeout or unknown. "
                "Cancelled, abandoned and refused calls say nothing about a server and are left out.",
                [Query(fault_ratio(SERVER, ""), "errors")],
                kind="stat",
                unit="percentunit",
                width=4,
                height=4,
                steps=((None, GREEN), (0.01, YELLOW), (0.05, RED)),
            ),
            Panel(
                "Call time p95",
                "Time of a forwarded call as clients see it.",
                [Query(quantile(0.95, "mcp_server_operation_duration_seconds", SERVER), "p95")],
                kind="stat",
                unit="s",
                width=4,
                height=4,
                steps=((None, GREEN), (2, YELLOW), (10, RED)),
            ),
            Panel(
                "In flight",
                "Calls that have begun and not ended.",
                [Query(f"sum(mcp_gateway_calls_in_flight{{{SERVER}}})", "calls")],
                kind="stat",
                width=4,
                height=4,
            ),
            Panel(
                "Configuration",
                "Whether the configuration file was taken over when it last changed. While it is refused, the one "
                "before stays in force; /readyz names the reason.",
                [Query(f"min(mcp_gateway_config_last_reload_successful{{{GATEWAY}}})", "last reload")],
                kind="stat",
                width=4,
                height=4,
                steps=((None, RED), (1, GREEN)),
                mappings={0: ("refused", RED), 1: ("in force", GREEN)},
                options={"graphMode": "none"},
            ),
            server_table(),
            Panel(
                "Ready",
                "What /readyz says of each gateway, which names the reasons.",
                [Query(f"min by (instance) (mcp_gateway_ready{{{GATEWAY}}})", "{{instance}}")],
                kind="stat",
                width=4,
                height=4,
                steps=((None, RED), (1, GREEN)),
                mappings={0: ("unready", RED), 1: ("ready", GREEN)},
                options={"graphMode": "none"},
            ),
            Panel(
                "Degraded",
                "Parts with which something is wrong although traffic survives it; /readyz names the reasons.",
                [Query(f"max by (part) (mcp_gateway_degraded{{{GATEWAY}}})", "{{part}}")],
                kind="stat",
                width=12,
                height=4,
                steps=((None, GREEN), (1, ORANGE)),
                mappings={0: ("well", GREEN), 1: ("degraded", ORANGE)},
                options={"graphMode": "none"},
            ),
            Panel(
                "Names hidden",
                "Tools, prompts and resources that clients do not see since another server has the name; /readyz names "
                "them.",
                [Query(f"max by (endpoint) (mcp_gateway_names_hidden{{{GATEWAY}}})", "{{endpoint}}")],
                kind="stat",
                width=8,
                height=4,
                steps=((None, GREEN), (1, ORANGE)),
                options={"graphMode": "none"},
            ),
            Panel(
                "State of each server",
                "Failing servers still get calls; recovering ones have to answer a few probes first.",
                [Query(state_number(), "{{server}}")],
                kind="state-timeline",
                width=24,
                mappings=STATES,
            ),
            Panel(
                "Changes of state",
                "How often servers changed their state. A server that appears here again and again is flapping.",
                [
                    Query(
                        grown("mcp_gateway_server_transitions_total", SERVER, "server, to_state"),
                        "{{server}} → {{to_state}}",
                    )
                ],
            ),
            Panel(
                "Probes",
                "Probes per second by what they found: ok, or the reason of the failure.",
                [Query(rate("mcp_gateway_probes_total", SERVER, "server, result"), "{{server}} {{result}}")],
                unit="ops",
                stacked=True,
            ),
            Panel(
                "Probe time p95",
                "From the connection to the list of tools.",
                [Query(quantile(0.95, "mcp_gateway_probe_duration_seconds", SERVER, "server"), "{{server}}")],
                unit="s",
            ),
        ],
    )


def server_table() -> Panel:
    columns = {
        "State": f"max by (server, state) (mcp_gateway_server_state{{{SERVER}}}) == 1",
        "Version": f"max by (server, transport, era, protocol_version) (mcp_gateway_server_info{{{SERVER}}})",
        "Tools": f"max by (server) (mcp_gateway_server_tools{{{SERVER}}})",
        "Calls/s": rate("mcp_gateway_calls_total", SERVER, "server"),
        "Errors": fault_ratio(SERVER, "server"),
        "p95": quantile(0.95, "mcp_server_operation_duration_seconds", SERVER, "server"),
        "Last good probe": f"time() - max by (server) (mcp_gateway_probe_last_success_timestamp_seconds{{{SERVER}}})",
    }
    units = {"Calls/s": "reqps", "Errors": "percentunit", "p95": "s", "Last good probe": "s"}
    return table(
        "Servers",
        "One line per registered server.",
        columns,
        units,
        hidden=("State", "Version"),
        names={"server": "Server", "state": "State", "transport": "Transport", "era": "Era"}
        | {"protocol_version": "Protocol"},
        join="server",
    )


def state_number() -> str:
    """Each server's state as the number that `STATES` names; `unknown` is what remains."""
    terms = (
        f'{number} * max by (server) (mcp_gateway_server_state{{{SERVER}, state="{name}"}})'
        for number, (name, _) in STATES.items()
        if number
    )
    return " + ".join(terms)
