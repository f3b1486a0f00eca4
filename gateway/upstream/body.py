"""From the bytes of an HTTP answer's body to the messages in it.

Which question: what did the server say, whatever it called it? Pure. The rule: what arrives is measured before it
is kept, decompressed bytes included; a label is believed only as far as the first bytes agree.

MCP `basic/transports` (Streamable HTTP): one JSON object, or a stream of events with a message in each. Servers
mislabel either as the other; the beginning tells them apart, since no event line that means anything starts with
`{` and no JSON text starts with a field name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum

from gateway.errors import GatewayError, Kind
from gateway.protocol.jsonrpc import Malformed, Message
from gateway.protocol.sse import BOM, EventParser, EventTooLarge
from gateway.upstream.exchange import ignore
from gateway.upstream.inflate import Inflater
from gateway.upstream.unpack import malformed, messages, too_large

JSON, STREAM = "application/json", "text/event-stream"

_FIELDS = (b":", b"data", b"event", b"id", b"retry")
_ENOUGH = 5
"""Bytes that tell every field name from other words."""


class _Form(Enum):
    JSON = "json"
    STREAM = "stream"


class BodyReader:
    """Reads one body. `media_type` and `coding` are what the headers say; `limit` is in bytes, for one message.
    `on_malformed` hears of events that are no messages; without it the first of them is the end.

    Every verb raises `GatewayError`: SERVER_PROTOCOL, ANSWER_TOO_LARGE.
    """

    def __init__(
        self, media_type: str, coding: str, limit: int, on_malformed: Callable[[Malformed], None] | None = None
    ) -> None:
        self._on_malformed = on_malformed or self._refuse
        self._media_type = media_type
        self._inflater = Inflater(coding)
        self._limit = limit
        self._form: _Form | None = None
        self._start = b""
        self._json: list[bytes] = []
        self._json_bytes = 0
        self._events = EventParser(limit)

    @property
    def is_stream(self) -> bool:
        return self._form is _Form.STREAM

    @property
    def last_event_id(self) -> str:
        """Of a stream; empty when it names none."""
        return self._events.last_id

    @property
    def retry(self) -> int | None:
        """Milliseconds after which a stream wants to be fetched again, where it says so."""
        return self._events.retry

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """The messages that `chunk` completes."""
        for piece in self._inflater.feed(chunk):
            known = piece if self._form is not None else self._begin(piece)
            if self._form is _Form.STREAM:
                yield from self._stream(known, self._on_malformed)
            elif self._form is _Form.JSON:
                self._keep(known)

    def end(self) -> Iterator[Message]:
        """The messages that the end of the body completes."""
        self._inflater.end()
        if self._form is _Form.STREAM:
            yield from self._stream(b"\n\n", ignore)
        elif text := b"".join((*self._json, self._start)):
            self._believe_label()
            yield from messages(text, self._refuse)

    def _begin(self, piece: bytes) -> bytes:
        """All that has come so far, once it tells the form; nothing before."""
        self._start = (self._start + piece).lstrip(b" \t\r\n")
        self._form = self._told(self._start.removeprefix(BOM))
        if self._form is None:
            return b""
        known, self._start = self._start, b""
        return known

    def _told(self, start: bytes) -> _Form | None:
        if start.startswith((b"{", b"[")):
            return _Form.JSON
        if start and self._media_type == STREAM:
            return _Form.STREAM
        if len(start) < _ENOUGH:
            return None
        if start.startswith(_FIELDS) and self._media_type in (JSON, ""):
            return _Form.STREAM
        self._believe_label()
        return _Form.JSON

    def _keep(self, piece: bytes) -> None:
        self._json_bytes += len(piece)
        if self._json_bytes > self._limit:
            raise too_large(self._limit)
        self._json.append(piece)

    def _stream(self, piece: bytes, on_malformed: Callable[[Malformed], None]) -> Iterator[Message]:
        try:
            for event in self._events.feed(piece):
                if event.data and event.name == "message":
                    yield from messages(event.data, on_malformed)
        except EventTooLarge:
            raise too_large(self._limit) from None

    def _believe_label(self) -> None:
        """Text that looks like nothing we know is what its label says."""
        if self._form is None and self._media_type not in (JSON, STREAM, ""):
            message = f"the server answered with {self._media_type[:60]}, not with JSON or an event stream"
            raise GatewayError(Kind.SERVER_PROTOCOL, message, reason="media_type")

    def _refuse(self, error: Malformed) -> None:
        raise malformed(error)
