"""The channel to a server with a URL: one POST for each message.

Which question: how does a request become an HTTP exchange, and what does its answer mean? Touches one origin. The
rule: a JSON-RPC error in the body counts at any status; no header goes up that nobody asked for.

MCP 2026-07-28 `basic/transports/streamable-http`, MCP 2025-11-25 `basic/transports`, RFC 9110.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from http import HTTPStatus

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from gateway import __version__
from gateway.errors import GatewayError, Kind
from gateway.protocol import results
from gateway.settings import Limits, Timeouts
from gateway.upstream.answer import HttpExchange, Reading, head_of, is_success, redirect_of, refusal
from gateway.upstream.connection import Wire, client_session
from gateway.upstream.event_stream import EventStream, stream_of
from gateway.upstream.exchange import OnDropped, RefusedByStatus, WireRequest, ignore
from gateway.upstream.waits import Waits, closed
from storage.tasks import Tasks

__all__ = ["HttpChannel", "client_session"]

log = logging.getLogger(__name__)

_OWN = {
    "Accept": "application/json, text/event-stream",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
}
_HOP = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers of one hop, and those that describe the body (RFC 9110 §7.6.1, §8)."""
_REFUSED = _HOP | {name.lower() for name in _OWN} | {"host"}

_REDIRECTS = frozenset({HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT})
_MOST_HOPS = 4
_LINGER_SECONDS = 0.25
_LINGER_BYTES = 65_536
_SECRET_LENGTH = 8


class HttpChannel:
    """Carries messages to the server at `url`; the configured `headers` go with each, under the message's own."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        headers: Mapping[str, str],
        limits: Limits,
        timeouts: Timeouts,
        on_dropped: OnDropped = ignore,
    ) -> None:
        self._url = URL(url).with_user(None)
        self._headers = CIMultiDict({"User-Agent": f"mcp-gateway/{__version__}", **_credentials(URL(url))})
        self._headers.update({name: value.strip() for name, value in headers.items() if name.lower() not in _HOP})
        self._headers.update(_OWN)
        self._first_byte = timeouts.first_byte
        self._wire = Wire(session, connect=timeouts.connect, header_bytes=limits.header_bytes)
        self._waits = Waits()
        self._reading = Reading(limits.response_bytes, timeouts.idle, self._waits, on_dropped, _secrets(self._headers))
        self._tasks = Tasks("http")

    def __repr__(self) -> str:
        return f"<HttpChannel {self._url.origin()}>"

    @asynccontextmanager
    async def exchange(self, request: WireRequest) -> AsyncIterator[HttpExchange]:
        """As `Channel.exchange`. Leaving early closes the connection, which the server sees at once."""
        response = await self._answered("POST", request.headers, request.body, self._wait(request))
        exchange: HttpExchange | None = None
        try:
            exchange = HttpExchange(response, request, self._reading, partial(self._resumed, request))
            yield exchange
        finally:
            self._leave(response if exchange is None else exchange.response, exchange is not None and exchange.complete)

    async def send(self, body: bytes, headers: Mapping[str, str]) -> None:
        """As `Channel.send`. A server says 202; what else it says is not read."""
        await self._accepted("POST", headers, body)

    async def delete(self, headers: Mapping[str, str]) -> None:
        """Send DELETE, which ends a session (MCP 2025-11-25 `basic/transports`). Raises `GatewayError`."""
        await self._accepted("DELETE", headers, None)

    @asynccontextmanager
    async def listen(self, headers: Mapping[str, str], last_event_id: str = "") -> AsyncIterator[EventStream]:
        """Open the stream on which a legacy server speaks outside any call; after the event with that id, if any.
        Raises `NoStream` and other `GatewayError`s.
        """
        resumed = {"Last-Event-ID": last_event_id} if last_event_id else {}
        wait = self._waits.within(self._first_byte, self._late)
        response = await self._answered("GET", {**headers, **resumed}, None, wait)
        try:
            yield await stream_of(response, self._reading)
        finally:
            response.close()

    async def close(self) -> None:
        """End the exchanges in flight. The session, which others use, stays open."""
        self._waits.end()
        await self._tasks.close()

    async def _accepted(self, method: str, headers: Mapping[str, str], body: bytes | None) -> None:
        response = await self._answered(method, headers, body, self._waits.within(self._first_byte, self._late))
        accepted = is_success(response)
        try:
            if not accepted:
                code, words = results.error_head((await refusal(response, self._reading)).body or b"{}")
                raise RefusedByStatus(head_of(response), f"the server refused: {words[:200]} ({code})")
        finally:
            self._leave(response, accepted)

    async def _answered(
        self, method: str, headers: Mapping[str, str], body: bytes | None, wait: AbstractAsyncContextManager[None]
    ) -> aiohttp.ClientResponse:
        """The head of the answer to a message, after redirects within the origin (RFC 9110 §15.4.8, §15.4.9)."""
        if self._waits.ended:
            raise closed(unsent=True)
        url = self._url
        composed = self._composed(headers)
        if body is None:
            del composed["Content-Type"]
        async with wait:
            for _ in range(_MOST_HOPS):
                response = await self._sent(method, url, composed, body)
                target = _redirected(response, url)
                if target is None:
                    return response
                response.close()
                url = target
        raise GatewayError(Kind.SERVER_PROTOCOL, f"{url.origin()} redirects in circles", reason="redirects")

    async def _sent(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None
    ) -> aiohttp.ClientResponse:
        """Send once; twice when the server closed an idle connection before anything was written to it."""
        try:
            return await self._wire.send(method, url, headers, body)
        except GatewayError as error:
            if not (error.unsent and error.reason == "disconnected"):
                raise
        return await self._wire.send(method, url, headers, body)

    async def _resumed(self, request: WireRequest, last_event_id: str) -> aiohttp.ClientResponse:
        headers = {**request.headers, "Last-Event-ID": last_event_id}
        return await self._answered("GET", headers, None, self._wait(request))

    def _wait(self, request: WireRequest) -> AbstractAsyncContextManager[None]:
        """The longest wait for the head of the answer."""
        return self._waits.within(None if request.lasting else self._first_byte, self._late, request.pause)

    def _leave(self, response: aiohttp.ClientResponse, complete: bool) -> None:
        """After a complete answer the connection may serve again, if the body ends soon."""
        if complete and not response.closed:
            lingering = self._tasks.spawn(_linger(response), "linger")
            lingering.add_done_callback(lambda _: response.close())
        else:
            response.close()

    def _composed(self, headers: Mapping[str, str]) -> CIMultiDict[str]:
        composed = self._headers.copy()
        for name, value in headers.items():
            if name.lower() not in _REFUSED:
                composed[name] = value
        return composed

    def _late(self) -> GatewayError:
        message = f"{self._url.origin()}: no answer within {self._first_byte:g} s"
        return GatewayError(Kind.TIMEOUT, message, reason="first_byte")


async def _linger(response: aiohttp.ClientResponse) -> None:
    """Read the little that follows an answer, so that the connection can be used again."""
    most = _LINGER_BYTES
    try:
        async with asyncio.timeout(_LINGER_SECONDS):
            while most > 0 and (chunk := await response.content.readany()):
                most -= len(chunk)
    except (aiohttp.ClientError, TimeoutError):
        log.debug("the server kept its stream open after the answer")


def _redirected(response: aiohttp.ClientResponse, url: URL) -> URL | None:
    """Where to send the message instead, if the server asks for that and stays the same server."""
    target = redirect_of(response) if response.status in _REDIRECTS else None
    return target if target is not None and target.origin() == url.origin() else None


def _credentials(url: URL) -> dict[str, str]:
    """What stands before the host in the URL, as a header (RFC 7617)."""
    if url.user is None and url.password is None:
        return {}
    return {"Authorization": aiohttp.encode_basic_auth(url.user or "", url.password or "")}


def _secrets(headers: Mapping[str, str]) -> frozenset[str]:
    """The words of configured headers that are long enough to be credentials."""
    return frozenset(
        word
        for name, value in headers.items()
        if name not in _OWN and name != "User-Agent"
        for word in value.split()
        if len(word) >= _SECRET_LENGTH
    )
