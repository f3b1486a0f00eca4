"""Accepted frames that no batch has taken yet.

Which question: what is written next, and is it time? Touches nothing. The rule: frames leave in the order in which
they came.
"""

from __future__ import annotations

from collections import deque

from storage.batch import Batch, Frame, batch_of
from storage.settings import RecordingSettings


class Intake:
    """A queue of frames that is emptied batch by batch; `low` is the frame that is in the database already, and
    `last_seq` the last call that was started by then. While more waits than a batch holds, one may hold `stretch` times
    as much.
    """

    def __init__(self, settings: RecordingSettings, low: int = 0, last_seq: int = 0, *, stretch: int = 1) -> None:
        self._settings = settings
        self._stretch = stretch
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._taken, self._last_seq = low, last_seq
        self.accepted = low
        """The number of the last frame that came in."""
        self.oldest: float | None = None
        """When the first frame came in, in seconds of the monotonic clock; None when there is none."""

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def is_full(self) -> bool:
        """Whether there is enough for a batch. A call that began and ended since the last one has two frames."""
        return len(self._frames) >= 2 * self._settings.batch_rows or self._bytes >= self._settings.batch_bytes

    def put(self, frame: Frame) -> None:
        """The opening of a call, or its end, came in."""
        self.accepted = frame.number
        self._bytes += frame.size
        self._frames.append(frame)
        self.oldest = self._frames[0].at

    def skip(self, number: int) -> None:
        """A frame that changes no row."""
        self.accepted = max(self.accepted, number)

    def take(self) -> Batch:
        """The next batch: at most `batch_rows` calls and `batch_bytes` bytes, stretched, but at least one frame."""
        frames, calls, size = list[Frame](), set[int](), 0
        most_rows, most_bytes = self._stretch * self._settings.batch_rows, self._stretch * self._settings.batch_bytes
        while self._frames:
            frame = self._frames[0]
            is_one_more = frame.entry.seq not in calls and len(calls) == most_rows
            if frames and (is_one_more or size + frame.size > most_bytes):
                break
            frames.append(self._frames.popleft())
            calls.add(frame.entry.seq)
            size += frame.size
        batch = batch_of(frames, self._taken, self._last_seq)
        self._taken, self._last_seq = batch.high, batch.last_seq
        self._bytes -= size
        self.oldest = self._frames[0].at if self._frames else None
        return batch
