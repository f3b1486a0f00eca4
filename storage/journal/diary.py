"""Where calls are written down before they are in the database, or what stands for it.

Which question: what does the writer need of a journal? Words, and the one that keeps nothing. The rule: frames are
numbered in the order in which they came.
"""

from __future__ import annotations

import secrets
from typing import Protocol

from storage.journal.bodies import Ended, Opened
from storage.journal.frames import Frame
from storage.records import CallUid


class Diary(Protocol):
    """`storage.journal.journal.Journal` is the real one. `lasting`: what was taken can be read again, also by another
    process; `last` is the number of the newest frame, `trouble` why none can be taken at the moment.
    """

    id: int
    last: int
    trouble: str | None
    lasting: bool

    @property
    def size(self) -> int: ...

    @property
    def free_bytes(self) -> int: ...

    def started(self, opened: Opened) -> int: ...

    def finished(self, ended: Ended) -> int: ...

    def forget(self, uid: CallUid) -> None: ...

    def read(self, after: int, most: int) -> list[Frame]: ...

    def applied(self, number: int) -> None: ...

    def sync(self) -> None: ...

    def seal(self) -> None: ...

    def close(self) -> None: ...


class Volatile:
    """Numbers frames, and keeps none: `recording.journal.enabled: false`."""

    lasting = False
    trouble: str | None = None
    size = free_bytes = 0

    def __init__(self) -> None:
        self.id = secrets.randbits(63)
        self.last = 0

    def started(self, opened: Opened) -> int:
        self.last += 1
        return self.last

    def finished(self, ended: Ended) -> int:
        self.last += 1
        return self.last

    def forget(self, uid: CallUid) -> None: ...

    def read(self, after: int, most: int) -> list[Frame]:
        return []

    def applied(self, number: int) -> None: ...

    def sync(self) -> None: ...

    def seal(self) -> None: ...

    def close(self) -> None: ...
