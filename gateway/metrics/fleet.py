"""The registered servers, the configuration, this build and its process.

Which question: which servers does this gateway front, in which version, under which configuration? Touches the
registry that it is given, and /proc where there is one. The rule: a fact that changes replaces its old series, so that
no server is described twice.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

RELOAD_RESULTS = ("success", "failure")
SHARED_ENDPOINTS = ("aggregate", "group")


class FleetMetrics:
    """The series of the control path. Servers are named by their slug."""

    def __init__(self, registry: CollectorRegistry, version: str) -> None:
        self._info = Gauge(
            "mcp_gateway_server_info",
            "1 for what is known of the server: transport, era and protocol version.",
            ["server", "transport", "era", "protocol_version"],
            registry=registry,
        )
        self._tools = Gauge("mcp_gateway_server_tools", "Tools in the server's catalog.", ["server"], registry=registry)
        self._hidden = Gauge(
            "mcp_gateway_names_hidden",
            "Tools, prompts and resources that clients do not see since another server of the endpoint has the name.",
            ["endpoint"],
            registry=registry,
        )
        self.hidden({})
        self._own_lists = Gauge(
            "mcp_gateway_own_lists",
            "Catalogs that are not shown to everybody: of callers of one kind (context), or of one session.",
            ["kind"],
            registry=registry,
        )
        self._successful = Gauge(
            "mcp_gateway_config_last_reload_successful",
            "1 if the configuration file was taken over when it last changed, 0 if it was refused.",
            registry=registry,
        )
        self._success_time = Gauge(
            "mcp_gateway_config_last_reload_success_timestamp_seconds",
            "When the configuration was last taken over, in seconds since the Unix epoch.",
            registry=registry,
        )
        self._reloads = Counter(
            "mcp_gateway_config_reloads",
            "Times the configuration was loaded, by result.",
            ["result"],
            registry=registry,
        )
        for result in RELOAD_RESULTS:
            self._reloads.labels(result)
        build = Gauge("mcp_gateway_build_info", "1, with the build.", ["version", "python"], registry=registry)
        build.labels(version, platform.python_version()).set(1)
        ProcessCollector(registry=registry)  # process_cpu_seconds_total, process_resident_memory_bytes, …

    def described(self, server: str, *, transport: str, era: str, protocol_version: str) -> None:
        """What is known of the server now; unknown facts are empty."""
        self._info.remove_by_labels({"server": server})
        self._info.labels(server, transport, era, protocol_version).set(1)

    def tools(self, server: str, count: int) -> None:
        """The server's catalog holds this many tools."""
        self._tools.labels(server).set(count)

    def hidden(self, counts: Mapping[str, int]) -> None:
        """So much is hidden, by the kind of the endpoints."""
        for kind in SHARED_ENDPOINTS:
            self._hidden.labels(kind).set(counts.get(kind, 0))

    def own_lists(self, kind: str, count: Callable[[], int]) -> None:
        """Ask `count` at each scrape how many are kept of this kind; it may be asked from another thread."""
        self._own_lists.labels(kind).set_function(count)

    def loaded(self, now: float) -> None:
        """The configuration was taken over; `now` in seconds since the Unix epoch."""
        self._successful.set(1)
        self._success_time.set(now)
        self._reloads.labels("success").inc()

    def load_refused(self) -> None:
        """The configuration file was refused, and the one before stays in force."""
        self._successful.set(0)
        self._reloads.labels("failure").inc()

    def forget(self, server: str) -> None:
        """Remove every series of the server."""
        self._info.remove_by_labels({"server": server})
        self._tools.remove_by_labels({"server": server})
