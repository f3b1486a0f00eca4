"""Journals that earlier runs have left behind.

Which question: which journals in this folder has nobody any more, and what do they hold? Touches the folder. The rule:
a journal belongs to whoever holds its lock, which the system takes from a process that has ended; what is damaged is
kept apart and counted, and costs no frame beside it.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

from storage.errors import JournalFailed
from storage.journal.frames import SEGMENT_BYTES, Damage, Frame, decode_header, scan
from storage.journal.segment import SUFFIX
from storage.journal.tail import Tail

log = logging.getLogger(__name__)

LOCK, QUARANTINE, APPLIED = "lock", "quarantine", "applied"


class Stored:
    """A segment of another run."""

    last = None
    """Nobody knows before it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.end = path.stat().st_size

    def read(self, start: int, size: int) -> bytes:
        with self._path.open("rb") as file:
            return os.pread(file.fileno(), size, start)

    def trim(self, used: int) -> None:
        """Give back the room that was set aside behind the byte `used`. Raises `OSError`."""
        os.truncate(self._path, used)
        self.end = used


class Abandoned:
    """A journal that is ours now, until it is let go. `damaged` counts what was kept apart."""

    def __init__(self, path: Path, journal_id: int, lock: int) -> None:
        self.id = journal_id
        self.path = path
        self.damaged = 0
        self._lock = lock
        self._tail = Tail(journal_id, self._keep_apart)
        self._segments = [Stored(file) for file in sorted(path.glob(f"*{SUFFIX}")) if self._is_whole(file)]
        self.applied = _number_in(path / APPLIED)
        """Where the database stood when all of it was there; None before that."""

    def __repr__(self) -> str:
        return f"<Abandoned {self.id:016x}: {len(self._segments)} segments>"

    def read(self, after: int, most: int) -> list[Frame]:
        """The frames that follow the number `after`, of `most` bytes together. Raises `JournalFailed`."""
        try:
            return self._tail.read(self._segments, after, most)
        except OSError as error:
            raise JournalFailed(f"the journal in {self.path} cannot be read: {error}") from error

    def keep(self, applied: int) -> None:
        """All of it was read, and is in the database, which stands at the frame `applied`: it stays for a while, in the
        room that it needs. Raises `OSError`.
        """
        read = self._tail.read_up_to(self._segments)
        for segment, used in zip(self._segments, read, strict=True):
            segment.trim(used)
        (self.path / APPLIED).write_text(f"{applied}\n", "ascii")

    def kept_for(self, now: float) -> float:
        """Seconds since then; `now` in seconds since the Unix epoch."""
        return now - (self.path / APPLIED).stat().st_mtime

    def remove(self) -> None:
        """The folder goes, but for what was kept apart."""
        for file in (*self.path.glob(f"*{SUFFIX}"), self.path / APPLIED, self.path / LOCK):
            with suppress(OSError):
                file.unlink()
        with suppress(OSError):
            self.path.rmdir()
        self.release()

    def release(self) -> None:
        """Leave it to whoever comes next."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _is_whole(self, file: Path) -> bool:
        """Whether the segment is one of this journal; one whose process ended while it was made holds nothing."""
        with file.open("rb") as opened:
            first = opened.read(SEGMENT_BYTES)
            header = decode_header(first)
            rest = b"" if header is not None else opened.read()
        if header is not None and header.journal_id == self.id:
            return True
        if header is None and any(isinstance(part, Frame) for part in scan(self.id, rest)):
            self._put_aside(file.name, first)
            return True
        if first.strip(b"\0") or rest.strip(b"\0"):
            self._put_aside(file.name, first + rest)
        return False

    def _keep_apart(self, text: bytes, damage: Damage) -> None:
        if damage.torn:
            return  # the last thing its process did, which it told nobody
        kept = self.path / QUARANTINE
        self._put_aside(next(name for n in count() if not (kept / (name := f"{n}.bytes")).exists()), text)

    def _put_aside(self, name: str, text: bytes) -> None:
        self.damaged += 1
        folder = self.path / QUARANTINE
        with suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            (folder / name).write_bytes(text)
        kept = f"they are kept in {folder}" if (folder / name).exists() else f"{folder} does not take them"
        log.error("%d bytes of the journal in %s are damaged; %s", len(text), self.path, kept)


def name_of(journal_id: int) -> str:
    """The name of a journal's folder."""
    return f"{journal_id:016x}"


def synced(directory: Path) -> None:
    """Have the disk know which files are in `directory`. Raises `OSError`."""
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def abandoned(directory: Path) -> Iterator[Abandoned]:
    """The journals in `directory` that nobody has, each taken; one that cannot be read keeps none of the others back.
    Raises `OSError` when `directory` cannot be read.
    """
    for path in sorted(directory.iterdir()) if directory.exists() else ():
        if (journal_id := _id_of(path)) is None or (lock := _taken(path)) is None:
            continue
        try:
            journal = Abandoned(path, journal_id, lock)
        except OSError as error:  # let go of, or it would count as alive for as long as we are
            os.close(lock)
            log.error("the journal in %s cannot be read, and waits: %s", path, error)
            continue
        yield journal


def known(directory: Path) -> frozenset[int]:
    """The journals in `directory`, whoever has them. Raises `OSError`."""
    found = (_id_of(path) for path in (directory.iterdir() if directory.exists() else ()))
    return frozenset(journal_id for journal_id in found if journal_id is not None)


def is_alive(directory: Path, journal_id: int) -> bool:
    """Whether a process holds this journal."""
    path = directory / name_of(journal_id)
    if not path.exists() or (lock := _taken(path)) is None:
        return path.exists()
    os.close(lock)
    return False


def _id_of(path: Path) -> int | None:
    try:
        return int(path.name, 16) if len(path.name) == len(name_of(0)) and path.is_dir() else None
    except ValueError:
        return None


def _number_in(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None


def _taken(path: Path) -> int | None:
    """The lock of a journal; None when somebody holds it, or it has none any more."""
    try:
        lock = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    if not path.joinpath(LOCK).exists():  # its last owner has just removed it
        os.close(lock)
        return None
    return lock
