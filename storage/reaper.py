"""The one gateway that closes what others have left open.

Which question: has this installation been silent long enough? Touches the event loop, and the clock that it is given.
The rule: nobody is declared dead by a clock alone: the reaper has watched a minute pass without a sign of life.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from time import monotonic

from storage import replicas
from storage.database import Database
from storage.errors import StorageError
from storage.leases import Lease
from storage.metrics import StorageMetrics
from storage.orphans import Surroundings, Unfinished, close_run, is_dead, unfinished

log = logging.getLogger(__name__)

NAME = "reaper"
EVERY = 60.0
HELD = 150.0
"""Seconds between two rounds, and for which a round has the lease."""

WATCHED = 60.0
"""Seconds for which an installation must be seen to be silent."""


class Reaper:
    """Closes calls that nobody will finish. `local` gives the journals on this machine."""

    def __init__(
        self,
        db: Database,
        replica_id: str,
        local: Callable[[], Collection[int]],
        *,
        after: float,
        metrics: StorageMetrics,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._db = db
        self._replica_id = replica_id
        self._local = local
        self._after = timedelta(seconds=after)
        self._metrics = metrics
        self._clock = clock
        self._lease = Lease(db, NAME, replica_id)
        self._seen: dict[str, tuple[datetime, float]] = {}

    async def run(self) -> None:
        """A round at once, and one each minute; for ever."""
        while True:
            try:
                await self.round()
            except (StorageError, OSError) as error:
                log.debug("calls that were left open wait: %s", error)
            await asyncio.sleep(EVERY)

    async def round(self) -> int:
        """Close what can be closed, if it is our turn; how many calls that were. Raises `DatabaseUnavailable`."""
        if not await self._lease.claim(HELD):
            return 0
        runs, now = await unfinished(self._db)
        around = Surroundings(self._replica_id, self._local(), now, self._after)
        closed = 0
        for run in runs:
            if is_dead(run, around, self._is_still(run)):
                closed += await close_run(self._db, run.journal_id)
        if closed:
            log.warning("%d calls of gateways that have ended are closed as unknown", closed)
            self._metrics.orphans.inc(closed)
        await replicas.forget(self._db)
        return closed

    def _is_still(self, run: Unfinished) -> bool:
        if run.replica_id is None or run.seen_at is None:
            return False
        seen_at, since = self._seen.get(run.replica_id, (None, 0.0))
        if seen_at != run.seen_at:
            self._seen[run.replica_id] = (run.seen_at, self._clock())
            return False
        return self._clock() - since >= WATCHED
