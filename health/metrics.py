"""What Prometheus is told about health.

Which question: how are the servers, and how do their probes go? Touches the registry that it is given. The rule: every
label comes from a closed set or from the registry of servers, and a server that leaves takes its series along.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from health.probe import HealthState, Observation
from health.state import ServerHealth, Status, Transition

PROBE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Seconds: from a ping on loopback to the cold start of a child."""


class HealthMetrics:
    """The series of `health`; servers are named by their slug."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._up = Gauge(
            "mcp_gateway_server_up",
            "1 while calls are routed to the server, 0 while they are refused.",
            ["server"],
            registry=registry,
        )
        self._state = Gauge(
            "mcp_gateway_server_state",
            "1 for the state that the server is in, 0 for every other.",
            ["server", "state"],
            registry=registry,
        )
        self._probes = Counter(
            "mcp_gateway_probes",
            "Probes, by what they found: ok, or the reason of the failure.",
            ["server", "result"],
            registry=registry,
        )
        self._duration = Histogram(
            "mcp_gateway_probe_duration_seconds",
            "Time of a whole probe, from the connection to the list of tools.",
            ["server"],
            buckets=PROBE_BUCKETS,
            registry=registry,
        )
        self._last_success = Gauge(
            "mcp_gateway_probe_last_success_timestamp_seconds",
            "When a probe of the server last succeeded, in seconds since the Unix epoch.",
            ["server"],
            registry=registry,
        )
        self._transitions = Counter(
            "mcp_gateway_server_transitions",
            "Changes of a server's state, by the state that they led to.",
            ["server", "to_state"],
            registry=registry,
        )

    def shown(self, server: str, health: ServerHealth) -> None:
        """The board shows this health now."""
        self._up.labels(server).set(health.status is Status.ONLINE)
        for state in HealthState:
            self._state.labels(server, state.value).set(state is health.state)
            self._transitions.labels(server, state.value)  # a counter is born at 0: rates miss the first step else

    def probed(self, server: str, observation: Observation, seconds: float, now_us: int) -> None:
        """A probe ended after `seconds`."""
        self._probes.labels(server, _result(observation)).inc()
        self._duration.labels(server).observe(seconds)
        if observation.ok:
            self._last_success.labels(server).set(now_us / 1_000_000)

    def moved(self, server: str, transition: Transition) -> None:
        """The server changed its state."""
        self._transitions.labels(server, transition.to_state.value).inc()

    def forget(self, server: str) -> None:
        """Remove every series of the server."""
        for metric in (self._up, self._state, self._probes, self._duration, self._last_success, self._transitions):
            metric.remove_by_labels({"server": server})


def _result(observation: Observation) -> str:
    """HTTP statuses by their class: a server has hundreds to choose from, and each would be a series."""
    if observation.ok:
        return "ok"
    reason = observation.reason or "failed"
    return f"{reason[: len(_STATUS) + 1]}xx" if reason.startswith(_STATUS) else reason


_STATUS = "status_"
