"""What earlier runs have journalled and not written, brought into the database.

Which question: what became of the calls of a gateway that ended in the middle? Touches the journals of this
installation and the database. The rule: what was written down is written as it happened; a call without an end is
closed as `unknown`; a journal goes some time after all of it is in the database, and is written again if the database
loses it meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import TypeVar

from storage.attempts import delays
from storage.committing import Committing
from storage.database import Database
from storage.errors import DatabaseBehind, DatabaseUnavailable, JournalFailed
from storage.journal.folder import Abandoned, abandoned
from storage.journals import JournalRow, progress
from storage.keeping import Keeping
from storage.ledger import Ledger
from storage.metrics import StorageMetrics
from storage.orphans import close_run
from storage.preparation import Preparation
from storage.replay import Replay
from storage.settings import RecordingSettings

log = logging.getLogger(__name__)
T = TypeVar("T")

LOOKED_FOR = 30.0
"""Seconds between two looks for journals that somebody has left."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """`calls` were written, of which `unknown` had no end; `applied` is where the
    database stands.
    """

    applied: int
    calls: int
    unknown: int


class Recovery:
    """Adopts the journals in `directory` that nobody has any more, one after the other."""

    def __init__(
        self,
        db: Database,
        directory: Path,
        replica_id: str,
        settings: RecordingSettings,
        *,
        keeping: Keeping,
        metrics: StorageMetrics,
        clock: Callable[[], float] = time,
    ) -> None:
        self._db = db
        self._directory = directory
        self._replica_id = replica_id
        self._settings = settings
        self._keeping = keeping
        self._metrics = metrics
        self._clock = clock

    async def run(self) -> None:
        """At once, and again and again: another gateway of this installation may end any time."""
        while True:
            await self.adopt()
            await asyncio.sleep(LOOKED_FOR)

    async def adopt(self) -> None:
        """Bring all that is left into the database; waits for the database as long as it takes."""
        try:
            for journal in abandoned(self._directory):
                await self._taken(journal)
        except OSError as error:
            log.error("the journals that were left behind cannot be read: %s", error)

    async def _taken(self, journal: Abandoned) -> None:
        """Bring it into the database; one that cannot be read waits for the next look, and keeps no other back."""
        try:
            await self._adopted(journal)
        except (OSError, JournalFailed) as error:
            log.error("a journal that was left behind cannot be read: %s", error)
        finally:
            journal.release()

    async def _adopted(self, journal: Abandoned) -> None:
        if journal.applied is not None and not await self._is_lost(journal, journal.applied):
            if journal.kept_for(self._clock()) >= self._settings.journal.keep_committed:
                journal.remove()
            return
        recovered = await self._recovered(journal)
        self._metrics.adopted.inc()
        self._metrics.quarantined.inc(journal.damaged)
        if self._settings.journal.keep_committed > 0:
            journal.keep(recovered.applied)
        else:
            journal.remove()
        words = "the journal %016x, which was left behind, is in the database: %d calls, of which %d have no known end"
        if recovered.calls or recovered.unknown:
            log.info(words, journal.id, recovered.calls, recovered.unknown)

    async def _is_lost(self, journal: Abandoned, last: int) -> bool:
        """Whether what was written up to the frame `last` is in the database no more."""
        applied, _ = await self._answered(lambda: progress(self._db, journal.id))
        if applied < last:
            log.warning("%s; the journal %016x brings them back", DatabaseBehind(applied, 0, last), journal.id)
        return applied < last

    async def _recovered(self, journal: Abandoned) -> Recovered:
        low, last_seq = await self._answered(lambda: progress(self._db, journal.id))
        row = JournalRow(journal.id, self._replica_id, datetime.now(UTC))
        ledger = Ledger(self._db, row, Preparation(self._settings), self._keeping.words)
        committing = Committing(ledger, self._metrics, lambda: 0.0)
        replayed = await Replay(journal, self._settings, committing, self._metrics).run(low, last_seq)
        unknown = await self._answered(lambda: close_run(self._db, journal.id))
        return Recovered(replayed.applied, replayed.ended, unknown)

    async def _answered(self, question: Callable[[], Awaitable[T]]) -> T:
        """What the database says, once it does."""
        for delay in delays():
            try:
                return await question()
            except DatabaseUnavailable as error:
                log.debug("a journal that was left behind waits: %s", error)
                await asyncio.sleep(delay)
        raise AssertionError("delays do not end")
