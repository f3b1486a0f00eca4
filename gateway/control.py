"""The control path: from a configuration to the live value that requests read.

    config.yaml ─parse→ configuration ─plan→ changes ─apply→ registry ─load→ servers ─fleet→ table ─swap→ pipeline

Which question: what is in force now, and how does it change? Touches the registry, the fleet, the monitor and the
schedule. The rule: start-up, a changed file, SIGHUP and another replica's change all take this road; whatever fails
on it leaves everything as it was, is counted, and is told on `/readyz`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from gateway.access import KeyRing, frontier
from gateway.catalog import Catalog
from gateway.config import ConfigErrors, Configuration
from gateway.fleet import Fleet
from gateway.groups import selections
from gateway.live import Live
from gateway.metrics import CallMetrics, ConnectionMetrics, FleetMetrics
from gateway.protocol.versions import Era
from gateway.redact import KnownSecrets
from gateway.registry import plan, served
from gateway.routing import Server, changes, table
from gateway.secrets import secret_words
from gateway.sessions import SessionFacts
from gateway.upstream.server import Upstream
from health.monitor import Monitor
from health.plan import Plan
from health.probe import Observation
from health.scheduler import Scheduler
from storage import client_sessions, registry, users
from storage.database import Database
from storage.errors import StorageError
from storage.records import Caller

log = logging.getLogger(__name__)

LOCAL_USER = "local"


class Herald(Protocol):
    """Who tells the clients of one era what becomes of the endpoints that they use."""

    def changed(self, changes: Mapping[str, tuple[str, ...]]) -> None:
        """Lists have changed: endpoint → methods of the notifications that say so."""

    def vanished(self, endpoints: Collection[str]) -> None:
        """These endpoints are served no more."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a configuration comes from: `load` reads and parses `path`, secrets filled in; `secrets` hears of them."""

    path: Path
    load: Callable[[], Configuration]
    secrets: KnownSecrets


@dataclass(frozen=True, slots=True)
class Gauges:
    """The metrics that the control path keeps."""

    calls: CallMetrics
    connections: ConnectionMetrics
    fleet: FleetMetrics


class Control:
    """Keeps the live value in step with the configuration file and the registry."""

    def __init__(
        self,
        db: Database,
        monitor: Monitor,
        scheduler: Scheduler,
        surroundings: Surroundings,
        gauges: Gauges,
        now: Callable[[], float],
    ) -> None:
        self._db = db
        self._monitor = monitor
        self._scheduler = scheduler
        self._from = surroundings
        self._gauges = gauges
        self._now = now
        self._fleet: Fleet
        self._changing = asyncio.Lock()
        self._generation = 0
        self._seen: tuple[int, ...] = ()
        self._keys = KeyRing({})
        self._configuration: Configuration
        self.heralds: Mapping[Era, Herald] = {}
        """Who tells clients that lists have changed."""
        self.swapped: Sequence[Callable[[Live, Live], None]] = ()
        """Who hears of each live value and of the one before it."""
        self.problem: str | None = None
        self.live = Live(table(()), {}, self._keys, frontier("127.0.0.1", (), ()))

    @property
    def configuration(self) -> Configuration:
        """What is in force."""
        return self._configuration

    async def start(self, fleet: Fleet, configuration: Configuration) -> None:
        """Put the first configuration into force. Raises `ConfigErrors` and `StorageError`."""
        self._fleet = fleet
        self._seen = _signature(self._from.path)
        await self._enact(configuration)
        self._gauges.fleet.loaded(self._now())

    async def reload(self) -> None:
        """Read the file again and put it into force; a file with mistakes changes nothing."""
        async with self._changing:
            try:
                await self._enact(await asyncio.to_thread(self._from.load))  # a large file takes seconds
            except (ConfigErrors, OSError) as error:
                self._refused(error)
            except StorageError as error:
                self._seen = ()  # the file was not at fault: it is tried again
                self._refused(error)
            else:
                self.problem = None
                self._gauges.fleet.loaded(self._now())
                log.info("configuration reloaded: servers: %s", ", ".join(self.live.table.servers) or "none")

    async def watch(self, interval: float) -> None:
        """Reload whenever the file changes, and load the registry whenever somebody else changed it; for ever."""
        while True:
            await asyncio.sleep(interval)
            if (signature := _signature(self._from.path)) not in ((), self._seen):
                self._seen = signature
                await self.reload()
            await self._follow_registry()

    def observed(self, server_id: int, observation: Observation) -> None:
        """A probe ended; the fleet may want to list the server again."""
        self._fleet.observed(server_id, observation)

    async def settle(self, endpoint: str, seconds: float) -> None:
        await self._fleet.settle(endpoint, seconds)

    async def end_session(self, facts: SessionFacts) -> None:
        """A client's legacy session has ended. That is committed before the client hears of it, so that a restart
        does not bring the session back; a database that is away delays nobody.
        """
        try:
            await client_sessions.end(self._db, facts.sid, facts.user_id, facts.expires)
        except StorageError as error:
            log.warning("the end of a session was not stored, a restart would bring it back: %s", error)
        self._fleet.end_session(facts.sid)

    def table_changed(self) -> None:
        """The fleet has another table: show it to requests."""
        listen, before = self._configuration.listen, self.live
        self.live = after = Live(
            self._fleet.table,
            self._fleet.upstreams,
            self._keys,
            frontier(listen.host, listen.hosts, listen.origins),
            self._configuration.limits.depth,
        )
        self._gauges.fleet.hidden(Counter(endpoint.kind for endpoint, _ in self.live.table.hidden()))
        gone = before.table.endpoints.keys() - after.table.endpoints.keys()
        for era, herald in self.heralds.items():
            herald.changed(changes(before.table, after.table, era))
            herald.vanished(gone)
        for told in self.swapped:
            told(before, after)

    def catalog_changed(self, server: Server, catalog: Catalog) -> None:
        """A server was listed: describe it in the metrics."""
        transport = "stdio" if server.spec.command is not None else "http"
        self._gauges.fleet.described(
            server.slug, transport=transport, era=catalog.era.value, protocol_version=catalog.protocol_version
        )
        self._gauges.fleet.tools(server.slug, len(catalog.tools))
        self._gauges.calls.tools(server.slug, {tool.name for tool in catalog.tools})

    def server_removed(self, server: Server) -> None:
        """A server left: its series go with it."""
        self._gauges.fleet.forget(server.slug)
        self._gauges.calls.forget(server.slug)
        self._gauges.connections.forget(server.slug)

    async def _enact(self, configuration: Configuration) -> None:
        keys = await self._keys_of(configuration)
        await registry.apply(self._db, partial(plan, configuration))
        await self._load(configuration, keys)

    async def _load(self, configuration: Configuration, keys: KeyRing, *, anew: bool = True) -> None:
        """The registry's servers become the fleet; nothing changes unless all of it could be read. `anew`: since the
        configuration was loaded, and not since somebody else changed the registry.
        """
        generation = await registry.generation(self._db)
        await self._fleet.restore()
        found = served(configuration, await registry.load(self._db))
        self._configuration, self._keys, self._generation = configuration, keys, generation
        self._from.secrets.know(word for server in found.servers for word in secret_words(server.spec))
        for problem in found.problems:
            log.error("%s", problem)
        self._fleet.set(found.servers, selections(configuration), configuration.lifecycle.grace, anew=anew)
        plans = [self._plan(server) for server in found.servers]
        try:
            await self._monitor.watch(plans)
        except StorageError as error:
            log.warning("what was known of the servers' health could not be read: %s", error)
        self._scheduler.set(plans)

    async def _follow_registry(self) -> None:
        try:
            if await registry.generation(self._db) != self._generation:
                async with self._changing:
                    await self._load(self._configuration, self._keys, anew=False)
        except StorageError as error:
            log.debug("the registry could not be asked: %s", error)

    async def _keys_of(self, configuration: Configuration) -> KeyRing:
        keys = configuration.auth.keys
        ids = await users.ensure_users(self._db, sorted({LOCAL_USER, *(key.user for key in keys)}))
        if not keys:
            return KeyRing({}, Caller(user_id=ids[LOCAL_USER], user=LOCAL_USER))
        callers = {
            key.sha256: Caller(user_id=ids[key.user], user=key.user, key=key.name, admin=key.admin) for key in keys
        }
        return KeyRing(callers)

    def _plan(self, server: Server) -> Plan:
        return Plan(
            server_id=server.id,
            slug=server.slug,
            revision=server.revision,
            settings=server.spec.health or self._configuration.health,
            probe=partial(self._probed, self._fleet.upstreams[server.id]),
            maintenance=server.spec.maintenance,
            concurrency=server.spec.concurrency,
        )

    async def _probed(self, upstream: Upstream) -> Observation:
        """What a server says of itself is stored and logged; it may repeat what it was sent."""
        seen = await upstream.probe()
        if seen.detail is None:
            return seen
        return msgspec.structs.replace(seen, detail=self._from.secrets.redact_text(seen.detail))

    def _refused(self, error: Exception) -> None:
        """While the database is away, the same file is tried again and again: that is told once."""
        problems = str(error).split("\n")
        self._gauges.fleet.load_refused()
        if not (isinstance(error, StorageError) and self.problem == problems[0]):
            for problem in problems:
                log.error("the configuration stays as it was: %s", problem)
        self.problem = problems[0]


def _signature(path: Path) -> tuple[int, ...]:
    """What changes when a file is written or replaced; empty while it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino
