"""The wiring: what is built, in which order, and how it all ends.

Which question: which object holds which? The only place, with the command line, that builds objects. The rule: what
was started last is stopped first, and every stop has a bound.

On the way out: no new requests, calls in flight end, streams end, probes end, servers' sessions and children end,
records are written, the database closes.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry

from gateway import __version__
from gateway.access import ANY, Frontier, frontier, is_loopback
from gateway.asides import Asides
from gateway.books import Books
from gateway.calls import Calls
from gateway.capturing import Capturing, InForce
from gateway.catalog_memory import CatalogMemory
from gateway.clock import Clock
from gateway.config import Configuration
from gateway.contexts import Contexts
from gateway.control import Control, Gauges, Surroundings
from gateway.dispatch import Dispatch
from gateway.errors import GatewayError, Kind
from gateway.evidence import Evidence, recent_calls
from gateway.fleet import Fleet
from gateway.http.calls import CallsDoor
from gateway.http.chat import ChatDoor
from gateway.http.door import Doors
from gateway.http.operations import Operations
from gateway.http.readiness import (
    DatabaseCheck,
    Readiness,
    configuration_check,
    draining_check,
    names_check,
    records_check,
)
from gateway.keyfile import load_or_make
from gateway.listens import Listens
from gateway.metrics import CallMetrics, ConnectionMetrics, Exposition, FleetMetrics, LoopLag, ReadinessMetrics
from gateway.overlays import Overlays
from gateway.pipeline import Pipeline
from gateway.protocol.mirrors import Mirror
from gateway.protocol.versions import Era
from gateway.redact import Unredacted
from gateway.retention import terms_of
from gateway.router import Router
from gateway.routing import Server
from gateway.sealing import KEY_BYTES, Sealer
from gateway.sessions import Sessions
from gateway.states import States
from gateway.subscriptions import Subscriptions
from gateway.task_ids import TaskIds
from gateway.upstream.http import client_session
from gateway.upstream.server import Upstream
from gateway.upstream.values import Audience, Forward, Terms
from gateway.views import Views
from gateway.voices import Voices
from health.board import Board
from health.metrics import HealthMetrics
from health.monitor import Monitor, Traffic
from health.scheduler import Scheduler
from storage import client_sessions, migrate
from storage.database import Database
from storage.janitor import Janitor
from storage.keeping import Keeping
from storage.metrics import RetentionMetrics, StorageMetrics
from storage.tasks import Tasks
from storage.writer import Writer

log = logging.getLogger(__name__)

SWEEP_SECONDS = 5.0
STOP_SECONDS = 10.0
"""How long the writer may take to write what is left at the end."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway, as its command and its tests see it. `urls` are where it listens, `/mcp` first."""

    urls: tuple[str, ...]
    control: Control
    board: Board
    database: Database
    writer: Writer


@asynccontextmanager
async def running(
    configuration: Configuration, surroundings: Surroundings, sealing_keys: Path, records: Path
) -> AsyncIterator[Gateway]:
    """A gateway that serves `configuration` until the context ends, and then drains. `records` is the folder of its
    journals.

    Raises `ConfigErrors`, `StorageError`, `GatewayError` and `OSError` before it serves.
    """
    async with AsyncExitStack() as stack:
        db = Database(configuration.database)
        stack.push_async_callback(db.close)
        await _prepare(db)
        gateway = _Builder(configuration, surroundings, db, stack)
        yield await gateway.build(sealing_keys, records)


class _Builder:
    """Builds one gateway on a stack of endings."""

    def __init__(
        self, configuration: Configuration, surroundings: Surroundings, db: Database, stack: AsyncExitStack
    ) -> None:
        self._configuration = configuration
        self._surroundings = surroundings
        self._db = db
        self._stack = stack
        self._clock = Clock()
        self._registry = CollectorRegistry()
        self._gauges = Gauges(
            CallMetrics(self._registry), ConnectionMetrics(self._registry), FleetMetrics(self._registry, __version__)
        )
        self._tasks = Tasks("gateway")
        self._live: Control | None = None

    async def build(self, sealing_keys: Path, records: Path) -> Gateway:
        configuration, clock = self._configuration, self._clock
        self._stack.push_async_callback(self._tasks.close)
        books = self._books(records)
        writer = books.writer
        board, scheduler, control = self._control(books.replica_id)
        keys = load_or_make(sealing_keys, clock.entropy(KEY_BYTES))
        exchanges, task_ids = Tasks("exchanges"), TaskIds(Sealer(keys, "task"))
        sessions, subscriptions = self._sessions(keys, exchanges), Subscriptions()
        control.heralds = {Era.LEGACY: sessions, Era.MODERN: subscriptions}
        views = Views()
        overlays = Overlays(control, sessions, views, self._tasks, clock)
        fleet = await self._fleet(control, Voices(control, sessions, subscriptions, task_ids, overlays))
        # Legacy exchanges, which may outlive their requests, end before the servers that they talk to.
        self._stack.push_async_callback(exchanges.close)
        scheduler.start()
        self._stack.push_async_callback(scheduler.close)
        await control.start(fleet, configuration)
        self._live = control

        evidence = Evidence(board, scheduler, self._gauges.calls, clock, fleet.refresh)
        states = States(Sealer(keys, "state"), clock.now, clock.entropy)
        calls = Calls(writer, evidence, evidence, clock, states)
        calls.changed_in = overlays.heard
        sessions.restore(await client_sessions.ended(self._db))
        contexts = Contexts(control, self._tasks, clock)
        self._gauges.fleet.own_lists("context", lambda: len(contexts))
        self._gauges.fleet.own_lists("session", lambda: sessions.own_lists)
        router = Router(control, sessions, contexts, views, task_ids)
        asides = Asides(control, sessions, router, self._tasks, task_ids)
        listens = Listens(control, router, subscriptions, self._tasks)
        control.swapped = (asides.swapped, listens.swapped, overlays.swapped)
        dispatch = Dispatch(router, sessions, listens, calls, task_ids)
        pipeline = Pipeline(control, sessions, router, dispatch, asides, self._gauges.calls)
        runner = await self._serve(pipeline, control, board, writer)
        self._stack.push_async_callback(_drain, pipeline, sessions, subscriptions, calls, runner, control)
        self._background(control, sessions, fleet, books.replica_id)
        return Gateway(_urls(runner), control, board, self._db, writer)

    def _in_force(self) -> InForce:
        if self._live is None:
            return self._configuration.recording, {}
        return self._live.configuration.recording, self._live.live.table.servers

    def _books(self, records: Path) -> Books:
        settings, metrics = self._configuration.recording, StorageMetrics(self._registry)
        metrics.watch_pool(self._db)
        redaction = self._surroundings.secrets if settings.redact else Unredacted()
        books = Books(self._db, settings, records, Keeping(settings, redaction, Capturing(self._in_force)), metrics)
        books.open(self._tasks, self._gauges.calls.in_flight_by_server)
        self._stack.push_async_callback(books.close, STOP_SECONDS)
        return books

    def _control(self, replica_id: str) -> tuple[Board, Scheduler, Control]:
        board = Board()
        monitor = Monitor(
            self._db,
            board,
            HealthMetrics(self._registry),
            traffic=Traffic(self._gauges.calls.in_flight, partial(recent_calls, self._db)),
            clock=self._clock.wall_us,
            replica_id=replica_id,
        )
        scheduler = Scheduler(monitor)
        control = Control(self._db, monitor, scheduler, self._surroundings, self._gauges, self._clock.now)
        monitor.listen(control.observed)
        return board, scheduler, control

    async def _fleet(self, control: Control, voices: Voices) -> Fleet:
        http = client_session()
        self._stack.push_async_callback(http.close)

        def build(server: Server, known: Era | None, audience: Audience) -> Upstream:
            terms = Terms.of(server.slug, server.spec, control.configuration)
            events = self._gauges.connections.server(server.slug)

            async def relist(call: Forward) -> tuple[Mirror, ...]:
                return await fleet.relist(server.id, call.target)

            return Upstream(terms, http, known_era=known, events=events, audience=audience, relist=relist)

        fleet = Fleet(build, CatalogMemory(self._db), self._tasks, control, self._clock, voices.of)
        self._stack.push_async_callback(fleet.close, 0.0)
        return fleet

    def _sessions(self, keys: tuple[bytes, ...], exchanges: Tasks) -> Sessions:
        metrics = self._gauges.connections
        sessions = Sessions(
            Sealer(keys, "session"),
            exchanges,
            now=self._clock.now,
            entropy=self._clock.entropy,
            on_dropped=lambda frames: metrics.frames_dropped("no_reader", frames),
            on_opened=metrics.client_session_opened,
            most=self._configuration.limits.sessions,
        )
        metrics.client_sessions(lambda: len(sessions))
        return sessions

    async def _serve(self, pipeline: Pipeline, control: Control, board: Board, writer: Writer) -> web.AppRunner:
        configuration = self._configuration
        doors = Doors(
            pipeline,
            self._tasks,
            self._gauges.calls,
            self._gauges.connections,
            limits=configuration.limits,
            frontier=lambda: control.live.frontier,
        )
        readiness = _readiness(self._db, pipeline, control, writer, ReadinessMetrics(self._registry))
        operations = Operations(readiness, board.census, Exposition(self._registry))
        main = web.Application(client_max_size=0)
        chat, open_routes = self._chat(pipeline, control), operations.routes(lambda: control.live.frontier)
        main.add_routes([*doors.routes(), *chat.routes(), *self._records(pipeline, control).routes(), *open_routes])
        if configuration.metrics.listen is None and is_loopback(configuration.listen.host):
            main.add_routes(operations.metrics_routes(lambda: control.live.frontier))
        runner = await self._runner(main, configuration.listen.host, configuration.listen.port)
        if configuration.metrics.listen is not None:
            host, _, port = configuration.metrics.listen.rpartition(":")
            apart = web.Application()
            apart.add_routes(operations.metrics_routes(partial(_metrics_frontier, host.strip("[]"))))
            await self._runner(apart, host.strip("[]"), int(port))
        return runner

    def _chat(self, pipeline: Pipeline, control: Control) -> ChatDoor:
        return ChatDoor(
            pipeline,
            self._tasks,
            self._gauges.calls,
            self._gauges.connections,
            limits=self._configuration.limits,
            frontier=lambda: control.live.frontier,
        )

    def _records(self, pipeline: Pipeline, control: Control) -> CallsDoor:
        return CallsDoor(
            self._db,
            pipeline,
            self._tasks,
            self._gauges.calls,
            self._gauges.connections,
            stalled=self._configuration.limits.stalled_reader,
            exposed=not is_loopback(self._configuration.listen.host),
            frontier=lambda: control.live.frontier,
        )

    async def _runner(self, app: web.Application, host: str, port: int) -> web.AppRunner:
        runner = web.AppRunner(
            app,
            access_log=None,
            handler_cancellation=True,
            auto_decompress=False,
            keepalive_timeout=self._configuration.limits.idle_connection,
            max_line_size=self._configuration.limits.header_bytes,
            max_field_size=self._configuration.limits.header_bytes,
            shutdown_timeout=STOP_SECONDS,
        )
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        try:
            await web.TCPSite(runner, host, port, reuse_address=True).start()
        except OSError as error:
            raise _cannot_listen(host, port, error) from error
        return runner

    def _background(self, control: Control, sessions: Sessions, fleet: Fleet, replica_id: str) -> None:
        """What goes on by itself ends first, so that nothing is started any more while the rest ends."""
        lifecycle, tasks = self._configuration.lifecycle, Tasks("background")
        self._stack.push_async_callback(tasks.close)
        tasks.spawn(control.watch(lifecycle.reload_interval), "watching the configuration")
        tasks.spawn(_sweep(sessions, fleet, lifecycle.session_idle), "sweeping")
        tasks.spawn(LoopLag(self._registry).run(), "loop lag")
        metrics = RetentionMetrics(self._registry)
        janitor = Janitor(self._db, replica_id, lambda: terms_of(control.configuration), metrics)
        tasks.spawn(janitor.run(), "retention")


async def _prepare(db: Database) -> None:
    """The embedded database is ours to migrate; a server's schema is changed by its own command alone."""
    if db.dialect == "sqlite":
        await migrate.upgrade(db)
    else:
        await migrate.require_current(db)


async def _sweep(sessions: Sessions, fleet: Fleet, idle: float) -> None:
    """Free what nobody used for its idle time; for ever."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        for sid in sessions.sweep(idle):
            fleet.end_session(sid)
        await fleet.sweep(time.monotonic())


async def _drain(
    pipeline: Pipeline,
    sessions: Sessions,
    subscriptions: Subscriptions,
    calls: Calls,
    runner: web.AppRunner,
    control: Control,
) -> None:
    """Take no more requests, and let those under way end."""
    pipeline.drain()
    for site in tuple(runner.sites):
        await site.stop()
    sessions.end_streams()
    subscriptions.end()
    if calls:
        log.info("waiting for %d calls in flight", len(calls))
    await calls.drain(control.configuration.lifecycle.grace)
    sessions.end_streams()  # those that were opened again meanwhile


def _readiness(
    db: Database, pipeline: Pipeline, control: Control, writer: Writer, metrics: ReadinessMetrics
) -> Readiness:
    return Readiness(
        {
            "database": DatabaseCheck(lambda: migrate.require_current(db)),
            "configuration": configuration_check(lambda: control.problem),
            "names": names_check(lambda: control.live.table),
            "records": records_check(writer),
            "draining": draining_check(lambda: pipeline.draining),
        },
        metrics,
    )


def _metrics_frontier(host: str) -> Frontier:
    """`metrics.listen` is open to whoever reaches it; on loopback that does not include pages in a browser."""
    return frontier(host, () if is_loopback(host) else (ANY,), ())


def _cannot_listen(host: str, port: int, error: OSError) -> GatewayError:
    why = {
        errno.EADDRINUSE: "another program has this port, perhaps another gateway; stop it, or choose another port",
        errno.EADDRNOTAVAIL: "this machine has no such address; choose another host",
        errno.EACCES: "this port is not for ordinary users; choose one above 1023",
    }.get(error.errno or 0, error.strerror or str(error))
    where = f"{_authority(host, port)} (listen, or metrics.listen)"
    return GatewayError(Kind.INTERNAL, f"cannot listen on {where}: {why}", reason="listen")


def _urls(runner: web.AppRunner) -> tuple[str, ...]:
    return tuple(f"http://{_authority(*address[:2])}/mcp" for address in runner.addresses)


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
