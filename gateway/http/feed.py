"""A stream of JSON values on one HTTP answer: NDJSON, or server-sent events.

Which question: how do things that happen become bytes for whoever follows them? Touches one aiohttp request. The rule:
silence is broken by what readers skip, and a reader that stalls is cut.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Iterable, Mapping

from aiohttp import hdrs, web

from gateway.errors import GatewayError, Kind
from gateway.http.reply import STREAM_HEADERS, Patience
from gateway.protocol import sse

NDJSON, SSE = "application/x-ndjson", "text/event-stream"


class Feed:
    """Values as they come, a line or an event each; events where the client names them in `Accept`."""

    def __init__(self, request: web.Request, patience: Patience, headers: Mapping[str, str]) -> None:
        self._request = request
        self._patience = patience
        self._events = SSE in request.headers.get(hdrs.ACCEPT, "").lower()
        self._stream = web.StreamResponse(headers={**STREAM_HEADERS, **headers})
        self._stream.content_type = SSE if self._events else NDJSON
        self._last = -math.inf

    async def tell(self, values: Iterable[bytes]) -> None:
        """Write JSON texts of one line each; none keep the connection, now and then."""
        if not self._stream.prepared:
            await self._bounded(self._stream.prepare(self._request))
        if data := b"".join(map(self._framed, values)) or self._silence():
            self._last = time.monotonic()
            await self._bounded(self._stream.write(data))

    async def end(self) -> web.StreamResponse:
        """Nothing follows."""
        await self._bounded(self._stream.write_eof())
        return self._stream

    def _framed(self, text: bytes) -> bytes:
        return sse.event(text) if self._events else text + b"\n"

    def _silence(self) -> bytes:
        if time.monotonic() - self._last < self._patience.comment:
            return b""
        return sse.comment() if self._events else b"\n"

    async def _bounded(self, write: Awaitable[object]) -> None:
        """A reader that stalls is cut."""
        try:
            async with asyncio.timeout(self._patience.stalled):
                await write
        except (TimeoutError, ConnectionError) as error:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise GatewayError(Kind.ABANDONED, "the client stopped reading its stream", reason="stalled") from error
