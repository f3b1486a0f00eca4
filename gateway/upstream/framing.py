"""Lines out of chunks: how a pipe is cut into messages, and what is kept of a server's stderr.

Which question: where does a line end, and what if it never does? Pure. The rule: memory is bounded by the limits
given here, whatever arrives, and each byte is looked at once.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

_EDGE = 256
_VERSION = rb'(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?'
_OPENING = rb"\s*\{\s*" + _VERSION
_ID_THEN_BODY = re.compile(_OPENING + rb'"id"\s*:\s*(\d{1,18})\s*,\s*' + _VERSION + rb'"(?:result|error)"\s*:')
_BODY = re.compile(_OPENING + rb'"(?:result|error)"\s*:')
_ID_LAST = re.compile(rb',\s*"id"\s*:\s*(\d{1,18})\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*\Z')
_CALL = re.compile(_OPENING + rb'(?:"id"\s*:\s*[^,{}]{1,100},\s*' + _VERSION + rb')?"(?:method|params)"\s*:')


@dataclass(frozen=True, slots=True)
class Edges:
    """The first and the last bytes of a line that cannot be read, or was too long to be kept."""

    head: bytes
    tail: bytes

    @classmethod
    def of(cls, line: bytes) -> Edges:
        return cls(line[:_EDGE], line[-_EDGE:])

    @property
    def response_id(self) -> int | None:
        """The id of the response that this line was meant to be, where its edges tell.

        Servers write `id` before the result or after it; what matches at either edge is the message's own member.
        """
        found = _ID_THEN_BODY.match(self.head) or (_BODY.match(self.head) and _ID_LAST.search(self.tail))
        return int(found[1]) if found else None

    @property
    def may_be_response(self) -> bool:
        return _CALL.match(self.head) is None


class LineSplitter:
    """Cuts chunks at LF. `limit` is the longest line in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._head = b""
        self._edge = b""

    def feed(self, chunk: bytes) -> Iterator[bytes | Edges]:
        """The lines that `chunk` completes, without their LF; the edges of those beyond the limit."""
        first, *rest = chunk.split(b"\n")
        self._keep(first)
        for part in rest:
            yield self._take()
            self._keep(part)

    def end(self) -> bytes | Edges:
        """What stood after the last LF."""
        return self._take()

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= self._limit:
            self._parts.append(part)
            return
        if self._parts:
            self._head = self._edge = b"".join(self._parts)
            self._parts.clear()
        if len(self._head) < _EDGE:
            self._head += part[:_EDGE]
        self._head = self._head[:_EDGE]
        self._edge = (self._edge[-_EDGE:] + part)[-_EDGE:]

    def _take(self) -> bytes | Edges:
        if self._size <= self._limit:
            line: bytes | Edges = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        else:
            line = Edges(self._head, self._edge)
        self._parts.clear()
        self._size, self._head, self._edge = 0, b"", b""
        return line


class Tail:
    """The last lines of a stream of text, at most `lines` of `width` bytes each."""

    def __init__(self, lines: int = 64, width: int = 8_192) -> None:
        self._lines: deque[bytes] = deque(maxlen=lines)
        self._width = width
        self._open = b""

    def feed(self, chunk: bytes) -> None:
        first, *rest = chunk.split(b"\n")
        self._open += first[: self._width - len(self._open)]
        if rest:
            self._lines.append(self._open)
            self._lines.extend(part[: self._width] for part in rest[:-1])
            self._open = rest[-1][: self._width]

    @property
    def lines(self) -> tuple[str, ...]:
        """Oldest first, blank lines left out, the unfinished one included."""
        kept = (line.decode("utf-8", "replace").rstrip() for line in (*self._lines, self._open))
        return tuple(line for line in kept if line)
