"""Requests, refusals and forwarded calls.

Which question: what passes through the gateway, how does it end, and what does it cost? Touches the registry that it
is given. The rule: a tool becomes a label value only when its server offers it, and at most `TOOLS_PER_SERVER` of one
server do; every other tool is `other`, so that no client and no server can flood Prometheus.

Names and buckets of the operation histograms: OpenTelemetry semantic conventions for MCP (`mcp.server.operation.
duration` toward clients, `mcp.client.operation.duration` toward servers).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from storage.records import Outcome

OPERATION_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
OVERHEAD_BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)

TOOLS_PER_SERVER = 100
"""Tools of one server that get series of their own, in the order of their first call."""

OTHER = "other"

_NOT_ERRORS = frozenset({Outcome.OK, Outcome.INPUT_REQUIRED})


@dataclass(frozen=True, slots=True)
class MeasuredCall:
    """A finished call. `tool` is the server's own name of it, None for methods without one; times in microseconds;
    `upstream_us` is the time spent waiting for the server, None when the server never got the request.
    """

    server: str
    method: str
    tool: str | None
    outcome: Outcome
    client_era: str
    server_era: str | None
    total_us: int
    upstream_us: int | None


class CallMetrics:
    """The series of the data path. Servers are named by their slug."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._toward_clients = Histogram(
            "mcp_server_operation_duration_seconds",
            "Time of a forwarded call as its client sees it.",
            ["server", "mcp_method_name", "gen_ai_tool_name", "error_type"],
            buckets=OPERATION_BUCKETS,
            registry=registry,
        )
        self._toward_servers = Histogram(
            "mcp_client_operation_duration_seconds",
            "Time spent waiting for the server during a forwarded call.",
            ["server", "mcp_method_name", "error_type"],
            buckets=OPERATION_BUCKETS,
            registry=registry,
        )
        self._calls = Counter(
            "mcp_gateway_calls",
            "Forwarded calls, by how they ended.",
            ["server", "tool", "method", "outcome"],
            registry=registry,
        )
        self._in_flight = Gauge(
            "mcp_gateway_calls_in_flight", "Calls that have begun and not ended.", ["server"], registry=registry
        )
        overhead = Histogram(
            "mcp_gateway_overhead_seconds",
            "Time that the gateway added to a call that reached its server.",
            ["client_era", "server_era"],
            buckets=OVERHEAD_BUCKETS,
            registry=registry,
        )
        requests = Counter(
            "mcp_gateway_requests",
            "HTTP requests at the doors, by the status of the answer.",
            ["door", "era", "status"],
            registry=registry,
        )
        refusals = Counter(
            "mcp_gateway_refusals", "Requests refused before they became calls.", ["reason"], registry=registry
        )
        # Looking a label up costs three times as much as counting. These series stay for ever, so they can be kept.
        self._overhead = cache(overhead.labels)
        self._requests = cache(requests.labels)
        self._refusals = cache(refusals.labels)
        self._servers: dict[str, _ServerCalls] = {}

    def request(self, door: str, era: str, status: int) -> None:
        """One HTTP request was answered."""
        self._requests(door, era, status).inc()

    def refusal(self, reason: str) -> None:
        """A request was refused before it became a call."""
        self._refusals(reason).inc()

    def tools(self, server: str, names: Collection[str]) -> None:
        """The tools that the server offers now: the only ones that can get series of their own."""
        self._of(server).offered = frozenset(names)

    def in_flight(self, server: str) -> int:
        """Calls of the server that have begun and not ended."""
        calls = self._servers.get(server)
        return 0 if calls is None else calls.in_flight

    def in_flight_by_server(self) -> dict[str, int]:
        """The servers that have calls at this moment, and how many."""
        return {server: calls.in_flight for server, calls in self._servers.items() if calls.in_flight}

    def call_started(self, server: str) -> None:
        """A call has begun."""
        self._of(server).moved(+1)

    def call_finished(self, call: MeasuredCall) -> None:
        """A call has ended; the end of one whose server was forgotten meanwhile leaves no trace."""
        if (calls := self._servers.get(call.server)) is None:
            return
        calls.moved(-1)
        counter, toward_clients, toward_server = calls.children(call)
        counter.inc()
        toward_clients.observe(call.total_us / 1_000_000)
        if toward_server is not None and call.upstream_us is not None:
            toward_server.observe(call.upstream_us / 1_000_000)
            overhead_us = max(0, call.total_us - call.upstream_us)
            self._overhead(call.client_era, call.server_era or "unknown").observe(overhead_us / 1_000_000)

    def forget(self, server: str) -> None:
        """Remove every series of the server."""
        self._servers.pop(server, None)
        for metric in (self._toward_clients, self._toward_servers, self._calls, self._in_flight):
            metric.remove_by_labels({"server": server})

    def _of(self, server: str) -> _ServerCalls:
        if (calls := self._servers.get(server)) is None:
            calls = _ServerCalls(server, self._in_flight.labels(server), self._label)
            self._servers[server] = calls
        return calls

    def _label(self, server: str, key: _Key) -> _Children:
        method, tool, outcome, sent = key
        error = "" if outcome in _NOT_ERRORS else outcome.value
        return (
            self._calls.labels(server, tool, method, outcome.value),
            self._toward_clients.labels(server, method, tool, error),
            self._toward_servers.labels(server, method, error) if sent else None,
        )


_Key = tuple[str, str, Outcome, bool]
"""Method, tool, outcome, and whether the server got the request."""
_Children = tuple[Counter, Histogram, Histogram | None]


class _ServerCalls:
    """The labelled series of one server, kept until it leaves."""

    def __init__(self, server: str, gauge: Gauge, label: Callable[[str, _Key], _Children]) -> None:
        self.in_flight = 0
        self.offered: frozenset[str] = frozenset()
        self._server = server
        self._gauge = gauge
        self._label = label
        self._named: set[str] = set()
        self._children: dict[_Key, _Children] = {}

    def moved(self, by: int) -> None:
        self.in_flight = max(0, self.in_flight + by)  # a call may end after its server left and came back
        self._gauge.set(self.in_flight)

    def children(self, call: MeasuredCall) -> _Children:
        key = (call.method, self._tool(call.tool), call.outcome, call.upstream_us is not None)
        if (children := self._children.get(key)) is None:
            children = self._children[key] = self._label(self._server, key)
        return children

    def _tool(self, tool: str | None) -> str:
        if tool is None or tool in self._named:
            return tool or ""
        if tool not in self.offered or len(self._named) >= TOOLS_PER_SERVER:
            return OTHER
        self._named.add(tool)
        return tool
