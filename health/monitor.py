"""The monitoring path: from an observation to what everybody reads.

    observation → state.step → compare-and-swap the row → board + metrics + history

Which question: what follows from what a probe saw? Touches the database, the board and the metrics. The rule: the
board follows every observation, whether or not the database can be reached; what could not be written is written with
the next observation that can.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from health.board import Board
from health.ledger import ATTEMPTS, Change, Ledger
from health.metrics import HealthMetrics
from health.plan import Plan
from health.probe import HealthState, Observation
from health.recent import Counts, Recent
from health.state import Transition, pause, resume, step
from storage import health as rows
from storage.database import Database
from storage.errors import StorageError
from storage.health import HealthRow, Mirror

log = logging.getLogger(__name__)

MIRROR_US = 60_000_000
"""Microseconds between two writes to `mcp_servers` while nothing changes."""
PATIENCE = 5.0
"""Seconds that an observation waits for the database."""

Listener = Callable[[int, Observation], None]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What calls, beside probes, say of a server: how many of them are in flight (by slug), and how the recorded ones
    of the last five minutes went (by id; may raise `StorageError`).
    """

    in_flight: Callable[[str], int]
    recent: Callable[[int], Awaitable[Counts]]


@dataclass(slots=True)
class _Server:
    """One watched server. The lock lets its changes come one after the other."""

    plan: Plan
    ledger: Ledger
    recent: Recent
    lock: asyncio.Lock
    mirrored_us: int | None = None


class Monitor:
    """Keeps the health of every watched server. `clock` gives microseconds since the Unix epoch."""

    def __init__(
        self,
        db: Database,
        board: Board,
        metrics: HealthMetrics,
        *,
        traffic: Traffic,
        clock: Callable[[], int],
        replica_id: str,
    ) -> None:
        self._db = db
        self._board = board
        self._metrics = metrics
        self._traffic = traffic
        self._clock = clock
        self._replica_id = replica_id
        self._servers: dict[int, _Server] = {}
        self._listeners: list[Listener] = []
        self._writable = True

    def __repr__(self) -> str:
        return f"<Monitor: {len(self._servers)} servers{'' if self._writable else ', not written'}>"

    def listen(self, listener: Listener) -> None:
        """Call `listener` after each observation of a watched server."""
        self._listeners.append(listener)

    async def watch(self, plans: Iterable[Plan]) -> None:
        """Watch these servers from now on, and no others. New ones begin with what the database remembers of them;
        maintenance begins and ends as the plans say.
        """
        wanted = {plan.server_id: plan for plan in plans}
        for server_id in self._servers.keys() - wanted.keys():
            self._forget(server_id)
        remembered = await self._remembered() if wanted.keys() - self._servers.keys() else {}
        for server_id, plan in wanted.items():  # all of them first: two may have changed names
            if (known := self._servers.get(server_id)) is not None and known.plan.slug != plan.slug:
                self._metrics.forget(known.plan.slug)
        for server_id, plan in wanted.items():
            if (server := self._servers.get(server_id)) is None:
                server = self._meet(plan, remembered.get(server_id))
            server.plan = plan
            await self._change(server, self._order(plan))

    async def observed(self, plan: Plan, observation: Observation, seconds: float) -> bool:
        """Take in one observation, made in `seconds`; whether the next one should come soon, because a recovering
        server is waited for. The observation of a server that left is dropped.
        """
        if (server := self._servers.get(plan.server_id)) is None:
            return False
        now_us = self._clock()
        self._metrics.probed(plan.slug, observation, seconds, now_us)
        server.recent.add(now_us, observation)
        await self._change(server, lambda health: step(health, observation, plan.settings, now_us))
        for listener in self._listeners:
            listener(plan.server_id, observation)
        return server.ledger.health.state is HealthState.RECOVERING

    def expected(self, server_id: int, next_us: int | None) -> None:
        """The server's next probe is due then."""
        self._board.expect(server_id, next_us)

    async def _remembered(self) -> dict[int, HealthRow]:
        try:
            return await rows.load(self._db)
        except StorageError as error:
            self._lost(error)
            return {}

    def _meet(self, plan: Plan, row: HealthRow | None) -> _Server:
        ledger = Ledger(self._db, plan.server_id, row, replica_id=self._replica_id, now_us=self._clock())
        server = self._servers[plan.server_id] = _Server(plan, ledger, Recent(), asyncio.Lock())
        return server

    def _forget(self, server_id: int) -> None:
        server = self._servers.pop(server_id)
        self._board.forget(server_id)
        self._metrics.forget(server.plan.slug)

    def _order(self, plan: Plan) -> Change:
        now_us = self._clock()
        return lambda health: (pause if plan.maintenance else resume)(health, now_us)

    async def _change(self, server: _Server, change: Change) -> None:
        async with server.lock:
            before = server.ledger.health
            move = server.ledger.take(change)
            try:
                if server.ledger.health is not before:
                    move = await self._written(server, change, move)
            finally:  # a defect of ours hides no server that is down
                if self._servers.get(server.plan.server_id) is server:
                    self._show(server)
                    self._tell(server, move)

    async def _written(self, server: _Server, change: Change, move: Transition | None) -> Transition | None:
        """Write the change if the database can be reached; the transition that stands in the end."""
        try:
            async with asyncio.timeout(PATIENCE):
                move = await self._swapped(server, change, move)
        except (StorageError, TimeoutError) as error:
            self._lost(error)
        else:
            self._found()
        return move

    async def _swapped(self, server: _Server, change: Change, move: Transition | None) -> Transition | None:
        for _ in range(ATTEMPTS):
            mirror = await self._mirror(server)
            if await server.ledger.write(mirror):
                server.mirrored_us = self._clock() if mirror else server.mirrored_us
                return move
            move = await server.ledger.rebase(change, move)
        log.warning("server %s: others wrote its health sooner, %d times", server.plan.slug, ATTEMPTS)
        return move

    async def _mirror(self, server: _Server) -> Mirror | None:
        """What `mcp_servers` shows from now on; None while it need not be touched."""
        now_us, ledger = self._clock(), server.ledger
        recently = (
            server.mirrored_us is not None and 0 <= now_us - server.mirrored_us < MIRROR_US
        )  # clocks are set back
        if recently and not ledger.moved:
            return None
        calls = await self._traffic.recent(server.plan.server_id)
        probes = server.recent.counts(now_us)
        return Mirror(
            status=ledger.health.status.value,
            response_time=calls.mean_ms if calls.timed else probes.mean_ms,
            success_rate=(calls + probes).success_rate,
            server_load=min(1.0, self._traffic.in_flight(server.plan.slug) / server.plan.concurrency),
        )

    def _show(self, server: _Server) -> None:
        self._board.put(server.plan.server_id, server.plan.slug, server.ledger.health)
        self._metrics.shown(server.plan.slug, server.ledger.health)

    def _tell(self, server: _Server, move: Transition | None) -> None:
        if move is None:
            return
        self._metrics.moved(server.plan.slug, move)
        level = logging.WARNING if move.to_state is HealthState.DOWN else logging.INFO
        why = move.reason if move.detail is None else f"{move.reason}: {move.detail}"
        log.log(level, "server %s: %s → %s (%s)", server.plan.slug, move.from_state, move.to_state, why)

    def _lost(self, error: Exception) -> None:
        if self._writable:
            log.warning("health is kept in memory until the database answers: %s", str(error) or "no answer")
        self._writable = False

    def _found(self) -> None:
        if not self._writable:
            log.warning("health is written again")
        self._writable = True
