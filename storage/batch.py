"""Calls on their way to the database, and batches of them.

Which question: what is known of a call whose row is not final yet, and what travels together in one transaction?
Touches nothing. The rule: frames are numbered densely in the order in which they were accepted, and a batch holds a
gapless run of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from storage.payloads import Kept, Payload
from storage.records import Finished, Started


class Rung(IntEnum):
    """How much of a call is written: each rung less than the one before, for rows that the database refuses."""

    WHOLE = 0
    FALLBACK_LINK = 1
    BARE = 2
    ASIDE = 3


@dataclass(slots=True, eq=False)
class Entry:
    """One accepted call until its final row is written.

    `asked` and `answered` are what is kept of its payloads, `request` and `response` what the database gets of that.
    `seq` numbers the calls of a journal; `held` are the bytes counted against `recording.pending_bytes`; `waiting` the
    frames that are not committed yet; `opened` says that its open row is, `reported` that it was set aside and said so.
    """

    started: Started
    asked: Kept
    seq: int
    held: int
    finished: Finished | None = None
    answered: Kept | None = None
    request: Payload | None = None
    response: Payload | None = None
    rung: Rung = Rung.WHOLE
    breaks: int = 0
    waiting: int = 0
    opened: bool = False
    reported: bool = False

    @property
    def is_aside(self) -> bool:
        return self.rung is Rung.ASIDE

    def descend(self) -> None:
        """Write less of it from now on."""
        self.rung = Rung(self.rung + 1)

    def suspect(self, patience: int) -> None:
        """The line broke over it; the `patience`th time it loses its payloads, and then its place."""
        self.breaks += 1
        if self.breaks % patience == 0:
            self.rung = Rung.BARE if self.rung < Rung.BARE else Rung.ASIDE


@dataclass(frozen=True, slots=True)
class Frame:
    """The opening of a call or its end, accepted at `at` seconds of the monotonic clock; `size` is its payload's."""

    number: int
    at: float
    entry: Entry
    final: bool
    size: int


@dataclass(slots=True)
class Item:
    """What one batch writes of a call: its open row or, once the end is among the frames, its final one."""

    entry: Entry
    final: bool


@dataclass(slots=True)
class Batch:
    """The frames after `low` up to `high`, as rows; `last_seq` is the last call started by then.

    `low_seq` is the last call started by `low`; `leaps`: written whatever became of what was written before.
    `careful`: row by row, since the database refused the batch as a whole, or the line broke over it again and again.
    `entered`: the transaction had begun its work; `writing`: the row under way when careful.
    """

    low: int
    high: int
    last_seq: int
    items: list[Item]
    frames: list[Frame] = field(repr=False)
    low_seq: int = 0
    leaps: bool = False
    careful: bool = False
    entered: bool = False
    breaks: int = 0
    writing: Item | None = None

    def kept(self) -> list[Item]:
        """The items that are not set aside."""
        return [item for item in self.items if not item.entry.is_aside]

    def newly_aside(self) -> list[Entry]:
        """The calls that this batch sets aside."""
        return [item.entry for item in self.items if item.entry.is_aside and not item.entry.reported]

    def blame(self, patience: int) -> None:
        """The line broke while this batch was written. After `patience` times the batch is under suspicion, then the
        payloads of a row: what is too big for the server's packets looks like a line that breaks.
        """
        if self.writing is not None:
            self.writing.entry.suspect(patience)
        elif self.entered and not self.careful:
            self.breaks += 1
            self.careful = self.breaks >= patience


def batch_of(frames: list[Frame], low: int, last_seq: int) -> Batch:
    """The batch of `frames`, which follow the frame `low`; `last_seq` was the last call started by then."""
    newest = max(last_seq, *(frame.entry.seq for frame in frames))
    return Batch(low, frames[-1].number, newest, _items(frames), frames, low_seq=last_seq)


def _items(frames: Iterable[Frame]) -> list[Item]:
    items: dict[int, Item] = {}
    for frame in frames:
        item = items.setdefault(frame.entry.seq, Item(frame.entry, final=False))
        item.final = item.final or frame.final
    return list(items.values())
