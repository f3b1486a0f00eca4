"""What we believe of one server, and the row that says so, kept in step by compare and swap.

Which question: what is written when a belief changes, and who gives way when two write at once? Touches the database.
The rule: the belief changes first and whatever happens; the row follows when it can, with every transition that it has
missed. A row that somebody else changed is the truth: our change is applied to it anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from health.probe import HealthState
from health.state import ServerHealth, Transition
from storage import health as rows
from storage.database import Database
from storage.health import HealthRow, Mirror, TransitionRow

ATTEMPTS = 3
UNWRITTEN = 100
"""Transitions kept while the database cannot be reached; the oldest go first."""

_STATES = {state.value: state for state in HealthState}

Change = Callable[[ServerHealth], tuple[ServerHealth, Transition | None]]


class Ledger:
    """One server's health. `stored` is its row, None when there is none yet."""

    def __init__(self, db: Database, server_id: int, stored: HealthRow | None, *, replica_id: str, now_us: int) -> None:
        self._db = db
        self._server_id = server_id
        self._replica_id = replica_id
        self._stored = None if stored is None else stored.version
        self._unwritten: deque[Transition] = deque(maxlen=UNWRITTEN)
        self.health = ServerHealth(since_us=now_us) if stored is None else health_of(stored)

    @property
    def moved(self) -> bool:
        """Whether a transition waits to be written."""
        return bool(self._unwritten)

    def take(self, change: Change) -> Transition | None:
        """Believe what `change` makes of the present belief."""
        self.health, move = change(self.health)
        if move is not None:
            self._unwritten.append(move)
        return move

    async def write(self, mirror: Mirror | None) -> bool:
        """Write the belief; False if the row is not the one that we knew. Raises `StorageError`."""
        row = row_of(self._server_id, self.health)
        moves = [self._transition(move) for move in self._unwritten]
        if not await rows.save(self._db, row, moves, mirror, expected=self._stored):
            return False
        self._stored = self.health.version
        self._unwritten.clear()
        return True

    async def rebase(self, change: Change, move: Transition | None) -> Transition | None:
        """Believe what `change` makes of the row as it is now; the transition that comes of it, `move` where there is
        no row. Raises `StorageError`.
        """
        row = await rows.load_one(self._db, self._server_id)
        self._stored = None if row is None else row.version
        if row is not None:
            self.health = health_of(row)
            self._unwritten.clear()  # the history up to this row is its writer's
            return self.take(change)
        return move

    def _transition(self, move: Transition) -> TransitionRow:
        return TransitionRow(
            server_id=self._server_id,
            version=move.version,
            at_us=move.at_us,
            from_state=move.from_state.value,
            to_state=move.to_state.value,
            reason=move.reason,
            detail=move.detail,
            replica_id=self._replica_id,
        )


def health_of(row: HealthRow) -> ServerHealth:
    """A row as a belief; a state that this version does not know is `unknown`."""
    return ServerHealth(
        state=_STATES.get(row.state, HealthState.UNKNOWN),
        since_us=row.since_us,
        reason=row.reason,
        rise=row.rise,
        fall=row.fall,
        version=row.version,
        observed_us=row.observed_us,
        latency_us=row.latency_us,
        era=row.server_era,
        catalog_sha256=row.catalog_sha256,
    )


def row_of(server_id: int, health: ServerHealth) -> HealthRow:
    """A belief as a row."""
    return HealthRow(
        server_id=server_id,
        version=health.version,
        state=health.state.value,
        reason=health.reason,
        since_us=health.since_us,
        rise=health.rise,
        fall=health.fall,
        observed_us=health.observed_us,
        latency_us=health.latency_us,
        server_era=health.era,
        catalog_sha256=health.catalog_sha256,
    )
