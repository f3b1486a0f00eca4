"""One HTTP answer, chosen late: JSON when the first frame is the answer, SSE when anything comes before it.

Which question: how does an exchange become bytes on this connection? Touches one aiohttp request. The rule: the
status is committed by the first frame, or after `patience` seconds of silence; a reader that stalls is cut. Event ids
are those of the stream that is followed; an answer that follows none has none.

MCP 2026-07-28 `basic/transports/streamable-http` §Sending Messages, MCP 2025-11-25 `basic/transports`; WHATWG HTML
§9.2 (event streams).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web
from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol import sse
from gateway.protocol.jsonrpc import Message
from gateway.sink import Answer, Label, Reader, Tell, cannot_be_asked
from storage.tasks import Tasks

PIECE_BYTES = 262_144
"""What is written at once; about what the buffers of a connection take."""


class Streams(Protocol):
    """Who counts open event streams."""

    def stream_opened(self) -> None: ...

    def stream_closed(self) -> None: ...


STREAM_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: of silence before an answer is committed as SSE, between comments on a silent stream, and that a
    client may leave its stream unread.
    """

    silence: float = 5.0
    comment: float = 15.0
    stalled: float = 30.0


class Reply(Reader):
    """A `Sink` that answers one aiohttp request; `at_once`, a GET, commits SSE before there is anything to say."""

    def __init__(
        self,
        request: web.Request,
        tasks: Tasks,
        patience: Patience,
        headers: Mapping[str, str],
        streams: Streams,
        *,
        at_once: bool = False,
    ) -> None:
        self._request = request
        self._streams = streams
        self._tasks = tasks
        self._patience = patience
        self._headers = headers
        self._at_once = at_once
        self._accepts_stream = accepts(request, "text/event-stream")
        self._label: Label | None = None
        self._first: int | None = None
        self._stream: web.StreamResponse | None = None
        self._response: web.StreamResponse | None = None
        self._writing = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._comments: asyncio.Task[None] | None = None
        self._finishing = asyncio.Event()
        self._cut = False
        if self._accepts_stream:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(patience.silence, self._lose_patience)

    @property
    def response(self) -> web.StreamResponse:
        """What the handler returns, once the exchange has finished."""
        if self._response is None:
            raise RuntimeError("the exchange has not finished")
        return self._response

    @property
    def status(self) -> int:
        return 0 if self._response is None else self._response.status

    async def send(self, frame: bytes) -> None:
        if self._accepts_stream:
            await self._write(sse.event(frame))

    async def ask(self, method: str, params: Raw | None, tell: Tell) -> Message:
        raise cannot_be_asked()

    def pause(self, retry: int) -> None:
        """What is followed by nobody cannot be come back to: its client waits."""

    async def finish(self, answer: Answer) -> None:
        await self._end(answer, None)

    async def follow(self, label: Label, first: int | None) -> bool:
        if not self._accepts_stream:
            return False
        self._label, self._first = label, first
        if self._at_once:
            await self._write(b"" if first is not None else sse.comment())
        return True

    async def event(self, number: int, frame: bytes) -> None:
        if self._accepts_stream:
            await self._write(self._numbered(number, frame))

    async def part(self, number: int, retry: int) -> None:
        """The id is said again, beside `retry`, since this is the last that the client hears here."""
        await self._write(self._numbered(number, b"", retry))
        await self._end(Answer(None), None)

    async def conclude(self, number: int, answer: Answer) -> None:
        await self._end(answer, number)

    async def _end(self, answer: Answer, number: int | None) -> None:
        await self._hush()
        if self._response is not None:
            return  # the reader was cut while it was being answered
        if self._stream is None:
            await self._finish_json(answer)
            return
        self._response = self._stream
        if self._cut:
            return
        if answer.body is not None:
            await self._write(sse.event(answer.body) if number is None else self._numbered(number, answer.body))
        await self._bounded(self._stream.write_eof())

    async def _finish_json(self, answer: Answer) -> None:
        headers = {**self._headers, **answer.headers}
        if answer.body is None or len(answer.body) <= PIECE_BYTES:
            media = None if answer.body is None else "application/json"
            self._response = web.Response(body=answer.body, status=answer.status, headers=headers, content_type=media)
            return
        self._response = stream = web.StreamResponse(status=answer.status, headers=headers)
        stream.content_type, stream.content_length = "application/json", len(answer.body)
        await self._bounded(stream.prepare(self._request))
        await self._pieces(stream, answer.body)
        await self._bounded(stream.write_eof())

    def leave(self) -> None:
        """The handler is done, whether or not the exchange has finished here; called once."""
        if self._stream is not None:
            self._streams.stream_closed()
        if self._timer is not None:
            self._timer.cancel()
        if self._comments is not None:
            self._comments.cancel()

    async def _write(self, data: bytes) -> None:
        async with self._writing:
            if self._stream is None:
                self._stream = await self._commit()
                data = self._primer() + data
            await self._pieces(self._stream, data)

    def _primer(self) -> bytes:
        """Gives the client an id to come back with before there is an event (MCP 2025-11-25)."""
        return b"" if self._first is None else self._numbered(self._first, b"")

    def _numbered(self, number: int, data: bytes, retry: int | None = None) -> bytes:
        return sse.event(data, id=None if self._label is None else self._label(number), retry=retry)

    async def _pieces(self, stream: web.StreamResponse, data: bytes) -> None:
        """Write piece by piece: a reader that is slow gets its time for each, one that stalls is noticed."""
        for start in range(0, len(data), PIECE_BYTES):
            await self._bounded(stream.write(data[start : start + PIECE_BYTES]))

    async def _commit(self) -> web.StreamResponse:
        stream = web.StreamResponse(headers={**STREAM_HEADERS, **self._headers})
        stream.content_type = "text/event-stream"
        await self._bounded(stream.prepare(self._request))
        self._streams.stream_opened()
        return stream

    async def _bounded(self, write: Awaitable[object]) -> None:
        try:
            async with asyncio.timeout(self._patience.stalled):
                await write
        except (TimeoutError, ConnectionError) as error:
            self._cut = True
            if self._request.transport is not None:
                self._request.transport.abort()
            raise GatewayError(Kind.ABANDONED, "the client stopped reading its stream", reason="stalled") from error

    def _lose_patience(self) -> None:
        self._comments = self._tasks.spawn(self._comment_for_ever(), "keep-alive")

    async def _comment_for_ever(self) -> None:
        try:
            while not self._finishing.is_set():
                await self._write(sse.comment())
                await self._finishing_within(self._patience.comment)
        except GatewayError:
            return  # the exchange hears of it at its own next write

    async def _finishing_within(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._finishing.wait()

    async def _hush(self) -> None:
        """End the comments without cutting one in two: a half-written head could not be mended."""
        self._finishing.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._comments is not None:
            await self._comments


def accepts(request: web.Request, media: str) -> bool:
    """Whether the client takes this media type; no Accept header means anything (RFC 9110 §12.5.1)."""
    accept = request.headers.get("Accept")
    if accept is None:
        return True
    wanted = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return bool(wanted & {media, f"{media.partition('/')[0]}/*", "*/*"})
