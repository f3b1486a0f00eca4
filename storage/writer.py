"""The batch writer: calls are accepted in memory at once and written together a little later.

Which question: when is what was accepted written, and what if the database is away? Touches the event loop; the
database only through `Ledger`. The rule: accepting never waits, and the end of a call whose opening was accepted is
never refused; one batch is in flight at a time, its frames in the order in which they were accepted.

While the database is away, records stay here, up to `recording.pending_bytes`: then new calls are refused, and of those
under way the answers' payloads, never the records themselves, are left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from time import monotonic

import msgspec

from storage.attempts import delays
from storage.batch import Batch, Entry
from storage.database import Database
from storage.errors import DatabaseContended, DatabaseUnavailable, RecordsFull
from storage.intake import Intake
from storage.journals import new_journal
from storage.ledger import Ledger
from storage.metrics import StorageMetrics
from storage.payloads import Omission, Redaction, dropped
from storage.preparation import Preparation
from storage.records import CallUid, Finished, Started
from storage.settings import RecordingSettings

log = logging.getLogger(__name__)

ENTRY_BYTES = 2_048
"""What a call is taken to hold in memory beside its payloads; accepted with its opening, so its end always fits."""


PATIENCE = 60.0
"""Seconds that the database may take over a batch, before the line is given up for dead; twice as many each time."""


TOLD_AFTER = 2.0
"""Seconds for which records may wait for other transactions before that is trouble."""


class Writer:
    """A `records.Recorder` over a database; nothing is written unless `run` runs."""

    def __init__(
        self,
        db: Database,
        settings: RecordingSettings,
        *,
        redact: Redaction,
        metrics: StorageMetrics,
        patience: float = PATIENCE,
    ) -> None:
        journal = new_journal()
        self.journal_id = journal.id
        self.trouble: str | None = None
        """Why records cannot be written at the moment, fit to be shown; None while all is well."""
        self._ledger = Ledger(db, journal, Preparation(settings, redact))
        self._settings = settings
        self._patience = patience
        self._metrics = metrics
        self._intake = Intake(settings)
        self._open: dict[CallUid, Entry] = {}
        self._batch: Batch | None = None
        self._seq = self._applied = self._pending = self._pending_bytes = 0
        self._wake, self._settled = asyncio.Event(), asyncio.Event()
        self._hurries = 0
        self._closing = self._closed = self._refused = False
        self._task: asyncio.Task[object] | None = None
        metrics.watch(self)

    @property
    def pending(self) -> int:
        """Calls of which something is not written yet."""
        return self._pending

    @property
    def pending_bytes(self) -> int:
        """Bytes held by calls whose final row is not written yet."""
        return self._pending_bytes

    @property
    def lag(self) -> float:
        """Seconds since the oldest unwritten frame was accepted; 0 when nothing waits. Any thread may ask."""
        batch = self._batch
        oldest = self._intake.oldest if batch is None else batch.frames[0].at
        return 0.0 if oldest is None else monotonic() - oldest

    @property
    def is_full(self) -> bool:
        """Whether any new call would be refused, or one was and nothing has been written since."""
        return self._closed or self._refused or not self._fits(ENTRY_BYTES)

    def started(self, record: Started) -> None:
        """Accept an opening. Raises `RecordsFull` when there is no room, or the writer was closed."""
        size = len(record.request)
        if self._closed:
            raise RecordsFull("the gateway is stopping and records no more calls")
        if not self._fits(ENTRY_BYTES + size):
            self._refused = self._pending > 0
            raise RecordsFull(f"{self._pending} records wait for the database and fill recording.pending_bytes")
        self._seq += 1
        entry = self._open[record.call_uid] = Entry(record, self._seq, ENTRY_BYTES + size)
        self._pending_bytes += entry.held
        self._accept(entry, size, final=False)

    def finished(self, record: Finished) -> None:
        """Accept the end of a call."""
        entry = self._open.pop(record.call_uid, None)
        if entry is None or self._closed:
            log.error("the end of call %s is not recorded: %s", record.call_uid, "closed" if entry else "never opened")
            self._metrics.lost.inc(entry is not None and not entry.waiting)
            return
        size = len(record.response or b"")
        if not self._fits(size):
            entry.response = dropped(Omission.MEMORY, size)
            record, size = msgspec.structs.replace(record, response=None), 0
        entry.finished = record
        entry.held += size
        self._pending_bytes += size
        self._accept(entry, size, final=True)

    async def run(self) -> None:
        """Write what is accepted, batch by batch, until `close`. Only the first run does."""
        if self._task is not None:
            return
        self._task = asyncio.current_task()
        try:
            while await self._is_due():
                self._batch = self._intake.take()
                await self._write(self._batch)
                self._settle(self._batch)
            with contextlib.suppress(DatabaseUnavailable):
                await self._ledger.close()
        finally:
            self._closed = True
            self._settled.set()

    async def flush(self) -> None:
        """Wait until everything accepted so far is committed, or the writer has ended."""
        target = self._intake.accepted
        self._hurries += 1
        self._wake.set()
        try:
            while self._applied < target and not self._closed:
                self._settled.clear()
                await self._settled.wait()
        finally:
            self._hurries -= 1

    async def close(self, grace: float = 5.0) -> int:
        """Write what is left for at most `grace` seconds, then end; returns how many records are lost."""
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
        lost, self._pending = self._pending, 0
        if lost:
            self._metrics.lost.inc(lost)
            log.error("%d records are lost: %s", lost, self.trouble or "there was no time to write them")
        return lost

    async def _is_due(self) -> bool:
        """Wait until there is a batch to write; False when the writer is closing and nothing is left."""
        while (oldest := self._intake.oldest) is None:
            if self._closing:
                return False
            await self._woken(None)
        while not (self._closing or self._hurries or self._intake.is_full):
            if not await self._woken(oldest + self._settings.linger - monotonic()):
                break
        return True

    async def _woken(self, patience: float | None) -> bool:
        self._wake.clear()
        try:
            async with asyncio.timeout(patience):
                return await self._wake.wait()
        except TimeoutError:
            return False

    async def _write(self, batch: Batch) -> None:
        patience = self._patience
        for delay in delays():
            begun = monotonic()
            if await self._is_written(batch, patience):
                return
            patience *= 2 if monotonic() - begun >= patience else 1
            await asyncio.sleep(delay)

    async def _is_written(self, batch: Batch, patience: float) -> bool:
        begun = monotonic()
        try:
            async with asyncio.timeout(patience):
                await self._ledger.commit(batch)
        except DatabaseContended as error:
            self._wait("contended", str(error) if self.lag > TOLD_AFTER else self.trouble)
        except DatabaseUnavailable as error:
            self._wait("unavailable", str(error))
        except TimeoutError:
            self._wait("unavailable", f"the database took longer than {patience:g} s over a batch")
        except Exception as error:  # noqa: BLE001  the writer's loop: no row and no defect of ours may end it
            name = type(error).__name__
            if batch.careful:
                self._wait("refused", f"no row can be written ({name})", error)
            else:
                self._wait("refused", f"a batch was refused ({name}) and is written row by row")
            batch.careful = True
        else:
            self._metrics.commit_seconds.observe(monotonic() - begun)
            return True
        return False

    def _fits(self, size: int) -> bool:
        return self._pending_bytes + size <= self._settings.pending_bytes

    def _accept(self, entry: Entry, size: int, *, final: bool) -> None:
        self._pending += entry.waiting == 0
        entry.waiting += 1
        self._intake.put(entry, size, monotonic(), final=final)
        if len(self._intake) == 1 or self._intake.is_full:
            self._wake.set()

    def _wait(self, reason: str, trouble: str | None, unexpected: Exception | None = None) -> None:
        self._metrics.errors[reason].inc()
        if trouble != self.trouble:
            log.warning("records wait: %s", trouble, exc_info=unexpected)
        self.trouble = trouble

    def _settle(self, batch: Batch) -> None:
        """Let go of what is in the database now."""
        for frame in batch.frames:
            entry = frame.entry
            entry.waiting -= 1
            self._pending -= entry.waiting == 0
            if frame.final:
                self._pending_bytes -= entry.held
                self._metrics.written.inc(not entry.is_aside)
            elif entry.request is not None:
                entry.opened = not entry.is_aside
                entry.request = replace(entry.request, body=None)
        for entry in batch.newly_aside():
            entry.reported = True
            self._metrics.set_aside.inc()
            log.error("call %s has no record: the database refused it in every form", entry.started.call_uid)
        if self.trouble is not None:
            log.info("records are written again")
        self.trouble, self._batch, self._applied, self._refused = None, None, batch.high, False
        self._settled.set()
