"""What was accepted and is not in the database yet.

Which question: how much waits, since when, and what is written next? Touches the journal, to read back what it alone
has. The rule: what is accepted waits in memory, up to `recording.pending_bytes`, and on the disk of the journal; beyond
that on the disk alone, from where it is read once the rest is in the database, so that the order of frames is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from time import monotonic

from storage.batch import Batch, Entry
from storage.intake import Intake
from storage.journal.bodies import Ended, Opened
from storage.journal.diary import Diary
from storage.metrics import StorageMetrics
from storage.payloads import Kept, Omission, left_out
from storage.playback import ENTRY_BYTES, Playback
from storage.records import CallUid
from storage.settings import RecordingSettings

log = logging.getLogger(__name__)


def size_of(kept: Kept | None) -> int:
    """Bytes of a payload in memory."""
    return 0 if kept is None else len(kept.text)


class Backlog:
    """`wake` is called when there is something new to write; `stretch` as for `Intake`. `applied` is the last frame
    that is in the database.
    """

    def __init__(
        self,
        diary: Diary,
        settings: RecordingSettings,
        metrics: StorageMetrics,
        wake: Callable[[], None],
        *,
        stretch: int = 1,
    ) -> None:
        self.applied = 0
        self._newest = 0
        self._diary = diary
        self._settings = settings
        self._metrics = metrics
        self._wake = wake
        self._intake = Intake(settings, stretch=stretch)
        self._playback = Playback(self._intake)
        self._batch: Batch | None = None
        self._calls = self._bytes = 0
        self._behind_since: float | None = None
        metrics.watch(self)

    @property
    def newest(self) -> int:
        """The last frame that was accepted."""
        return self._newest

    @property
    def pending(self) -> int:
        """Calls of which something is not in the database yet. Of those on the disk alone two frames count as one."""
        return self._calls + (self._newest - self._intake.accepted + 1) // 2

    @property
    def pending_bytes(self) -> int:
        """Bytes held in memory by calls whose final row is not written yet."""
        return self._bytes

    @property
    def lag(self) -> float:
        """Seconds since the oldest unwritten frame was accepted; 0 when nothing waits. Any thread may ask."""
        batch = self._batch
        oldest = self._intake.oldest if batch is None else batch.frames[0].at
        oldest = self._behind_since if oldest is None else oldest
        return 0.0 if oldest is None else monotonic() - oldest

    @property
    def oldest(self) -> float | None:
        """When the first frame in memory came in, in seconds of the monotonic clock; None when there is none."""
        return self._intake.oldest

    @property
    def is_behind(self) -> bool:
        """Whether something waits on the disk alone."""
        return self._behind_since is not None

    @property
    def is_hurried(self) -> bool:
        """Whether the next batch need not wait for more."""
        return self._intake.is_full or self.is_behind

    def fits(self, size: int = ENTRY_BYTES) -> bool:
        """Whether memory has room for so many bytes."""
        return self._bytes + size <= self._settings.pending_bytes

    def began(self, number: int, opened: Opened) -> None:
        """The frame `number` begins a call."""
        size = ENTRY_BYTES + size_of(opened.request)
        if self._takes(number, size):
            self._enter(self._playback.began(number, opened, monotonic()), size)

    def ended(self, number: int, ended: Ended) -> None:
        """The frame `number` ends a call."""
        size = size_of(ended.response)
        if self._takes(number, size) and (entry := self._playback.ended(number, ended, monotonic())) is not None:
            self._enter(entry, size)

    def forget(self, uid: CallUid) -> bool:
        """The end of this call comes another way; whether its open row is in the database."""
        entry = self._playback.open.pop(uid, None)
        if entry is None:
            return False
        self._bytes -= entry.held
        return entry.opened

    def take(self) -> Batch:
        """The next batch. There must be something in memory, and none before it that is not settled."""
        self._batch = self._intake.take()
        return self._batch

    def settle(self, batch: Batch) -> None:
        """Let go of what is in the database now."""
        for frame in batch.frames:
            entry = frame.entry
            entry.waiting -= 1
            self._calls -= entry.waiting == 0
            if frame.final:
                self._bytes -= entry.held
                self._metrics.written.inc(not entry.is_aside)
            elif entry.request is not None:
                entry.opened = not entry.is_aside
                entry.request = replace(entry.request, body=None)
                entry.asked = left_out(entry.asked, Omission.MEMORY)
        self._batch, self.applied = None, batch.high
        self._diary.applied(batch.high)

    def take_up(self) -> None:
        """Go on with what waits on the disk alone. Raises `JournalFailed`."""
        stored = self._diary.read(self._intake.accepted, self._settings.batch_bytes)
        at = self._behind_since or monotonic()
        for frame in stored:
            if (entry := self._playback.play(frame, 0, at)) is not None:
                self._enter(entry, entry.held if entry.finished is None else size_of(entry.answered), wake=False)
        if not stored or self._intake.accepted >= self._diary.last:
            self._behind_since = None

    def _takes(self, number: int, size: int) -> bool:
        """Whether a frame goes on in memory; without room there it is read from the disk later, as all that follow."""
        self._newest = number
        if self._behind_since is None and (self.fits(size) or not self._diary.lasting):
            return True
        if self._behind_since is None:
            self._behind_since = monotonic()
            log.warning("records fill recording.pending_bytes; from frame %d on they wait on the disk alone", number)
        return False

    def _enter(self, entry: Entry, size: int, *, wake: bool = True) -> None:
        """A frame of the entry came into the intake."""
        self._calls += entry.waiting == 1
        self._bytes += size
        if wake and (len(self._intake) == 1 or self._intake.is_full):
            self._wake()
