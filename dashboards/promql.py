"""The PromQL that our panels share.

Which question: how is a rate, a quantile or an error ratio of ours written? Pure. The rule: every expression filters by
the dashboard's variables and uses `$__rate_interval`, so that it holds for any scrape interval and any zoom.
"""

from __future__ import annotations

from dashboards.grafana import Query

GATEWAY = 'job=~"$job", instance=~"$instance"'
SERVER = f'{GATEWAY}, server=~"$server"'
TOOL = f'{SERVER}, tool=~"$tool"'
TOOL_OPERATION = f'{SERVER}, gen_ai_tool_name=~"$tool"'

FAULTS = 'outcome=~"protocol_error|upstream_error|timeout|unknown"'
"""Outcomes that count against a server; a tool that answers `isError` did its work."""
COUNTED = 'outcome!~"cancelled|abandoned|refused"'
"""Outcomes that say something about a server."""
QUANTILES = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))


def rate(series: str, labels: str, by: str = "") -> str:
    """Events per second, summed."""
    return f"{_sum(by)}(rate({series}{{{labels}}}[$__rate_interval]))"


def grown(series: str, labels: str, by: str = "") -> str:
    """Events in the time that one point of a panel stands for."""
    return f"{_sum(by)}(increase({series}{{{labels}}}[$__rate_interval]))"


def quantile(part: float, histogram: str, labels: str, by: str = "") -> str:
    """A quantile of a histogram, over all gateways that were chosen; nothing where nothing was measured, instead of
    the NaN that Prometheus makes of it.
    """
    buckets = rate(f"{histogram}_bucket", labels, ", ".join(filter(None, ("le", by))))
    return f"histogram_quantile({part:g}, {buckets}) >= 0"


def quantiles(histogram: str, labels: str, by: str = "", legend: str = "") -> list[Query]:
    """p50, p95 and p99."""
    return [
        Query(quantile(part, histogram, labels, by), " ".join(filter(None, (name, legend)))) for part, name in QUANTILES
    ]


def fault_ratio(labels: str, by: str) -> str:
    """The share of counted calls that went wrong; 0 where none did, and nothing where there were no calls."""
    every = rate("mcp_gateway_calls_total", f"{labels}, {COUNTED}", by)
    wrong = rate("mcp_gateway_calls_total", f"{labels}, {FAULTS}", by)
    return f"({wrong} or 0 * {every}) / ({every} > 0)"


def _sum(by: str) -> str:
    return f"sum by ({by}) " if by else "sum"
