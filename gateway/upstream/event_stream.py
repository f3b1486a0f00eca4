"""The stream that a client opens with GET: what a legacy server says outside any call.

Which question: what does the server say next? Touches one HTTP response. The rule: silence is no fault here, so no
clock ends the stream; a message that cannot be read costs itself alone.

MCP 2025-11-25 `basic/transports` (Listening for Messages from the Server, Resumability and Redelivery).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Self

import aiohttp

from gateway.errors import GatewayError, Kind
from gateway.protocol import results
from gateway.protocol.jsonrpc import PARSE_ERROR, Malformed, Message
from gateway.protocol.sse import EventParser, EventTooLarge
from gateway.upstream.answer import Reading, is_success, media_type, refusal
from gateway.upstream.body import STREAM
from gateway.upstream.connection import failure
from gateway.upstream.exchange import Dropped, RefusedByStatus
from gateway.upstream.inflate import Inflater
from gateway.upstream.refusals import Refusal
from gateway.upstream.unpack import messages, too_large


class NoStream(GatewayError):
    """SERVER_STATUS: the server answered GET with something else than a stream."""

    def __init__(self, refusal: Refusal) -> None:
        words = f"the server opens no stream: {refusal.status} {refusal.text[:200]}"
        super().__init__(Kind.SERVER_STATUS, words, reason=f"status_{refusal.status}")
        self.refusal = refusal


class EventStream:
    """Yields messages as they arrive, until the server ends the stream. Raises `GatewayError` when it breaks."""

    def __init__(self, response: aiohttp.ClientResponse, reading: Reading) -> None:
        self._response = response
        self._reading = reading
        self._inflater = Inflater(response.headers.get("Content-Encoding", ""))
        self._events = EventParser(reading.limit)
        self._ready: deque[Message] = deque()
        self._over = False

    @property
    def last_event_id(self) -> str:
        """What to come back with; empty where the server names none."""
        return self._events.last_id

    @property
    def retry(self) -> float | None:
        """Seconds after which the server wants to be asked again, where it says so."""
        return None if self._events.retry is None else self._events.retry / 1_000

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        while not self._ready:
            if self._over:
                raise StopAsyncIteration
            async with self._reading.waits.within(None, _never):
                await self._read()
        return self._ready.popleft()

    async def _read(self) -> None:
        try:
            chunk = await self._response.content.readany()
        except aiohttp.ClientError as error:
            raise failure(error, self._response.url) from error
        self._over = not chunk
        try:
            self._ready.extend(self._messages(chunk))
        except EventTooLarge:
            raise too_large(self._reading.limit) from None

    def _messages(self, chunk: bytes) -> Iterator[Message]:
        for piece in self._inflater.feed(chunk):
            for event in self._events.feed(piece):
                if event.data and event.name == "message":
                    yield from messages(event.data, self._malformed)

    def _malformed(self, error: Malformed) -> None:
        self._reading.on_dropped(Dropped.NOT_JSON if error.code == PARSE_ERROR else Dropped.NOT_A_MESSAGE)


async def stream_of(response: aiohttp.ClientResponse, reading: Reading) -> EventStream:
    """The stream in an answer to GET. Raises `NoStream`."""
    if not is_success(response):
        raise NoStream(await _refused(response, reading))
    if media_type(response) != STREAM:
        raise NoStream(Refusal(response.status, None, f"an answer of type {media_type(response)[:60]!r}"))
    return EventStream(response, reading)


async def _refused(response: aiohttp.ClientResponse, reading: Reading) -> Refusal:
    try:
        message = await refusal(response, reading)
    except RefusedByStatus as error:
        return Refusal(response.status, None, error.message)
    return Refusal(response.status, *results.error_head(message.body or b"{}"))


def _never() -> GatewayError:
    """Stands where a wait without a bound needs the error of its end."""
    return GatewayError(Kind.INTERNAL, "a stream has no time limit")
