"""A scriptable HTTP server on a real socket, which writes exactly the bytes that a test wants.

    async def script(call: Call) -> None:
        await call.answer(answer(call.body, b'{"content":[]}'))

    async with ScriptedServer(script) as server:
        channel = HttpChannel(session, server.url, …)
        …
        assert server.calls[0].header("Mcp-Method") == "tools/call"

The script runs once for each request, in the test's own event loop. A script that returns without an answer leaves
the client waiting until the server is left. What a script raises is raised again then.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Self

PATIENCE = 10.0
"""Seconds after which a wait in a test has failed."""

Script = Callable[["Call"], Awaitable[None]]
Headers = Sequence[tuple[str, str]]


def answer(request: bytes, result: bytes) -> bytes:
    """The response to `request`, with these exact bytes as its result."""
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (id_of(request), result)


def failure(request: bytes, code: int, message: str) -> bytes:
    """An error response to `request`."""
    error = json.dumps({"code": code, "message": message}).encode()
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (id_of(request), error)


def progress(token: int | bytes, done: int) -> bytes:
    """A progress notification."""
    text = b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%b,"progress":%d}}'
    return text % (token if isinstance(token, bytes) else str(token).encode(), done)


def id_of(request: bytes) -> bytes:
    """The id of a message, as JSON."""
    return json.dumps(json.loads(request)["id"]).encode()


def method_of(request: bytes) -> str:
    return str(json.loads(request)["method"])


class Call:
    """One HTTP request, and the means to answer it."""

    def __init__(self, head: bytes, body: bytes, connection: Connection) -> None:
        start, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        self.method, self.target, _ = start.split(" ")
        self.headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
        self.body = body
        self.connection = connection

    def header(self, name: str) -> str | None:
        """The value of a header; None when it was not sent."""
        return next((value for own, value in self.headers if own.lower() == name.lower()), None)

    async def answer(
        self, body: bytes = b"", status: int = 200, media_type: str | None = "application/json", headers: Headers = ()
    ) -> None:
        """A whole answer with a Content-Length."""
        labels = [("Content-Type", media_type)] if media_type is not None else []
        await self.raw(_head(status, [*labels, *headers, ("Content-Length", str(len(body)))]) + body)

    async def stream(self, headers: Headers = (), media_type: str = "text/event-stream") -> None:
        """The head of a chunked answer; `event`, `chunk` and `end` follow."""
        await self.raw(_head(200, [("Content-Type", media_type), *headers, ("Transfer-Encoding", "chunked")]))

    async def event(self, data: bytes, *, id: str | None = None, retry: int | None = None) -> None:
        """One event of a stream."""
        lines = [f"id: {id}"] if id is not None else []
        lines += [f"retry: {retry}"] if retry is not None else []
        await self.chunk("".join(f"{line}\n" for line in lines).encode() + b"data: " + data + b"\n\n")

    async def chunk(self, data: bytes) -> None:
        await self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        """The end of a chunked answer."""
        await self.raw(b"0\r\n\r\n")

    async def raw(self, data: bytes) -> None:
        """Bytes as they are. Raises `ConnectionError` when the client has left, which ends the script."""
        if self.connection.writer.is_closing():
            raise ConnectionResetError
        self.connection.writer.write(data)
        async with asyncio.timeout(PATIENCE):
            await self.connection.writer.drain()

    def close(self) -> None:
        """Close the connection politely."""
        self.connection.writer.close()

    def reset(self) -> None:
        """Break the connection."""
        own: socket.socket = self.connection.writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the client has closed the connection. It must send nothing more."""
        async with asyncio.timeout(PATIENCE):
            with suppress(ConnectionError):
                assert await self.connection.reader.read(1) == b""


class Connection:
    """One client connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def call(self) -> Call:
        head = await self.reader.readuntil(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        body = await self.reader.readexactly(int(lengths[0].partition(b":")[2])) if lengths else b""
        return Call(head, body, self)


class ScriptedServer:
    """Listens on a free port of 127.0.0.1; with `tls`, speaks HTTPS."""

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self._serving: dict[asyncio.Task[None], Connection] = {}
        self._news = asyncio.Condition()
        self._errors: list[BaseException] = []
        self.calls: list[Call] = []
        self.connections = 0
        """How many were ever accepted."""

    @property
    def origin(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        return f"{self.origin}/mcp"

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._serving)

    async def called(self, number: int) -> Call:
        """The request that came as `number`, from 0; waits for it."""
        await self._until(lambda: len(self.calls) > number)
        return self.calls[number]

    async def abandoned(self) -> None:
        """Wait until no connection is open."""
        await self._until(lambda: not self._serving)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._greet, "127.0.0.1", 0, ssl=self._tls, backlog=1_024)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in tuple(self._serving):
            task.cancel()
        await asyncio.gather(*tuple(self._serving), return_exceptions=True)
        await self._server.wait_closed()
        for error in self._errors:
            raise error

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving[task] = Connection(reader, writer)
        try:
            await self._serve(self._serving[task])
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except Exception as error:
            self._errors.append(error)
        finally:
            writer.close()
            del self._serving[task]
            async with self._news:
                self._news.notify_all()

    async def _serve(self, connection: Connection) -> None:
        while not connection.writer.is_closing():
            call = await connection.call()
            self.calls.append(call)
            async with self._news:
                self._news.notify_all()
            await self._script(call)

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(holds)


def _head(status: int, headers: Headers) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")
