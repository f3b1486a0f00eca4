"""Frames that were written down become calls again.

Which question: which call does this frame begin or end? Touches nothing. The rule: what is taken from memory and what
is read from a disk goes the same way, in the order of its frames.
"""

from __future__ import annotations

import logging

from storage.batch import Entry, Frame
from storage.errors import JournalDamaged
from storage.intake import Intake
from storage.journal import bodies
from storage.journal.bodies import Ended, Opened
from storage.journal.frames import Frame as Stored
from storage.journal.frames import Type
from storage.records import CallUid

log = logging.getLogger(__name__)

ENTRY_BYTES = 2_048
"""What a call is taken to hold in memory beside its payloads; accepted with its opening, so its end always fits."""


class Playback:
    """Puts calls into `intake`; `open` are those whose end has not come in yet. `last_seq` is the newest call's."""

    def __init__(self, intake: Intake) -> None:
        self.open: dict[CallUid, Entry] = {}
        self.last_seq = 0
        self._intake = intake

    def began(self, number: int, opened: Opened, at: float) -> Entry:
        """The frame `number` begins a call; `at` is when it came in, in seconds of the monotonic clock."""
        size = len(opened.request.text)
        entry = Entry(opened.started, opened.request, opened.seq, ENTRY_BYTES + size)
        self.open[opened.started.call_uid] = entry
        self._put(Frame(number, at, entry, False, size))
        return entry

    def ended(self, number: int, ended: Ended, at: float) -> Entry | None:
        """The frame `number` ends a call; None when nothing is known of its beginning."""
        entry = self.open.pop(ended.finished.call_uid, None)
        if entry is None:
            log.error("the end of call %s is not recorded: its beginning is missing", ended.finished.call_uid)
            self._intake.skip(number)
            return None
        size = 0 if ended.response is None else len(ended.response.text)
        entry.finished, entry.answered = ended.finished, ended.response
        entry.held += size
        self._put(Frame(number, at, entry, True, size))
        return entry

    def play(self, stored: Stored, applied: int, at: float) -> Entry | None:
        """A frame that was read. What stands in the database already, up to the frame `applied`, is only remembered.
        The call, if there is something of it to write.
        """
        try:
            return self._played(stored, applied, at)
        except JournalDamaged as error:
            log.error("frame %d of a journal is left out: %s", stored.number, error)
            self._intake.skip(stored.number)
            return None

    def _played(self, stored: Stored, applied: int, at: float) -> Entry | None:
        match stored.type:
            case Type.STARTED if stored.number > applied:
                return self.began(stored.number, bodies.opened(stored.body), at)
            case Type.STARTED | Type.CARRIED:
                self._recall(bodies.opened(stored.body))
            case Type.FINISHED if stored.number > applied:
                return self.ended(stored.number, bodies.ended(stored.body), at)
            case Type.FINISHED:
                self.open.pop(bodies.ended(stored.body).finished.call_uid, None)
        self._intake.skip(stored.number)
        return None

    def _recall(self, opened: Opened) -> None:
        """The open row of this call is in the database."""
        if opened.started.call_uid not in self.open:
            entry = Entry(opened.started, opened.request, opened.seq, ENTRY_BYTES, opened=True)
            self.open[opened.started.call_uid] = entry
            self.last_seq = max(self.last_seq, opened.seq)

    def _put(self, frame: Frame) -> None:
        frame.entry.waiting += 1
        self.last_seq = max(self.last_seq, frame.entry.seq)
        self._intake.put(frame)
