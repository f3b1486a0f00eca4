"""Calls for a journal, and a disk that fails."""

from __future__ import annotations

import errno
import os
import time
from itertools import count
from pathlib import Path
from typing import Any

from storage.journal.bodies import Ended, Opened
from storage.journal.journal import Journal
from storage.payloads import kept
from storage.records import Caller, CallUid, Finished, Outcome, Started, call_uid
from storage.settings import JournalSettings

CALLER = Caller(user_id=1, user="local")
_seqs = count(1)


def opened(size: int = 100, uid: CallUid | None = None) -> Opened:
    uid = uid or call_uid(time.time_ns() // 1_000, os.urandom(10))
    started = Started(
        call_uid=uid,
        started_us=1,
        server_id=1,
        slug="s",
        method="tools/call",
        target="t",
        caller=CALLER,
        client_era="2026-07-28",
        operation_uid=uid,
        request=b"",
    )
    return Opened(seq=next(_seqs), started=started, request=kept(b'"' + b"q" * size + b'"', 1 << 30))


def ended(of: Opened, size: int = 100, **changes: Any) -> Ended:
    uid = of.started.call_uid
    finished = Finished(**{"call_uid": uid, "finished_us": 2, "outcome": Outcome.OK, "total_us": 1, **changes})
    return Ended(finished=finished, response=kept(b'"' + b"r" * size + b'"', 1 << 30))


def journal(folder: Path, **settings: Any) -> Journal:
    more = {name: settings.pop(name) for name in ("now", "write") if name in settings}
    return Journal.create(folder, JournalSettings(**{"segment_bytes": 1 << 16, "bytes": 1 << 20, **settings}), **more)


class Disk:
    """`os.pwrite` that takes `left` bytes, then some of a write and no more."""

    def __init__(self) -> None:
        self.left: int | None = None

    def __call__(self, file: int, text: bytes, at: int) -> int:
        if self.left is None:
            return os.pwrite(file, text, at)
        if self.left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = os.pwrite(file, text[: self.left], at)
        self.left -= done
        return done
