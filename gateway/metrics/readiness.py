"""Readiness, as Prometheus reads it.

Which question: would this gateway get traffic, and which part of it is not well? Touches the registry that it is
given. The rule: it says what `/readyz` says, part by part, and no reason becomes a label.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge


class ReadinessMetrics:
    """Moved whenever the checks have run, which every scrape makes them do."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ready = Gauge(
            "mcp_gateway_ready", "1 while /readyz answers 200, 0 while it answers 503.", registry=registry
        )
        self._degraded = Gauge(
            "mcp_gateway_degraded",
            "1 for each part that /readyz lists as degraded: something is wrong with it, and traffic survives it.",
            ["part"],
            registry=registry,
        )

    def found(self, *, ready: bool, degraded: Mapping[str, bool]) -> None:
        """The checks have run; `degraded` by the name of the check."""
        self._ready.set(ready)
        for part, is_degraded in degraded.items():
            self._degraded.labels(part).set(is_degraded)
