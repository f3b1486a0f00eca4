"""The format of a journal on disk.

Which question: which frames do these bytes hold, and which of the bytes are damaged? Pure. The rule: whatever the bytes
are, every whole frame among them is found, and nothing else is taken for one.

    segment   "MCPJ" u16 version=1 u16 0 u64 journal_id u64 serial u64 opened_us u32 crc32(all before)
    frame     u32 sync u32 length u32 crc32 u8 type u8 kind u16 0 u64 frame_no | body of `length` bytes

Little-endian. A frame's CRC begins with the journal's id and covers all but the sync word and itself, so that bytes of
another journal inside a payload are no frame of this one. Frames are numbered from 1; a rest of zeros is room that was
set aside and not used yet.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from zlib import crc32

MAGIC = b"MCPJ"
VERSION = 1
_SEGMENT = struct.Struct("<4sHHQQQ")
_CRC = struct.Struct("<I")
SEGMENT_BYTES = _SEGMENT.size + _CRC.size

SYNC = b"CPJM"
_FRAME = struct.Struct("<4sII")
_INSIDE = struct.Struct("<BBHQ")
FRAME_BYTES = _FRAME.size + _INSIDE.size


class Type(IntEnum):
    """What a frame says."""

    STARTED = 1
    FINISHED = 2
    CARRIED = 3
    """A STARTED that stood in a segment which is gone, of a call that is still open."""
    SEALED = 4
    """The journal ended properly."""


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """`serial` orders the segments of a journal; `opened_us`: microseconds since the Unix epoch."""

    journal_id: int
    serial: int
    opened_us: int


@dataclass(frozen=True, slots=True)
class Frame:
    """`at` is its offset in the segment."""

    number: int
    type: Type
    body: bytes
    at: int = 0

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return FRAME_BYTES + len(self.body)


@dataclass(frozen=True, slots=True)
class Damage:
    """The bytes from `start` to `end` are neither frames nor unused; `torn` when nothing follows them."""

    start: int
    end: int
    torn: bool


def encode_header(header: SegmentHeader) -> bytes:
    """The first bytes of a segment."""
    told = _SEGMENT.pack(MAGIC, VERSION, 0, header.journal_id, header.serial, header.opened_us)
    return told + _CRC.pack(crc32(told))


def decode_header(text: bytes) -> SegmentHeader | None:
    """None when these are not the first bytes of a segment of this version, whole."""
    told = text[: _SEGMENT.size]
    if len(text) < SEGMENT_BYTES or text[_SEGMENT.size : SEGMENT_BYTES] != _CRC.pack(crc32(told)):
        return None
    magic, version, _, journal_id, serial, opened_us = _SEGMENT.unpack(told)
    return SegmentHeader(journal_id, serial, opened_us) if (magic, version) == (MAGIC, VERSION) else None


def encode(journal_id: int, number: int, type: Type, body: bytes, kind: int = 1) -> bytes:
    """One frame; `kind` 1 is a call of an MCP server."""
    inside = _INSIDE.pack(type, kind, 0, number)
    return _FRAME.pack(SYNC, len(body), _crc(journal_id, inside, body)) + inside + body


def scan(journal_id: int, text: bytes, start: int = 0) -> Iterator[Frame | Damage]:
    """Every frame of `text` from the offset `start` on, in order, and what is damaged between and after them."""
    at, last = start, 0
    while at < len(text):
        frame = _frame(journal_id, text, at, last)
        if frame is None:
            following = _next(journal_id, text, at + 1, last)
            end = len(text) if following is None else following
            used = len(text[at:end].rstrip(b"\0"))
            if used:
                yield Damage(at, at + used if following is None else end, torn=following is None)
            at = end
        else:
            yield frame
            at, last = at + frame.size, frame.number


def _frame(journal_id: int, text: bytes, at: int, last: int) -> Frame | None:
    body = at + FRAME_BYTES
    if body > len(text):
        return None
    sync, length, crc = _FRAME.unpack_from(text, at)
    if sync != SYNC or body + length > len(text):
        return None
    inside = text[at + _FRAME.size : body]
    kind, _, _, number = _INSIDE.unpack(inside)
    if number <= last or kind not in _TYPES:
        return None
    whole = text[body : body + length]
    return Frame(number, Type(kind), whole, at) if _crc(journal_id, inside, whole) == crc else None


def _next(journal_id: int, text: bytes, at: int, last: int) -> int | None:
    """Where the next whole frame begins."""
    while (at := text.find(SYNC, at)) >= 0:
        if _frame(journal_id, text, at, last) is not None:
            return at
        at += 1
    return None


def _crc(journal_id: int, inside: bytes, body: bytes) -> int:
    return crc32(body, crc32(inside, crc32(_CRC.pack(len(body)), journal_id & 0xFFFFFFFF)))


_TYPES = frozenset(Type)
