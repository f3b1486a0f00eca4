"""What Prometheus is told about the gateway: one file per kind of thing that is counted.

Everything is built over the `CollectorRegistry` that it is given. Label values come from closed sets, from the registry
of servers or from a server's catalog; a server that leaves takes its series along (`forget`).
"""

from gateway.metrics.calls import CallMetrics, MeasuredCall
from gateway.metrics.connections import ConnectionMetrics, ServerConnections
from gateway.metrics.exposition import Exposition
from gateway.metrics.fleet import FleetMetrics
from gateway.metrics.loop import LoopLag
from gateway.metrics.readiness import ReadinessMetrics

__all__ = [
    "CallMetrics",
    "ConnectionMetrics",
    "Exposition",
    "FleetMetrics",
    "LoopLag",
    "MeasuredCall",
    "ReadinessMetrics",
    "ServerConnections",
]
