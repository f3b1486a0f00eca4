"""One file of a journal, made in its full size before anything is written to it.

Which question: where does the next frame go, and is it whole? Touches one file. The rule: a frame is written whole or
not at all; after a write that failed the file takes no more.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from storage.journal.frames import SegmentHeader, encode_header

Write = Callable[[int, bytes, int], int]
"""`os.pwrite`, or one that fails."""

MODE = 0o600
SUFFIX = ".seg"


class Segment:
    """An open segment. `end` is where the next frame goes, `last` the number of the newest one, 0 while there is
    none.
    """

    def __init__(self, path: Path, header: SegmentHeader, capacity: int, write: Write = os.pwrite) -> None:
        """Make the file and set its room aside. Raises `OSError`, and leaves no file then."""
        self.path = path
        self.capacity = capacity
        self.last = 0
        self.end = 0
        self.failed = False
        self._write = write
        self._dirty = True
        self._lock = threading.Lock()
        self._file: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
        try:
            os.posix_fallocate(self._file, 0, capacity)
            self.append(encode_header(header), 0)
        except BaseException:
            self.close()
            with suppress(OSError):
                path.unlink()
            raise

    def __repr__(self) -> str:
        return f"<Segment {self.path.name}: {self.end} of {self.capacity} bytes>"

    @property
    def room(self) -> int:
        """Bytes that can still be written."""
        return 0 if self.failed else self.capacity - self.end

    def append(self, frame: bytes, number: int) -> int:
        """Write a frame that fits; its offset. Raises `OSError` when it is not on the disk; nothing of it is then."""
        at, done = self.end, 0
        try:
            while done < len(frame):
                done += self._write(self._open_file, frame[done:], at + done)
        except OSError:
            self._take_back(at, done)
            raise
        self.end, self.last, self._dirty = at + len(frame), number, True
        return at

    def read(self, start: int, size: int) -> bytes:
        """Bytes that were written. Raises `OSError`."""
        return os.pread(self._open_file, min(size, self.end - start), start)

    def retract(self, at: int, last: int) -> None:
        """Take back the newest frame, which begins at the offset `at`; `last` is the number of the one before."""
        self._take_back(at, self.end - at)
        self.end, self.last = at, last

    def sync(self) -> None:
        """Wait until what was written is on the disk itself. Any thread may. Raises `OSError`; what the system could
        not bring there it may have dropped, and nothing is added to it.
        """
        with self._lock:
            if self._dirty and self._file is not None:
                self._dirty = False
                try:
                    os.fdatasync(self._file)
                except OSError:
                    self.failed = True
                    raise

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def remove(self) -> None:
        """Close it and delete it."""
        self.close()
        with suppress(OSError):
            self.path.unlink()

    @property
    def _open_file(self) -> int:
        if self._file is None:
            raise OSError(f"{self.path} is closed")
        return self._file

    def _take_back(self, at: int, done: int) -> None:
        """Half a frame is damage to whoever reads it; where zeros cannot be written either, it stays as such."""
        self.failed = True
        with suppress(OSError):
            os.pwrite(self._open_file, bytes(done), at)


def file_of(serial: int) -> str:
    """A segment's file name; in the order of names is in the order of frames."""
    return f"{serial:016x}{SUFFIX}"
