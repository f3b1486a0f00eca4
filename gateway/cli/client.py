"""A small MCP client over Streamable HTTP, in both eras: what `mcp-gateway call` needs and no more.

Which question: how does a command ask the running gateway? Touches one HTTP endpoint. The rule: a request ends in a
result, or in an exception whose message tells the user what to do; no input is offered, so a server cannot ask back.

MCP 2026-07-28 `basic/transports/streamable-http`; MCP 2025-11-25 `basic/lifecycle`, `basic/transports`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import aiohttp
import msgspec
from msgspec import Raw

from gateway import __version__
from gateway.cli.failures import Failed
from gateway.cli.invocation import program
from gateway.cli.rendering import value_of
from gateway.protocol import headers, jsonrpc, sse, texts
from gateway.protocol.jsonrpc import Malformed, Message, MessageKind
from gateway.protocol.meta import CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL, PROGRESS_TOKEN, PROTOCOL_VERSION
from gateway.protocol.versions import LEGACY_VERSIONS, MODERN_VERSIONS, Era

CLIENT = {"name": "mcp-gateway-call", "version": __version__}
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
SESSION = "Mcp-Session-Id"
METHOD_NOT_FOUND = -32601
GOODBYE_SECONDS = 2.0
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
LONGEST_EVENT = 67_108_864
"""Bytes of one message of a stream at most."""
SHOWN_LOGS = "info"
"""The least severe log messages that a server is asked for."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to ask, and the API key to show there."""

    url: str
    key: str | None = None


class Refused(Exception):
    """The answer is a JSON-RPC error; `data` is its decoded `data`."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class Client(Protocol):
    """One conversation with an endpoint."""

    async def request(
        self, method: str, params: Mapping[str, object], routing: Mapping[str, str] = NO_HEADERS
    ) -> bytes:
        """The JSON text of the result. `routing` are headers that repeat parts of the body, which a legacy endpoint
        is not sent. Raises Refused, or Failed when there is no usable answer.
        """


Hear = Callable[[Message], None]
"""Takes the notifications that precede an answer."""


@asynccontextmanager
async def connected(target: Target, era: Era, hear: Hear) -> AsyncIterator[Client]:
    """A conversation in `era`; a legacy one opens a session and ends it."""
    authorization = {} if target.key is None else {"Authorization": f"Bearer {target.key}"}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    async with aiohttp.ClientSession(headers=ACCEPT | authorization, timeout=timeout) as http:
        wire = _Wire(http, target.url, hear)
        if era is Era.MODERN:
            yield _Modern(wire)
            return
        client = _Legacy(wire)
        await client.open()
        try:
            yield client
        finally:
            await client.close()


class _Modern:
    """MCP 2026-07-28: every request stands alone."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        self._numbers = itertools.count(1)

    async def request(
        self, method: str, params: Mapping[str, object], routing: Mapping[str, str] = NO_HEADERS
    ) -> bytes:
        version, number = MODERN_VERSIONS[-1], next(self._numbers)
        meta = {
            PROTOCOL_VERSION: version,
            CLIENT_CAPABILITIES: {},
            CLIENT_INFO: CLIENT,
            LOG_LEVEL: SHOWN_LOGS,
            PROGRESS_TOKEN: number,
        }
        body = _request(number, method, {**params, "_meta": meta})
        said = {headers.PROTOCOL_VERSION: version, headers.METHOD: method, **routing}
        answer, _ = await self._wire.exchange(body, said)
        return answer


class _Legacy:
    """MCP 2025-11-25: a handshake, and a session around the requests."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        self._numbers = itertools.count(1)
        self._session: dict[str, str] = {}

    async def open(self) -> None:
        """Agree on a version."""
        params = {"protocolVersion": LEGACY_VERSIONS[-1], "capabilities": {}, "clientInfo": CLIENT}
        answer, head = await self._wire.exchange(_request(next(self._numbers), "initialize", params), {})
        agreed = texts.string(texts.members(answer).get("protocolVersion", b"null"))
        if agreed not in LEGACY_VERSIONS:
            raise Failed(f"the endpoint speaks version {agreed} of the protocol, this command {LEGACY_VERSIONS[-1]}")
        self._session = {headers.PROTOCOL_VERSION: agreed}
        if (session := head.get(SESSION)) is not None:
            self._session[SESSION] = session
        await self._wire.notify(jsonrpc.notification("notifications/initialized", None), self._session)

    async def request(
        self, method: str, params: Mapping[str, object], routing: Mapping[str, str] = NO_HEADERS
    ) -> bytes:
        number = next(self._numbers)
        body = _request(number, method, {**params, "_meta": {PROGRESS_TOKEN: number}})
        answer, _ = await self._wire.exchange(body, self._session)
        return answer

    async def close(self) -> None:
        """End the session, which also ends whatever still runs in it. Best effort: it would also end by itself."""
        if SESSION in self._session:
            with contextlib.suppress(Failed, TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await self._wire.delete(self._session)


class _Wire:
    """POSTs messages to one URL and reads what comes back, as JSON or as a stream."""

    def __init__(self, http: aiohttp.ClientSession, url: str, hear: Hear) -> None:
        self._http = http
        self._url = url
        self._hear = hear

    async def exchange(self, body: bytes, extra: Mapping[str, str]) -> tuple[bytes, Mapping[str, str]]:
        """The result's JSON text and the headers it came with."""
        async with self._answered("POST", extra, body) as response, aclosing(self._messages(response)) as messages:
            async for message in messages:
                if message.kind is MessageKind.RESULT and message.body is not None:
                    return bytes(message.body), response.headers
                if message.kind is MessageKind.ERROR and message.body is not None:
                    raise _refusal(message.body, response.status)
                await self._aside(message, extra)
            raise Failed(f"{self._url} answered {response.status} {response.reason}, but sent no answer to the request")

    async def notify(self, body: bytes, extra: Mapping[str, str]) -> None:
        """Send what has no answer."""
        async with self._answered("POST", extra, body):
            pass

    async def delete(self, extra: Mapping[str, str]) -> None:
        """End the session; a server may not allow it (405), which is no failure."""
        async with self._answered("DELETE", extra):
            pass

    @asynccontextmanager
    async def _answered(
        self, method: str, extra: Mapping[str, str], body: bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._http.request(method, self._url, data=body, headers=extra) as response:
                yield response
        except aiohttp.ClientConnectorError as error:
            raise Failed(
                f"nothing answers at {self._url}; start the gateway with `make run` or "
                f"`{program()} serve --config config.yaml`, or name another with --url"
            ) from error
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise Failed(
                f"{self._url!r} is no URL of an MCP endpoint; it looks like http://127.0.0.1:8080/mcp"
            ) from error
        except aiohttp.ClientError as error:
            raise Failed(f"the connection to {self._url} broke: {error}") from error

    async def _messages(self, response: aiohttp.ClientResponse) -> AsyncGenerator[Message, None]:
        if response.status == 401:
            raise Failed(f"{self._url} wants an API key: --key or the environment variable MCP_GATEWAY_KEY")
        try:
            if response.content_type == "text/event-stream":
                events = sse.EventParser(LONGEST_EVENT)
                async for chunk in response.content.iter_any():
                    for event in events.feed(chunk):
                        if event.data:
                            yield jsonrpc.parse(event.data)
            elif response.content_type == "application/json":
                yield jsonrpc.parse(await response.read())
        except Malformed as error:
            raise Failed(f"{self._url} sent what is no JSON-RPC message: {error.message}") from error
        except sse.EventTooLarge as error:
            raise Failed(f"{self._url}: {error}") from error

    async def _aside(self, message: Message, extra: Mapping[str, str]) -> None:
        """Whatever precedes the answer: a notification is heard, a legacy server's request is answered at once."""
        if message.kind is MessageKind.NOTIFICATION:
            self._hear(message)
        elif message.kind is MessageKind.REQUEST and message.id is not None:
            await self.notify(_reply(message.id, message.method), extra)


def _request(number: int, method: str, params: Mapping[str, object]) -> bytes:
    return jsonrpc.request(number, method, msgspec.json.encode(params))


def _reply(id: Raw, method: str) -> bytes:
    """`ping` is answered; nothing else was offered (MCP 2025-11-25 `basic/utilities/ping`)."""
    if method == "ping":
        return jsonrpc.result(id, b"{}")
    return jsonrpc.error(id, METHOD_NOT_FOUND, "Method not found")


def _refusal(body: Raw, status: int) -> Exception:
    match value_of(bytes(body)):
        case {"code": int(code), "message": str(message), **rest}:
            return Refused(code, message, rest.get("data"))
    return Failed(f"the answer (HTTP {status}) is an error without a code or a message")
