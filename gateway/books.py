"""The wiring of records: the journal, its writer, and who looks after what gateways leave behind.

Which question: which objects keep the books of this gateway, and how do they end? Builds, and nothing else. The rule:
what was accepted is written, or journalled, before any of them ends.
"""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from gateway import __version__
from storage.database import Database
from storage.errors import StorageError
from storage.journal.diary import Diary, Volatile
from storage.journal.folder import known
from storage.journal.journal import Journal
from storage.journal.replica import replica_id
from storage.keeping import Keeping
from storage.metrics import StorageMetrics
from storage.reaper import Reaper
from storage.recovery import Recovery
from storage.replicas import Presence
from storage.settings import RecordingSettings
from storage.tasks import Tasks
from storage.writer import Writer

LEAVE_SECONDS = 5.0
"""How long the database may take to hear that this gateway has gone."""


class Books:
    """Those of one gateway, whose journals are in `folder`. Raises `JournalUnusable` when they cannot be there."""

    def __init__(
        self, db: Database, settings: RecordingSettings, folder: Path, keeping: Keeping, metrics: StorageMetrics
    ) -> None:
        lasting = settings.journal.enabled
        self.replica_id = replica_id(folder) if lasting else uuid.uuid4().hex
        diary: Diary = Journal.create(folder, settings.journal) if lasting else Volatile()
        self.writer = Writer(db, settings, diary=diary, replica_id=self.replica_id, keeping=keeping, metrics=metrics)
        self._db = db
        self._recovery = (
            Recovery(db, folder, self.replica_id, settings, keeping=keeping, metrics=metrics) if lasting else None
        )
        self._reaper = Reaper(
            db, self.replica_id, lambda: {diary.id} | known(folder), after=settings.orphan_after, metrics=metrics
        )
        self._presence: Presence | None = None

    def open(self, tasks: Tasks, in_flight: Callable[[], Mapping[str, int]]) -> None:
        """Begin to write, to look for what was left behind, and to say that this gateway is alive."""
        self._presence = Presence(self._db, self.replica_id, socket.gethostname(), __version__, in_flight)
        tasks.spawn(self._presence.run(), "presence")
        tasks.spawn(self.writer.run(), "writer")
        tasks.spawn(self.writer.sync(), "journal")
        tasks.spawn(self._reaper.run(), "reaper")
        if self._recovery is not None:
            tasks.spawn(self._recovery.run(), "recovery")

    async def close(self, grace: float) -> None:
        """Write what is left for at most `grace` seconds, and say goodbye."""
        await self.writer.close(grace)
        if self._presence is not None:
            with suppress(StorageError, TimeoutError):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await self._presence.leave()
