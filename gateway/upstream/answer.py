"""The answer to one POST, read message by message.

Which question: what does the server say next, and is there an answer at all? Touches one HTTP response. The rule:
every wait has a bound; of the responses that a server may send, only the one with our id is ours.

A legacy server may close its stream early, after events with ids: the rest is fetched with GET and `Last-Event-ID`
(MCP 2025-11-25 `basic/transports`, Resumability and Redelivery).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Self

import aiohttp
import msgspec
from msgspec import Raw
from yarl import URL

from gateway.errors import GatewayError, Kind
from gateway.protocol.jsonrpc import PARSE_ERROR, Malformed, Message, MessageKind
from gateway.upstream.body import JSON, STREAM, BodyReader
from gateway.upstream.connection import failure
from gateway.upstream.exchange import Dropped, Head, OnDropped, RefusedByStatus, WireRequest
from gateway.upstream.pace import LONGEST_RETRY
from gateway.upstream.unpack import too_large
from gateway.upstream.waits import PausedWait, Wait, Waits

_RETRY = 1.0
"""Seconds before a closed stream is fetched again, where the server names none."""
SHORTEST_RETRY = 0.25
"""Seconds; a server that asks for less would have us ask it all the time."""
FRUITLESS_RESUMES = 20
"""Resumes in a row that brought no new event, after which the stream counts as ended."""

_RESPONSES = (MessageKind.RESULT, MessageKind.ERROR)
_NOTHING = frozenset({HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT})
_MOVED = frozenset({301, 302, 303, 307, 308})
_ERROR_BYTES = 65_536
_ERROR_SECONDS = 5.0
_EXCERPT = 200

Resume = Callable[[str], Awaitable[aiohttp.ClientResponse]]
"""Fetches the rest of a stream, after the event with this id."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How answers of one server are read: `limit` bytes a message, `idle` seconds between two; `secrets` are words
    that no error repeats.
    """

    limit: int
    idle: float
    waits: Waits
    on_dropped: OnDropped
    secrets: frozenset[str]


class HttpExchange:
    """One request's life over HTTP."""

    def __init__(
        self, response: aiohttp.ClientResponse, request: WireRequest, reading: Reading, resume: Resume
    ) -> None:
        self.head: Head | None = head_of(response)
        self.complete = False
        self._id = Raw(str(request.id).encode())
        self._patience = request.pause
        self._lasting = request.lasting
        self._idle = None if request.lasting else reading.idle
        self._on_pause = request.on_pause
        self._reading = reading
        self._resume = resume
        self._ready: deque[Message] = deque()
        self._last_event = ""
        self._resumed_at = ""
        self._fruitless = 0
        self._retry: int | None = None
        self._broken = False
        self._wait: Wait | PausedWait | None = None
        self._moved = False
        """The stream was fetched again, and had moved on: its server is not silent, though it says nothing."""
        self.response = response
        """The HTTP response that is being read."""
        self._opened: BodyReader | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        if self.complete:
            raise StopAsyncIteration
        while not self._ready:
            self._moved = False
            self._wait = self._reading.waits.within(self._idle, self._late, self._patience)
            async with self._wait:
                while not (self._ready or self._moved):
                    await self._read()
        message = self._ready.popleft()
        self.complete = message.kind in _RESPONSES
        return message

    @property
    def _body(self) -> BodyReader:
        """Opened at the first byte, and not for a refusal: its coding, or its size, may be beyond us."""
        if self._opened is None:
            on_malformed = self._dropped if self._lasting else None
            self._opened = body_of(self.response, self._reading.limit, on_malformed)
        return self._opened

    def _dropped(self, error: Malformed) -> None:
        """A stream that lasts for days is worth more than one event of it."""
        self._reading.on_dropped(Dropped.NOT_JSON if error.code == PARSE_ERROR else Dropped.NOT_A_MESSAGE)

    async def _read(self) -> None:
        """Take in the next piece of the answer, whatever it is."""
        if self.response.status in _NOTHING:
            message = f"the server answered a request with {self.response.status}: it will not answer"
            raise GatewayError(Kind.SERVER_PROTOCOL, message, reason="no_answer")
        if not is_success(self.response):
            self._ready.append(self._addressed(await refusal(self.response, self._reading)))
            return
        body = self._body
        chunk = await self._chunk()
        self._take(body.feed(chunk) if chunk else body.end())
        if not chunk and not self._ready:
            await self._go_on()

    async def _chunk(self) -> bytes:
        """Some bytes; none at the end, and none where a stream broke that can be fetched again."""
        try:
            return await self.response.content.readany()
        except aiohttp.ClientError as error:
            if not self._last_event:
                raise failure(error, self.response.url) from error
            self._broken = True
            return b""

    def _take(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if message.kind not in _RESPONSES:
                self._ready.append(message)
            elif self._is_ours(message):
                self._ready.append(self._addressed(message))
                break
            else:
                self._reading.on_dropped(Dropped.UNMATCHED)
        self._last_event = self._body.last_event_id or self._last_event
        self._retry = self._retry if self._body.retry is None else self._body.retry

    def _is_ours(self, response: Message) -> bool:
        """An error without an id can only be about the one request that was posted."""
        return bytes(self._id if response.id is None else response.id) == bytes(self._id)

    def _addressed(self, response: Message) -> Message:
        return msgspec.structs.replace(response, id=self._id)

    async def _go_on(self) -> None:
        """The body is over without an answer: fetch the rest of the stream, if the server keeps it."""
        if not self._last_event:
            raise self._unanswered()
        self.response.close()
        if self._resumed_at == self._last_event and not self._patient:
            self._fruitless += 1
        else:
            self._resumed_at, self._fruitless, self._moved = self._last_event, 0, True
        if self._fruitless >= FRUITLESS_RESUMES:
            raise self._unanswered()
        await self._pause()
        response = await self._resume(self._last_event)
        if not is_success(response) or media_type(response) != STREAM:
            response.close()
            raise self._unanswered()
        self.response, self._opened = response, None

    @property
    def _patient(self) -> bool:
        """Nobody expects the server to say anything soon."""
        return self._idle is None or (self._patience is not None and self._patience.held)

    async def _pause(self) -> None:
        """Wait as long as the server wants, which is no silence of its. Where it said so and closed its stream by
        itself, whoever waits for us may do the same (MCP 2025-11-25 `basic/transports`, polling); a stream that broke
        is nobody's wish.
        """
        asked = None if self._retry is None else min(self._retry / 1_000, LONGEST_RETRY)
        if asked is not None and self._wait is not None:
            self._wait.grant(asked)
        if asked is not None and not self._broken:
            self._on_pause(round(asked * 1_000))
        self._broken = False
        await asyncio.sleep(_RETRY if asked is None else max(asked, SHORTEST_RETRY))

    def _unanswered(self) -> GatewayError:
        if self._body.is_stream or media_type(self.response) == STREAM:
            return GatewayError(
                Kind.SERVER_CLOSED, "the server ended its stream without an answer", reason="stream_ended"
            )
        return GatewayError(Kind.SERVER_PROTOCOL, "the server's answer holds no response to us", reason="no_answer")

    def _late(self) -> GatewayError:
        message = f"the server was silent for {self._reading.idle:g} s"
        return GatewayError(Kind.TIMEOUT, message, reason="idle")


async def refusal(response: aiohttp.ClientResponse, reading: Reading) -> Message:
    """The JSON-RPC error in the body of an answer that is no success, whatever its id: servers leave it out, write
    null, or invent one. Raises `RefusedByStatus` when there is none.
    """
    text = await _beginning(response)
    for message in _messages(response, text):
        if message.kind is MessageKind.ERROR:
            return message
    raise RefusedByStatus(head_of(response), _words(response, text, reading.secrets))


def head_of(response: aiohttp.ClientResponse) -> Head:
    """What the answer's headers say; of cookies the pairs alone (RFC 6265 §4.1.1)."""
    session_id = response.headers.get("Mcp-Session-Id")
    cookies = (cookie.partition(";")[0].strip() for cookie in response.headers.getall("Set-Cookie", ()))
    return Head(response.status, session_id, tuple(cookies))


def body_of(
    response: aiohttp.ClientResponse, limit: int, on_malformed: Callable[[Malformed], None] | None = None
) -> BodyReader:
    """A reader for the body. Raises `GatewayError` when it is announced to be too large."""
    if media_type(response) == JSON and (response.content_length or 0) > limit:
        raise too_large(limit)
    return BodyReader(media_type(response), response.headers.get("Content-Encoding", ""), limit, on_malformed)


def media_type(response: aiohttp.ClientResponse) -> str:
    """The type without its parameters; empty when the server named none."""
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def redirect_of(response: aiohttp.ClientResponse) -> URL | None:
    """Where a redirect leads. Do not show more of it than its origin: paths and queries may hold credentials."""
    location = response.headers.get("Location")
    if response.status not in _MOVED or location is None:
        return None
    try:
        target = response.url.join(URL(location))
    except ValueError:
        return None
    return target if target.absolute else None


def is_success(response: aiohttp.ClientResponse) -> bool:
    return 200 <= response.status < 300


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """The body of a refusal, as far as it is worth waiting for."""
    parts: list[bytes] = []
    with suppress(aiohttp.ClientError, TimeoutError):
        async with asyncio.timeout(_ERROR_SECONDS):
            while sum(map(len, parts)) < _ERROR_BYTES and (chunk := await response.content.readany()):
                parts.append(chunk)
    return b"".join(parts)


def _messages(response: aiohttp.ClientResponse, text: bytes) -> list[Message]:
    try:
        body = body_of(response, _ERROR_BYTES)
        return [*body.feed(text), *body.end()]
    except GatewayError:
        return []


def _words(response: aiohttp.ClientResponse, text: bytes, secrets: frozenset[str]) -> str:
    """One line: the status, and the beginning of what the server says about it, unless that is a page."""
    said = " ".join(text[:_ERROR_BYTES].decode("utf-8", "replace").split())
    for secret in secrets:
        said = said.replace(secret, "***")
    status = f"the server answered with HTTP status {response.status}"
    if (target := redirect_of(response)) is not None:
        return f"{status}, a redirect to {target.origin()}; write the final address into the server's url"
    return f"{status}: {said[:_EXCERPT]}" if said.isprintable() and said and not said.startswith("<") else status
