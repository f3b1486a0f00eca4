"""The journal of one run of the gateway: every call's beginning and end, on a local disk, before anybody is told.

Which question: is this call written down, and will its end be? Touches one folder. The rule: a call whose beginning was
taken has room for its end, whatever else happens; frames are numbered densely and never change.

The room of a call's end is set aside in segments that are on the disk in full size already, so that neither a full disk
nor `recording.journal.bytes` can take it away. A segment goes when all of it is in the database, some time after that;
what it holds of calls that are still open is carried over before.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from storage.errors import JournalFailed, JournalFull, JournalUnusable
from storage.journal import bodies, frames
from storage.journal.bodies import Ended, Opened
from storage.journal.folder import LOCK, name_of, synced
from storage.journal.frames import FRAME_BYTES, SEGMENT_BYTES, Frame, SegmentHeader, Type
from storage.journal.segment import Segment, Write, file_of
from storage.journal.tail import Tail
from storage.payloads import Omission, left_out
from storage.records import CallUid
from storage.settings import JournalSettings

END_BYTES = 4_096
"""Set aside for the frame that ends an open call: enough without its payload."""

WORDS = 500
"""Characters of an error message that are kept where only that much room is left."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})

FIRST_SEGMENTS = 2
"""Made at the start: with one alone, what is in the database could never make room on a disk that is full."""

LEAST_SEGMENTS = 4
"""As many fit into `recording.journal.bytes`, however large they are meant to be."""

SPARE = 0.5
"""A further segment is made ready once this part of the last one is used."""


@dataclass(slots=True)
class _Place:
    """Where the beginning of an open call stands."""

    segment: Segment
    at: int
    size: int


class Journal:
    """A `Diary` that takes frames, gives them back, and lets go of what is in the database.

    `now` gives seconds that only grow; `write` is `os.pwrite`, or fails. One thread uses it; `sync` may run in another.
    """

    def __init__(
        self,
        directory: Path,
        settings: JournalSettings,
        *,
        id: int,
        lock: int,
        now: Callable[[], float] = time.monotonic,
        write: Write = os.pwrite,
    ) -> None:
        self.id = id
        self.path = directory
        self.trouble: str | None = None
        """Why frames cannot be written at the moment; None while they can."""
        self.last = 0
        """The number of the newest frame."""
        self._settings = settings
        self._lock: int | None = lock
        self._now = now
        self._write = write
        self._segments: deque[Segment] = deque()
        self._current = self._serial = 0
        self._tail = Tail(id)
        self._done: deque[tuple[float, Segment]] = deque()
        self._open: dict[CallUid, _Place] = {}
        self._segment_bytes = min(settings.segment_bytes, settings.bytes // LEAST_SEGMENTS)
        for _ in range(FIRST_SEGMENTS):
            self._add(self._segment_bytes)

    @classmethod
    def create(
        cls,
        directory: Path,
        settings: JournalSettings,
        *,
        now: Callable[[], float] = time.monotonic,
        write: Write = os.pwrite,
    ) -> Journal:
        """A journal of its own in a new folder of `directory`, which is made if need be. Raises `JournalUnusable`."""
        journal_id = secrets.randbits(63)
        folder = directory / name_of(journal_id)
        made = directory / f".{folder.name}"
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            made.mkdir(mode=0o700)
            lock = os.open(made / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            made.rename(folder)  # nobody looks into it before it is locked
            if settings.fsync != "off":
                synced(directory)
            return cls(folder, settings, id=journal_id, lock=lock, now=now, write=write)
        except OSError as error:
            words = f"records cannot be journalled in {directory} ({error.strerror or error})"
            raise JournalUnusable(f"{words}: mend that, or name another folder as recording.journal.path") from error

    lasting = True

    def __repr__(self) -> str:
        return f"<Journal {self.id:016x}: {self.last} frames, {len(self._open)} open calls>"

    @property
    def size(self) -> int:
        """What the segments take on the disk."""
        return sum(segment.capacity for segment in (*self._segments, *(segment for _, segment in self._done)))

    @property
    def free_bytes(self) -> int:
        """What may still be written before new calls are refused, if the disk has it."""
        return max(0, self._settings.bytes - self.size + self._room() - self._reserved())

    def started(self, opened: Opened) -> int:
        """Write down that a call began; the frame's number. Raises `JournalFull` when the room for it and for its end
        cannot be had, and `JournalFailed` when the disk does not take it.
        """
        body = bodies.encode(opened)
        self._make_room(FRAME_BYTES + len(body), self._reserved() + END_BYTES)
        place = self._append(Type.STARTED, body)
        self._open[opened.started.call_uid] = place
        return self.last

    def finished(self, ended: Ended) -> int:
        """Write down that a call ended; the frame's number. Without its payload where only the room that was set aside
        is left. Raises `JournalFailed` when the disk does not take even that.
        """
        reserved = max(0, self._reserved() - END_BYTES)
        body = bodies.encode(ended)
        try:
            self._make_room(FRAME_BYTES + len(body), reserved)
        except JournalFull:
            body = bodies.encode(bare(ended))
        self._append(Type.FINISHED, body)
        self._open.pop(ended.finished.call_uid, None)
        return self.last

    def read(self, after: int, most: int) -> list[Frame]:
        """The frames that follow the number `after`, in order, of `most` bytes together, but one at least if there is
        any. Raises `JournalFailed`.
        """
        try:
            return self._tail.read(self._written(), after, most)
        except OSError as error:
            raise JournalFailed(f"the journal in {self.path} cannot be read: {error}") from error

    def applied(self, number: int) -> None:
        """All frames up to `number` are in the database."""
        now = self._now()
        while self._current > 0 and self._segments[0].last <= number:
            self._current -= 1
            self._done.append((now, self._segments.popleft()))
        while self._done and self._done[0][0] + self._settings.keep_committed <= now and self._let_go():
            pass

    def sync(self) -> None:
        """Wait until what was written is on the disk itself. Any thread may. Raises `OSError`."""
        for segment in tuple(self._segments):
            segment.sync()

    def seal(self) -> None:
        """Say that nothing more will come. Raises `JournalFailed`."""
        self._append(Type.SEALED, b"")

    def close(self) -> None:
        """Let go of the files and of the lock; the folder stays."""
        for segment in (*self._segments, *(segment for _, segment in self._done)):
            segment.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def forget(self, uid: CallUid) -> None:
        """The end of this call stands elsewhere."""
        self._open.pop(uid, None)

    def _reserved(self) -> int:
        return END_BYTES * len(self._open)

    def _written(self) -> list[Segment]:
        return [*(segment for _, segment in self._done), *self._segments]

    def _room(self) -> int:
        """What fits into the segments that are there. Of each one the last bytes may stay empty, since frames are not
        divided.
        """
        rooms = (segment.room - END_BYTES for segment in tuple(self._segments)[self._current :])
        return sum(max(0, room) for room in rooms)

    def _make_room(self, size: int, reserved: int) -> None:
        """A place for `size` bytes, with `reserved` left for others. Raises `JournalFull`."""
        while not self._fits(size, reserved):
            self._add(max(self._segment_bytes, size + SEGMENT_BYTES + 2 * END_BYTES))
        if self._current == len(self._segments) - 1 and self._segments[-1].end > SPARE * self._segments[-1].capacity:
            try:
                self._add(self._segment_bytes)
            except JournalFull:
                return  # there is room enough for now

    def _fits(self, size: int, reserved: int) -> bool:
        if self._segments[self._current].room - END_BYTES - size >= reserved:
            return True  # as almost always
        places = tuple(self._segments)[self._current :]
        at = next((index for index, segment in enumerate(places) if segment.room >= size), None)
        if at is None:
            return False
        skipped = sum(max(0, segment.room - END_BYTES) for segment in places[:at])
        return self._room() - skipped - size >= reserved

    def _add(self, capacity: int) -> None:
        """One more segment. Raises `JournalFull` when neither the limit nor the disk has room for it."""
        while self.size + capacity > self._settings.bytes and self._done and self._let_go():
            pass
        if self._segments and self.size + capacity > self._settings.bytes:
            raise JournalFull(f"the journal in {self.path.parent} holds recording.journal.bytes already")
        self._segments.append(self._made(capacity))
        if self._settings.fsync != "off":
            synced(self.path)

    def _made(self, capacity: int) -> Segment:
        """A new segment, in the room of one that is in the database where the disk has no other."""
        while True:
            self._serial += 1
            header = SegmentHeader(self.id, self._serial, time.time_ns() // 1_000)
            try:
                return Segment(self.path / file_of(self._serial), header, capacity, self._write)
            except OSError as error:
                if self._done and error.errno in NO_ROOM and self._let_go():
                    continue
                if not self._segments:
                    raise
                why = f"there is no room for the journal in {self.path.parent}: {error.strerror}"
                raise JournalFull(why) from error

    def _append(self, type: Type, body: bytes) -> _Place:
        """Write a frame into the first segment that has room for it. Raises `JournalFailed`."""
        number = self.last + 1
        text = frames.encode(self.id, number, type, body)
        problem: OSError | None = None
        for index in range(self._current, len(self._segments)):
            segment = self._segments[index]
            if segment.room < len(text):
                continue
            try:
                at = self._written_to(segment, text, number)
            except OSError as error:
                problem = error
                continue
            self._current, self.last, self.trouble = index, number, None
            return _Place(segment, at, len(text))
        why = "no segment has room" if problem is None else problem.strerror or str(problem)
        self.trouble = f"the journal in {self.path.parent} takes no frames: {why}"
        raise JournalFailed(self.trouble)

    def _written_to(self, segment: Segment, text: bytes, number: int) -> int:
        """The frame's offset. Raises `OSError`; then nothing of it is there."""
        last = segment.last
        at = segment.append(text, number)
        if self._settings.fsync == "call":
            try:
                segment.sync()
            except OSError:
                segment.retract(at, last)
                raise
        return at

    def _let_go(self) -> bool:
        """Delete the oldest segment that is in the database; what is open there is written anew. False when that
        cannot be.
        """
        _, segment = self._done[0]
        for uid, place in [(uid, place) for uid, place in self._open.items() if place.segment is segment]:
            if not self._carried(uid, place):
                return False
        self._done.popleft()
        segment.remove()
        return True

    def _carried(self, uid: CallUid, place: _Place) -> bool:
        if not self._fits(place.size, self._reserved()):
            return False
        try:
            [frame] = frames.scan(self.id, place.segment.read(place.at, place.size))
            if isinstance(frame, Frame):
                self._open[uid] = self._append(Type.CARRIED, frame.body)
        except (OSError, JournalFailed):
            return False
        return True


def bare(ended: Ended) -> Ended:
    """The same without its payload, in few words: it fits into what is set aside for it."""
    finished, response = ended.finished, ended.response
    words = None if finished.error_message is None else finished.error_message[:WORDS]
    reason = None if finished.reason is None else finished.reason[:WORDS]
    finished = msgspec.structs.replace(finished, error_message=words, reason=reason)
    return Ended(finished=finished, response=None if response is None else left_out(response, Omission.JOURNAL))
