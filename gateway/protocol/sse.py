"""Server-sent events: read incrementally, written one line of data each.

Which question: where does an event end, whatever chunks it comes in? Pure. The rule: a line ends at LF, CR or CRLF
and at nothing else; memory is bounded by the limit given here; what is written holds exactly one event.

WHATWG HTML §9.2 (Server-sent events). Data stays bytes: whether it is UTF-8 is decided where the message is parsed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.protocol.texts import one_line

BOM = b"\xef\xbb\xbf"


class EventTooLarge(ValueError):
    """An event is larger than its limit. The stream cannot be read any further."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `id` is the last event id of the stream, which an event need not repeat; "" when there was none."""

    data: bytes
    name: str = "message"
    id: str = ""


class EventParser:
    """Reads one stream. `limit` bounds an event in bytes, the line under way included."""

    def __init__(self, limit: int) -> None:
        self.last_id = ""
        """What `Last-Event-ID` would say; it also moves with events that carry no data."""
        self.retry: int | None = None
        """How long to wait before coming back, in milliseconds."""
        self._limit = limit
        self._at_start = True
        self._after_cr = False
        self._line = bytearray()
        self._data = bytearray()
        self._name = b""
        self._id = ""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that `chunk` completes; to be read to the end. Raises `EventTooLarge`."""
        *ends, rest = self._cut(chunk)
        for end in ends:
            line = self._completed(end)
            if line:
                self._take(line)
            else:
                yield from self._dispatch()
        self._line += self._measured(rest)

    def _cut(self, chunk: bytes) -> list[bytes]:
        """`chunk` at its line ends; the LF of a CRLF may come in the next chunk."""
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk.split(b"\n")

    def _measured(self, part: bytes) -> bytes:
        if len(self._data) + len(self._line) + len(part) > self._limit:
            raise EventTooLarge(f"an event exceeds {self._limit} bytes")
        return part

    def _completed(self, end: bytes) -> bytes:
        """The line that `end` ends."""
        line = self._measured(end)
        if self._line:
            line = bytes(self._line + end)
            self._line.clear()
        if self._at_start:
            line = line.removeprefix(BOM)
            self._at_start = False
        return line

    def _take(self, line: bytes) -> None:
        colon = line.find(b":")
        value_at = colon + 2 if line[colon + 1 : colon + 2] == b" " else colon + 1
        field, value = (line[:colon], line[value_at:]) if colon >= 0 else (line, b"")
        match field:
            case b"data":
                self._data += value
                self._data += b"\n"
            case b"event":
                self._name = value
            case b"id" if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
            case b"retry" if value.isdigit() and len(value) < 19:
                self.retry = int(value)

    def _dispatch(self) -> Iterator[Event]:
        """A data field, even an empty one, makes an event."""
        self.last_id = self._id
        data, name = self._data, self._name.decode("utf-8", "replace")
        self._data, self._name = bytearray(), b""
        if data:
            yield Event(bytes(memoryview(data)[:-1]), name or "message", self.last_id)


def event(data: bytes, *, id: str | None = None, retry: int | None = None) -> bytes:
    """One event; `data`, a JSON text, loses its line breaks. Empty data primes the client with an `id` to come back
    with (MCP 2025-11-25 `basic/transports`); it is no message and gets no name.
    """
    if id is not None and any(end in id for end in "\r\n\0"):
        raise ValueError("an event id is one line without NUL")
    return b"".join(
        (
            b"" if id is None else b"id: %b\n" % id.encode(),
            b"" if retry is None else b"retry: %d\n" % retry,
            b"event: message\n" if data else b"",
            b"data: %b\n\n" % one_line(data),
        )
    )


def comment() -> bytes:
    """A line that keeps a silent stream alive and means nothing."""
    return b":\n\n"
