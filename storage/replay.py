"""Frames of a journal written into the database, from where that stands.

Which question: what does the database lack of this journal? Touches the journal; the database only through
`Committing`. The rule: frames go in their order, as if the run that wrote them down had just gone on; what stands in
the database already is never counted twice.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Protocol

from storage.batch import Batch
from storage.committing import Committing
from storage.errors import DatabaseBehind, JournalFailed
from storage.intake import Intake
from storage.journal.frames import Frame, Type
from storage.metrics import StorageMetrics
from storage.playback import Playback
from storage.settings import RecordingSettings

log = logging.getLogger(__name__)


class Source(Protocol):
    """A journal, whoever writes it."""

    def read(self, after: int, most: int) -> list[Frame]:
        """The frames that follow the number `after`, of `most` bytes together. Raises `JournalFailed`."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """Of the calls that were read anew, `begun` have begun and `ended` got their final row; `applied` is the frame
    where the database stands now.
    """

    applied: int
    begun: int
    ended: int


class Replay:
    """Brings what `source` holds into the database."""

    def __init__(
        self, source: Source, settings: RecordingSettings, committing: Committing, metrics: StorageMetrics
    ) -> None:
        self._source = source
        self._settings = settings
        self._committing = committing
        self._metrics = metrics

    async def run(self, applied: int, last_seq: int, until: int | None = None) -> Replayed:
        """Write the frames after `applied`, where the database stands, up to `until`, if given; `last_seq` is the
        last call that was begun by then. Raises `JournalFailed`.
        """
        intake = Intake(self._settings, applied, last_seq)
        playback = Playback(intake)
        stands = applied
        after = begun = ended = 0
        while frames := self._next(after, until):
            for frame in frames:
                begun += frame.type is Type.STARTED and frame.number > applied
                playback.play(frame, applied, asyncio.get_running_loop().time())
            after = frames[-1].number
            while len(intake):
                batch = intake.take()
                ended += await self._written(batch)
                stands = batch.high
        return Replayed(stands, begun, ended)

    async def catch_up(self, behind: DatabaseBehind, batch: Batch) -> None:
        """Bring back what the database has lost of all that comes before `batch`, which may be written then whatever
        came of that. What the journal does not have any more is counted as lost.
        """
        log.warning("%s; the journal brings them back", behind)
        begun = 0
        try:
            begun = (await self.run(behind.applied, behind.started_seq, until=batch.low)).begun
        except JournalFailed as error:
            log.error("%s", error)
        if (gone := batch.low_seq - behind.started_seq - begun) > 0:
            self._metrics.lost.inc(gone)
            log.error("%d records that the database has lost are in the journal no more", gone)
        batch.leaps = True

    def _next(self, after: int, until: int | None) -> list[Frame]:
        frames = self._source.read(after, self._settings.batch_bytes)
        return [frame for frame in frames if until is None or frame.number <= until]

    async def _written(self, batch: Batch) -> int:
        """Wait until it is in the database; how many calls got their final row."""
        batch.leaps = True
        await self._committing.write(batch)
        for frame in batch.frames:
            frame.entry.waiting -= 1
            frame.entry.opened = not frame.entry.is_aside
        self._metrics.written.inc(sum(frame.final and not frame.entry.is_aside for frame in batch.frames))
        await asyncio.sleep(0)
        return sum(frame.final for frame in batch.frames)
