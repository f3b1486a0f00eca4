"""The writer: calls are written down at once, and together in the database a little later.

Which question: when is what was accepted written, and what if that cannot be? Touches the event loop and the journal;
the database only through `Committing`. The rule: a call whose opening was accepted is recorded, whatever becomes of the
database; one batch is in flight at a time, its frames in the order in which they were accepted.

Without a journal that lasts there is only the memory: new calls are refused when it is full, and of those under way the
answers' payloads, never the records, are left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from storage.backlog import Backlog, size_of
from storage.batch import Batch, Entry
from storage.committing import PATIENCE, Committing
from storage.database import Database
from storage.errors import DatabaseBehind, DatabaseUnavailable, JournalFailed, JournalFull, RecordsFull, RecordsLost
from storage.journal.bodies import Ended, Opened
from storage.journal.diary import Diary
from storage.journals import JournalRow
from storage.keeping import BIG_BYTES, Keeping
from storage.ledger import Ledger
from storage.metrics import StorageMetrics
from storage.payloads import Kept, Omission, left_out
from storage.playback import ENTRY_BYTES
from storage.preparation import Preparation
from storage.records import CallUid, Finished, Started
from storage.refusals import REFUSALS
from storage.replay import Replay
from storage.settings import RecordingSettings
from storage.tasks import Tasks

log = logging.getLogger(__name__)

UNREADABLE = 1.0
"""Seconds until a journal that could not be read is tried again."""

STRETCH = 5
"""Batches that are one for the embedded database when it is behind: there a transaction costs by its statements, each
of which waits for a thread, and nobody else waits for its end."""

DIRECTLY = 2.0
"""Seconds for the row of a call whose end the journal did not take."""


class Writer:
    """A `records.Recorder` over a journal and a database; nothing gets into the database unless `run` runs."""

    def __init__(
        self,
        db: Database,
        settings: RecordingSettings,
        *,
        diary: Diary,
        replica_id: str,
        keeping: Keeping,
        metrics: StorageMetrics,
        patience: float = PATIENCE,
    ) -> None:
        self.journal_id = diary.id
        self._diary = diary
        self._settings = settings
        self._keeping = keeping
        self._metrics = metrics
        row = JournalRow(diary.id, replica_id, datetime.now(UTC))
        self._ledger = Ledger(db, row, Preparation(settings), keeping.words)
        self._wake, self._settled = asyncio.Event(), asyncio.Event()
        stretch = STRETCH if db.dialect == "sqlite" else 1
        self._backlog = Backlog(diary, settings, metrics, self._wake.set, stretch=stretch)
        self._committing = Committing(self._ledger, metrics, lambda: self._backlog.lag, patience)
        self._replay = Replay(diary, settings, self._committing, metrics)
        self._under_way: dict[CallUid, tuple[Started, Kept, int]] = {}
        self._tasks = Tasks("records")
        self._seq = self._hurries = 0
        self._closing = self._closed = self._refused = False
        self._task: asyncio.Task[object] | None = None
        metrics.watch_journal(diary)

    @property
    def trouble(self) -> str | None:
        """Why records cannot be written at the moment, fit to be shown; None while all is well."""
        return self._diary.trouble or self._committing.trouble

    @property
    def pending(self) -> int:
        """Calls of which something is not in the database yet."""
        return self._backlog.pending

    @property
    def backlog(self) -> Backlog:
        """What waits to be written."""
        return self._backlog

    @property
    def is_full(self) -> bool:
        """Whether any new call would be refused, or one was and nothing has been written since."""
        if self._closed or self._refused or self._diary.trouble is not None:
            return True
        return not (self._diary.lasting or self._backlog.fits())

    async def started(self, record: Started) -> None:
        """Accept an opening. Raises `RecordsFull` when there is no room, or the writer was closed."""
        record, request = await self._keeping.opening(record)
        if self._closed:
            raise RecordsFull("the gateway is stopping and records no more calls")
        if not (self._diary.lasting or self._backlog.fits(ENTRY_BYTES + size_of(request))):
            self._refused = (waiting := self._backlog.pending) > 0
            raise RecordsFull(f"{waiting} records wait for the database and fill recording.pending_bytes")
        opened = Opened(seq=self._seq + 1, started=record, request=request)
        number = self._journalled(opened)
        self._seq += 1
        self._under_way[record.call_uid] = (record, request, opened.seq)
        self._backlog.began(number, opened)

    async def finished(self, record: Finished) -> None:
        """Accept the end of a call, even if whoever brings it is cancelled meanwhile. Raises `RecordsLost` when it
        could not be written anywhere and the admin wants the client to know.
        """
        if record.response is not None and len(record.response) >= BIG_BYTES:
            await self._regardless(self._ending(record))
        else:
            await self._ending(record)

    async def run(self) -> None:
        """Write what is accepted, batch by batch, until `close`. Only the first run does."""
        if self._task is not None:
            return
        self._task = asyncio.current_task()
        try:
            while await self._is_due():
                batch = self._backlog.take()
                await self._written(batch)
                self._backlog.settle(batch)
                self._refused = False
                self._settled.set()
            with contextlib.suppress(DatabaseUnavailable, JournalFailed):
                self._diary.seal()
                await self._ledger.close()
        finally:
            self._closed = True
            self._settled.set()

    async def sync(self) -> None:
        """Bring what is journalled to the disk itself every `fsync_interval`, for ever; in the mode `batch` alone."""
        synced = 0
        while self._settings.journal.fsync == "batch":
            await asyncio.sleep(self._settings.journal.fsync_interval)
            if (last := self._diary.last) > synced:
                try:
                    await asyncio.to_thread(self._diary.sync)
                    synced = last
                except OSError as error:
                    log.error("the journal cannot be brought to its disk: %s", error)
                    await asyncio.sleep(1.0)

    async def flush(self) -> None:
        """Wait until everything accepted so far is committed, or the writer has ended."""
        target = self._backlog.newest
        self._hurries += 1
        self._wake.set()
        try:
            while self._backlog.applied < target and not self._closed:
                self._settled.clear()
                await self._settled.wait()
        finally:
            self._hurries -= 1

    async def close(self, grace: float = 5.0) -> int:
        """Write what is left for at most `grace` seconds, then end; returns how many records are lost. What is
        journalled is not: the next run brings it into the database.
        """
        await self._tasks.close(grace)
        self._closing = True
        self._wake.set()
        if self._task is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self.run()
        elif not self._closed:
            await asyncio.wait([self._task], timeout=grace)
            self._task.cancel()
            await asyncio.wait([self._task])
        left = self._backlog.pending
        self._diary.close()
        why = self._committing.trouble or "there was no time to write them"
        if left and self._diary.lasting:
            log.warning("%d records wait in the journal for the next start: %s", left, why)
            return 0
        if left:
            self._metrics.lost.inc(left)
            log.error("%d records are lost: %s", left, why)
        return left

    def _journalled(self, opened: Opened) -> int:
        try:
            return self._diary.started(opened)
        except JournalFull:
            self._refused = True
            raise
        except JournalFailed as error:
            self._refused = True
            raise RecordsFull(str(error)) from error

    async def _ending(self, record: Finished) -> None:
        began = self._under_way.get(record.call_uid)
        if began is None or self._closed:
            log.error("the end of call %s is not recorded: %s", record.call_uid, "closed" if began else "never opened")
            self._metrics.lost.inc(began is not None and not self._diary.lasting)
            return
        await self._ended(*await self._keeping.ending(record, began[0]), began)

    async def _regardless(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for `work`, which goes on when the waiting is cut short."""
        await asyncio.shield(self._tasks.spawn(work, "end of a call"))

    async def _ended(self, record: Finished, response: Kept | None, began: tuple[Started, Kept, int]) -> None:
        if self._under_way.pop(record.call_uid, None) is None:
            return  # it has ended already
        if response is not None and not self._diary.lasting and not self._backlog.fits(size_of(response)):
            response = left_out(response, Omission.MEMORY)
        ended = Ended(finished=record, response=response)
        try:
            number = self._diary.finished(ended)
        except JournalFailed as error:
            await self._regardless(self._directly(began, ended, error))
            return
        self._backlog.ended(number, ended)

    async def _directly(self, began: tuple[Started, Kept, int], ended: Ended, why: JournalFailed) -> None:
        """Past the journal, which does not take it."""
        started, request, seq = began
        uid = started.call_uid
        self._diary.forget(uid)
        opened = self._backlog.forget(uid)
        entry = Entry(started, request, seq, 0, ended.finished, ended.response, opened=opened)
        try:
            async with asyncio.timeout(DIRECTLY):
                await self._ledger.directly(entry)
        except (DatabaseUnavailable, TimeoutError, *REFUSALS) as error:
            self._metrics.lost.inc()
            log.error("the end of call %s is lost: %s; %s", uid, why, error)
            if self._settings.journal.on_full == "refuse":
                raise RecordsLost(f"the call {uid} was executed, and its end is not recorded") from why

    async def _is_due(self) -> bool:
        """Wait until there is a batch to write; False when the writer is closing and nothing is left."""
        backlog = self._backlog
        while (oldest := backlog.oldest) is None:
            if backlog.is_behind:
                await self._take_up()
            elif self._closing:
                return False
            else:
                await self._woken(None)
        while not (self._closing or self._hurries or backlog.is_hurried):
            if not await self._woken(oldest + self._settings.linger - monotonic()):
                break
        return True

    async def _take_up(self) -> None:
        try:
            self._backlog.take_up()
        except JournalFailed as error:
            log.error("%s", error)
            await asyncio.sleep(UNREADABLE)

    async def _written(self, batch: Batch) -> None:
        """Wait until it is in the database, with all that came before: what the database has lost since, when it was
        restored or replaced by a copy that is not up to date, is brought back from the journal.
        """
        try:
            await self._committing.write(batch)
        except DatabaseBehind as behind:
            await self._replay.catch_up(behind, batch)
            await self._committing.write(batch)

    async def _woken(self, patience: float | None) -> bool:
        self._wake.clear()
        try:
            async with asyncio.timeout(patience):
                return await self._wake.wait()
        except TimeoutError:
            return False
