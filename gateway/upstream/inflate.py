"""Undoing a Content-Encoding that nobody asked for.

Which question: which bytes did the server compress? Pure. The rule: what comes out is handed on in small pieces, so
that whoever counts them can stop long before a bomb has unfolded.

We send `Accept-Encoding: identity`; some servers compress all the same (RFC 9110 §8.4, §12.5.3).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from gateway.errors import GatewayError, Kind

PIECE = 65_536

_ZLIB, _RAW, _GZIP = 15, -15, 31
_DEFLATED = 8


class Inflater:
    """Decompresses one body that arrives in chunks; `coding` is the value of Content-Encoding."""

    def __init__(self, coding: str) -> None:
        """Raises `GatewayError` (SERVER_PROTOCOL, reason `coding`) for a coding that we do not know."""
        self._coding = coding.strip().lower()
        if self._coding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise _unreadable(f"the server compressed its answer as {self._coding[:40]!r}, which nobody asked for")
        self._identity = self._coding in ("", "identity")
        self._inner: zlib._Decompress | None = None
        self._start = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The bytes behind `chunk`, in pieces of at most 64 KiB where they were compressed."""
        if self._identity:
            yield chunk
            return
        try:
            yield from self._inflate(self._start + chunk)
        except zlib.error as error:
            raise _unreadable(f"the server's {self._coding} answer is damaged") from error

    def end(self) -> None:
        """The body is over. Raises when it ended too soon."""
        if self._start or (self._inner is not None and not self._inner.eof):
            raise _unreadable(f"the server's {self._coding} answer is cut short")

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        if self._inner is None and len(data) < 2:
            self._start = data
            return
        self._start = b""
        inner = self._inner = self._inner or zlib.decompressobj(self._window(data))
        while not inner.eof:
            piece = inner.decompress(data, PIECE)
            data = inner.unconsumed_tail
            if piece:
                yield piece
            elif not data:
                break

    def _window(self, data: bytes) -> int:
        """`deflate` means the zlib format, and in practice often the raw one (RFC 9110 §8.4.1.2)."""
        if self._coding != "deflate":
            return _GZIP
        is_zlib = data[0] & 0x0F == _DEFLATED and int.from_bytes(data[:2]) % 31 == 0
        return _ZLIB if is_zlib else _RAW


def _unreadable(message: str) -> GatewayError:
    return GatewayError(Kind.SERVER_PROTOCOL, message, reason="coding")
