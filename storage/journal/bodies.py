"""What the frames of a journal say.

Which question: which call began, which one ended, and how? Pure. The rule: only payloads that were redacted get in;
what was written by an earlier version of the gateway can be read.
"""

from __future__ import annotations

import msgspec

from storage.errors import JournalDamaged
from storage.payloads import Kept
from storage.records import Finished, Started


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A call began: the `seq`th of its journal, from 1. `started.request` is empty; `request` is what is kept of it."""

    seq: int
    started: Started
    request: Kept


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A call ended. `finished.response` is None; `response` is what is kept of it."""

    finished: Finished
    response: Kept | None = None


_encoder = msgspec.msgpack.Encoder()
_opened = msgspec.msgpack.Decoder(Opened)
_ended = msgspec.msgpack.Decoder(Ended)


def encode(body: Opened | Ended) -> bytes:
    """The body of its frame."""
    return _encoder.encode(body)


def opened(body: bytes) -> Opened:
    """Raises `JournalDamaged` when it is none."""
    try:
        return _opened.decode(body)
    except msgspec.MsgspecError as error:
        raise JournalDamaged(f"the beginning of a call cannot be read: {error}") from error


def ended(body: bytes) -> Ended:
    """Raises `JournalDamaged` when it is none."""
    try:
        return _ended.decode(body)
    except msgspec.MsgspecError as error:
        raise JournalDamaged(f"the end of a call cannot be read: {error}") from error
