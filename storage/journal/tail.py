"""Frames of a journal read back from its segments.

Which question: what comes next after this frame? Touches segments. The rule: frames come in their order, each once;
what is damaged is told, and skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from storage.journal.frames import SEGMENT_BYTES, Damage, Frame, scan


class Readable(Protocol):
    """A segment; `last` is the number of its newest frame, None when that is not known."""

    @property
    def end(self) -> int: ...

    @property
    def last(self) -> int | None: ...

    def read(self, start: int, size: int) -> bytes:
        """Raises `OSError`."""


class Tail:
    """Reads on where it stopped. `damaged` hears of each damage once, with its bytes."""

    def __init__(self, journal_id: int, damaged: Callable[[bytes, Damage], None] | None = None) -> None:
        self._journal_id = journal_id
        self._damaged = damaged
        self._segment: Readable | None = None
        self._at = SEGMENT_BYTES
        self._number = 0
        self._told: dict[Readable, int] = {}  # how far into a segment its damage was told

    def read(self, segments: Sequence[Readable], after: int, most: int) -> list[Frame]:
        """The frames that follow the number `after` in `segments`, of `most` bytes together, but one at least if there
        is any. Raises `OSError`.
        """
        found, size = list[Frame](), 0
        held: Callable[[], None] | None = None  # a torn end is damage after all once something was written behind it
        for segment in segments[self._place(segments, after) :]:
            start = self._at if segment is self._segment else SEGMENT_BYTES
            text = segment.read(start, max(0, segment.end - start))
            for part in scan(self._journal_id, text):
                if isinstance(part, Damage):
                    held = partial(self._tell, segment, start + part.end, text[part.start : part.end], part)
                    if not part.torn:
                        held()
                        held = None
                elif part.number > after:
                    if found and size + part.size > most:
                        return found
                    if held is not None:
                        held()
                        held = None
                    found.append(part)
                    size += part.size
                    self._segment, self._at, self._number = segment, start + part.at + part.size, part.number
        return found

    def _tell(self, segment: Readable, end: int, text: bytes, damage: Damage) -> None:
        if self._damaged is not None and end > self._told.get(segment, 0):
            self._told[segment] = end
            self._damaged(text, replace(damage, torn=False))

    def read_up_to(self, segments: Sequence[Readable]) -> list[int]:
        """Of each of `segments`, all of which were read, the byte behind its last frame."""
        if self._segment not in segments:
            return [SEGMENT_BYTES for _ in segments]
        at = segments.index(self._segment)
        return [*(segment.end for segment in segments[:at]), self._at, *(SEGMENT_BYTES for _ in segments[at + 1 :])]

    def _place(self, segments: Sequence[Readable], after: int) -> int:
        """Where to begin: where the last reading stopped, or with the first segment that may have the frame."""
        if self._number == after and self._segment in segments:
            return segments.index(self._segment)
        self._segment = None
        known = (index for index, segment in enumerate(segments) if segment.last is None or segment.last > after)
        return next(known, len(segments))
