"""One HTTP request on the wire, through aiohttp's client.

Which question: what became of the bytes that we sent to a server? The one room that knows aiohttp's client. The
rule: an error says `unsent` only when no byte of the request can have left; whoever leaves early takes the
connection along.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from yarl import URL

from gateway.errors import GatewayError, Kind

KEEP_ALIVE = 4.0
"""Seconds that an idle connection is kept: less than the 5 s after which uvicorn and Node close theirs."""

_KEEP_ALIVE_PROBES: Mapping[str, int] = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}

_READ_BYTES = 65_536
_FIRST_BYTES = 32_768


def client_session() -> aiohttp.ClientSession:
    """The one session of a process, for all servers. Call it inside the event loop; close it at the end.

    No limit on connections (a server's limits are its gate's, and a stream must not starve a call), no cookies, no
    proxies from the environment, no decompression, no headers of its own.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0, limit_per_host=0, keepalive_timeout=KEEP_ALIVE, socket_factory=_kept_alive
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        response_class=AbortingResponse,
        timeout=aiohttp.ClientTimeout(total=None),
        skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
        read_bufsize=_READ_BYTES,
        auto_decompress=False,
        trust_env=False,
    )


def _kept_alive(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket whose system finds out within about two minutes that the other side has gone without a word: streams
    may be silent for ever, and no clock of ours ends them.
    """
    family, kind, protocol, _, _ = address
    opened = socket.socket(family, kind, protocol)
    opened.setblocking(False)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE_PROBES.items():
        if (option := getattr(socket, name, None)) is not None:  # not every system has all three
            opened.setsockopt(socket.IPPROTO_TCP, option, value)
    return opened


class AbortingResponse(aiohttp.ClientResponse):
    """A response whose `close` drops what was not sent yet: a plain close waits for a server that does not read."""

    def close(self) -> None:
        connection = self.connection
        if connection is not None and connection.transport is not None:
            connection.transport.abort()
        super().close()


class Wire:
    """Sends requests to one server; `connect` is in seconds, `header_bytes` bounds the head of an answer."""

    def __init__(self, session: aiohttp.ClientSession, *, connect: float, header_bytes: int) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=connect)
        self._header_bytes = header_bytes

    async def send(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None
    ) -> aiohttp.ClientResponse:
        """Send a request and wait for the head of the answer, redirects included. Raises `GatewayError`."""
        outgoing = None if body is None else _Outgoing(body)
        if self._session.closed:
            raise _error(url, "closed", "the gateway is stopping", unsent=True)
        try:
            return await self._session.request(
                method,
                url,
                data=outgoing,
                headers=headers,
                allow_redirects=False,
                timeout=self._timeout,
                max_line_size=self._header_bytes,
                max_field_size=self._header_bytes,
            )
        except aiohttp.ClientError as error:
            raise failure(error, url, unsent=outgoing is not None and not outgoing.handed) from error
        except ValueError as error:
            message = f"{url.origin()}: a header of the request holds what no header can"
            raise GatewayError(Kind.INTERNAL, message, reason="header", unsent=True) from error


def failure(error: aiohttp.ClientError, url: URL, *, unsent: bool = False) -> GatewayError:
    """What an exception of aiohttp's client means. Of the URL, messages name the origin alone."""
    match error:
        case aiohttp.InvalidURL():
            return _error(url, "url", "the URL cannot be used", unsent=True)
        case aiohttp.ClientConnectorDNSError():
            return _error(url, "dns", "the host name is not known", unsent=True)
        case aiohttp.ClientConnectorCertificateError():
            return _error(url, "tls", f"the certificate is refused: {_verdict(error)}", unsent=True)
        case aiohttp.ClientSSLError():
            return _error(url, "tls", "the TLS handshake failed", unsent=True)
        case aiohttp.ConnectionTimeoutError():
            message = f"{url.origin()}: no connection in time"
            return GatewayError(Kind.TIMEOUT, message, reason="connect", unsent=True)
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            return _error(url, "refused", "connection refused", unsent=True)
        case aiohttp.ClientConnectorError():
            return _error(url, "unreachable", error.os_error.strerror or "no connection", unsent=True)
        case aiohttp.ClientResponseError():
            message = f"{url.origin()}: the head of the answer is no acceptable HTTP"
            return GatewayError(Kind.SERVER_PROTOCOL, message, reason="http")
        case aiohttp.ClientPayloadError():
            return _error(url, "truncated", "the answer was cut short")
    return _error(url, "disconnected", "the server closed the connection", unsent=unsent)


class _Outgoing(Payload):
    """A request's body. `handed` says whether any byte of the request may have left."""

    _autoclose = True

    def __init__(self, data: bytes) -> None:
        super().__init__(data, content_type="application/json")
        self._size = len(data)
        self.handed = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return bytes(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """The head leaves with the first write, which raises beforehand when the connection is closing already.

        The first write is small enough not to wait afterwards: nothing can go wrong between it and `handed`.
        """
        await writer.write(self._value[:_FIRST_BYTES])
        self.handed = True
        if len(self._value) > _FIRST_BYTES:
            await writer.write(memoryview(self._value)[_FIRST_BYTES:])

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await self.write(writer)


def _error(url: URL, reason: str, words: str, *, unsent: bool = False) -> GatewayError:
    return GatewayError(Kind.SERVER_CLOSED, f"{url.origin()}: {words}", reason=reason, unsent=unsent)


def _verdict(error: aiohttp.ClientConnectorCertificateError) -> str:
    return str(getattr(error.certificate_error, "verify_message", "") or "it does not match the host")
