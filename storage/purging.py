"""Retention at work, round by round.

Which question: is it time to delete, and is it our turn? Touches the event loop. The rule: one gateway deletes, however
many there are, and a round that fails is a round later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import time

from storage.database import Database
from storage.errors import StorageError
from storage.leases import Lease
from storage.metrics import StorageMetrics
from storage.retention import Purged, Retention, Rules

log = logging.getLogger(__name__)

NAME = "retention"
HELD = 3_600.0
"""Seconds for which a round has the lease; it is given back when the round is over."""


class Purging:
    """Deletes what `rules` no longer keep, every `interval` seconds."""

    def __init__(
        self,
        db: Database,
        owner: str,
        rules: Callable[[], Rules],
        interval: Callable[[], float],
        metrics: StorageMetrics,
    ) -> None:
        self._db = db
        self._lease = Lease(db, NAME, owner)
        self._rules = rules
        self._interval = interval
        self._metrics = metrics

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(self._interval())
            try:
                await self.round()
            except StorageError as error:
                log.warning("old records stay for now: %s", error)

    async def round(self) -> Purged:
        """Delete what is too old, if anything ever is and it is our turn. Raises `DatabaseUnavailable`."""
        rules = self._rules()
        if rules.idle or not await self._lease.claim(HELD):
            return Purged()
        try:
            done = await Retention(self._db, rules).purge()
        finally:
            await self._lease.release()
        if done != Purged():
            log.info("deleted %s", done)
        self._metrics.purged_now(done.calls, done.payloads, time())
        return done
