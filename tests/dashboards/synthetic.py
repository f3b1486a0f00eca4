"""A gateway reduced to its metrics: every class that counts, driven as the real gateway drives it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count, cycle
from typing import Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry

from gateway.access import frontier
from gateway.http.operations import Operations
from gateway.http.readiness import Readiness
from gateway.metrics import (
    CallMetrics,
    ConnectionMetrics,
    Exposition,
    FleetMetrics,
    LoopLag,
    MeasuredCall,
    ReadinessMetrics,
)
from health.metrics import HealthMetrics
from health.probe import HealthState, Observation, Step
from health.state import ServerHealth, Transition
from storage.metrics import RetentionMetrics, StorageMetrics
from storage.records import Outcome

SERVERS = {"docs": ("http", "modern", "2026-07-28"), "git": ("stdio", "legacy", "2025-11-25")}
TOOLS = ("search", "read", "write")
STATES = (HealthState.UP, HealthState.FAILING, HealthState.DOWN, HealthState.RECOVERING)


class Gateway(Protocol):
    """A gateway that is worth scraping: where `/metrics` is served, how to keep it busy, and the titles of panels
    that stay empty all the same, each with the reason.
    """

    address: str
    silent: Mapping[str, str]

    async def traffic(self) -> None:
        """One round of everything that a dashboard shows."""


class Backlog:
    """What would wait in the writer and the pool."""

    pending, pending_bytes, lag, busy, idle = 3, 4_000, 0.05, 1, 4
    size, free_bytes = 16_777_216, 1_000_000_000


class SyntheticGateway:
    """Every series of `gateway`, `health` and `storage`, and traffic for each."""

    silent: Mapping[str, str] = {}

    def __init__(self) -> None:
        self.address = ""
        self.registry = CollectorRegistry()
        self.calls = CallMetrics(self.registry)
        self.connections = ConnectionMetrics(self.registry)
        self.fleet = FleetMetrics(self.registry, "0.0.0")
        self.lag = LoopLag(self.registry)
        self.readiness = ReadinessMetrics(self.registry)
        self.health = HealthMetrics(self.registry)
        self.retention = RetentionMetrics(self.registry)
        self.storage = StorageMetrics(self.registry)
        self.storage.watch(Backlog())
        self.storage.watch_pool(Backlog())
        self.storage.watch_journal(Backlog())
        self._rounds = count()
        self._states = cycle(STATES)

    async def traffic(self) -> None:
        number = next(self._rounds)
        for server in SERVERS:
            self._calls(server, number)
            self._connections(server)
            self._health(server)
        self._doors()
        self._control()
        self.storage.written.inc(20)
        self.storage.adopted.inc()
        self.storage.orphans.inc()
        self.storage.quarantined.inc()
        self.storage.commit_seconds.observe(0.004)
        await asyncio.sleep(0)

    def _calls(self, server: str, number: int) -> None:
        transport, era, version = SERVERS[server]
        self.fleet.described(server, transport=transport, era=era, protocol_version=version)
        self.fleet.tools(server, len(TOOLS))
        self.calls.tools(server, TOOLS)
        self.calls.call_started(server)
        for tool in (*TOOLS, "unheard-of"):
            for outcome in Outcome:
                total_us = 1_000 * (1 + number % 50)
                self.calls.call_started(server)
                self.calls.call_finished(
                    MeasuredCall(server, "tools/call", tool, outcome, "modern", era, total_us, total_us - 400)
                )

    def _connections(self, server: str) -> None:
        events = self.connections.server(server)
        events.session_opened()
        events.session_reinitialised("status_404")
        events.child_started()
        events.child_ended()
        events.dropped("not_json")
        events.stream_opened("watch")
        events.stream_opened("session")
        events.stream_closed("session", broken=True)
        events.following(2)

    def _health(self, server: str) -> None:
        state, now_us = next(self._states), time.time_ns() // 1_000
        self.health.shown(server, ServerHealth(state=state, since_us=now_us))
        for reason in (None, "timeout"):
            seen = Observation(ok=reason is None, step=Step.LIST, latency_us=900, reason=reason)
            self.health.probed(server, seen, 0.004, now_us)
        move = Transition(version=1, at_us=now_us, from_state=HealthState.UP, to_state=state, reason="timeout")
        self.health.moved(server, move)

    def _doors(self) -> None:
        self.calls.request("aggregate", "modern", 200)
        self.calls.request("chat", "none", 200)
        self.calls.refusal("parse")
        self.connections.client_session_opened()
        self.connections.stream_opened()
        self.connections.frames_dropped("ring_full")

    def _control(self) -> None:
        self.fleet.loaded(time.time())
        self.fleet.hidden({"aggregate": 1})
        self.readiness.found(ready=True, degraded={"names": True, "records": False})
        self.lag.late(0.001)


@asynccontextmanager
async def synthetic_gateway() -> AsyncIterator[SyntheticGateway]:
    """Serve the gateway's `/metrics` by the handler that the real one uses."""
    gateway = SyntheticGateway()
    app = web.Application()
    readiness, anybody = Readiness({}, gateway.readiness), frontier("", (), ())
    app.add_routes(Operations(readiness, dict, Exposition(gateway.registry)).metrics_routes(lambda: anybody))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    gateway.address = f"{host}:{port}"
    try:
        yield gateway
    finally:
        await runner.cleanup()
