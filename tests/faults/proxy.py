"""A wire between the gateway and its database that fails on demand."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import Enum
from typing import Self

from storage.tasks import Tasks


class Mode(Enum):
    PASS = "pass"
    REFUSE = "connections are reset at once"
    SILENT = "connections are taken, and nothing more is ever said"


class Proxy:
    """Passes bytes to `port` on loopback; `url_of` puts it in place of the server in a URL."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._mode = Mode.PASS
        self._tasks = Tasks("proxy")
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await self._tasks.close()

    def become(self, mode: Mode) -> None:
        """From now on; what is open is cut, or goes silent."""
        self._mode = mode
        if mode is not Mode.SILENT:
            self.cut()

    def cut(self) -> None:
        """Break what is open."""
        for writer in tuple(self._open):
            writer.transport.abort()

    def url_of(self, url: str) -> str:
        return url.replace(f":{self._target}/", f":{self.port}/")

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if self._mode is Mode.PASS:
                await self._relay(reader, writer)
            elif self._mode is Mode.SILENT:
                await reader.read()
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            return
        self._open.add(server)
        back = self._tasks.spawn(self._pump(server_reader, writer), "pump")
        try:
            await self._pump(reader, server)
        finally:
            back.cancel()
            self._open.discard(server)
            server.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await source.read(65_536):
                if self._mode is Mode.SILENT:
                    continue
                target.write(piece)
                await target.drain()
        target.transport.abort()
