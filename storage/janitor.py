"""The one gateway that removes what is due, for all.

Which question: is it our turn, and since when was it done? Touches the event loop, and what `storage.purge` touches.
The rule: whoever removes has the lease, and stops as soon as he cannot say that he has it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from storage import partitions
from storage.database import Database
from storage.errors import DatabaseContended, StorageError, UpgradeFailed
from storage.leases import Lease
from storage.metrics import RetentionMetrics
from storage.moments import database_now
from storage.purge import Purge, Removed
from storage.retention import Terms
from storage.schema import server_calls

log = logging.getLogger(__name__)

NAME = "retention"
FIRST, EVERY = 30.0, 600.0
"""Seconds from the start to the first round, and between two of them."""

HELD, RENEWED = 120.0, 30.0
"""Seconds for which the lease is taken, and after which it is taken again."""


class Janitor:
    """Removes what `terms`, as they are at that moment, say; `owner` is 32 hexadecimal digits."""

    def __init__(
        self,
        db: Database,
        owner: str,
        terms: Callable[[], Terms],
        metrics: RetentionMetrics,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._db = db
        self._terms = terms
        self._metrics = metrics
        self._clock = clock
        self._lease = Lease(db, NAME, owner)
        self._taken = 0.0

    async def run(self) -> None:
        """A round soon, and one every ten minutes; for ever."""
        await asyncio.sleep(FIRST)
        while True:
            try:
                await self.round()
            except StorageError as error:
                log.debug("what is due is removed later: %s", error)
            except SQLAlchemyError as error:
                why = getattr(error, "orig", None) or error
                log.error("what is due cannot be removed: %s", why)
            await asyncio.sleep(EVERY)

    async def round(self) -> Removed | None:
        """Remove what is due; None if another is at it. Raises `StorageError`, and `SQLAlchemyError` if something
        refers to what should go.
        """
        await self._look()
        if not await self._claim():
            return None
        terms = self._terms()
        purge = Purge(self._db, terms, self._proceed)
        try:
            purge.removed.calls += await self._days(terms)
            if not terms.keeps_all:
                await purge.run()
        finally:
            self._tell(purge.removed)
        await self._lease.release()
        self._metrics.last_run.set(datetime.now(UTC).timestamp())
        await self._look()
        return purge.removed

    async def _days(self, terms: Terms) -> int:
        """Tables that are cut into days get those ahead, and lose those that are due; how many calls went. What cannot
        be done so is done row by row.
        """
        rows, ages = 0, (terms.longest.payloads, terms.longest.calls)
        try:
            for table, age in zip(partitions.TABLES, ages, strict=True):
                await partitions.ahead(self._db, table)
                if age is not None and await self._proceed():
                    before = await self._now() - age
                    rows += await partitions.drop(self._db, table, before, terms.others)
        except (UpgradeFailed, DatabaseContended) as error:
            log.warning("the days of a table stay as they are (`mcp-gateway db partition` tries again): %s", error)
        return rows

    async def _now(self) -> datetime:
        async with self._db.reading() as connection:
            return await database_now(connection, self._db.dialect)

    async def _claim(self) -> bool:
        self._taken = self._clock()
        return await self._lease.claim(HELD)

    async def _proceed(self) -> bool:
        return self._clock() - self._taken < RENEWED or await self._claim()

    async def _look(self) -> None:
        async with self._db.reading() as connection:
            oldest = await connection.scalar(select(func.min(server_calls.c.created_at)))
        self._metrics.oldest.set(oldest.timestamp() if oldest is not None else 0)

    def _tell(self, removed: Removed) -> None:
        for kind, counter in self._metrics.removed.items():
            counter.inc(getattr(removed, kind))
        if removed:
            log.info(
                "removed by age or size: %d calls, payloads of %d more, %d transitions, %d automatic sessions",
                *(removed.calls, removed.payloads, removed.transitions, removed.sessions),
            )
