"""The real gateway, with a server that works, one that is gone, and one that comes and goes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from tests.support.process import Served, served

CONFIG = """\
listen: {{port: 0}}
database: {{url: "sqlite:///mcp_chat.db"}}
health: {{interval: 1, timeout: 10, rise: 1, fall: 1}}
lifecycle: {{reload_interval: 0.1}}
servers:
  time: {{command: mcp-server-time, args: ["--local-timezone=UTC"]}}
  gone: {{url: "http://127.0.0.1:9/mcp"}}
  shy: {{url: "http://127.0.0.1:9/mcp", maintenance: {maintenance}}}
"""
HEADERS = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
ROUNDS_PER_RELOAD = 10


class RealGateway:
    """A gateway in a process of its own, kept busy over its doors."""

    silent: Mapping[str, str] = {
        "Sessions opened again": "no server forgot a session of ours",
        "Dropped": "every frame had a reader, and every line was a message",
    }

    def __init__(self, running: Served, session: aiohttp.ClientSession) -> None:
        self.address = urlsplit(running.url).netloc
        self._running = running
        self._session = session
        self._rounds = count()

    async def traffic(self) -> None:
        if (number := next(self._rounds)) % ROUNDS_PER_RELOAD == 0:
            maintenance = "true" if number // ROUNDS_PER_RELOAD % 2 else "false"
            text = CONFIG.format(maintenance=maintenance)
            await asyncio.to_thread(self._running.config.write_text, text, encoding="utf-8")
        await asyncio.gather(
            self._call(self._running.url, "time__get_current_time", {"timezone": "UTC"}),
            self._call(self._running.url, "time__get_current_time", {"timezone": "Nowhere"}),
            self._call(self._running.door("gone"), "anything", {}),
            self._post(self._running.url, b"no JSON"),
            self._post(self._running.url.removesuffix("/mcp") + "/api/tool-calls", b"{}"),
        )

    async def _call(self, url: str, tool: str, arguments: Mapping[str, str]) -> None:
        params = {"name": tool, "arguments": arguments}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        await self._post(url, json.dumps(message).encode())

    async def _post(self, url: str, body: bytes) -> None:
        headers = {**HEADERS, "Content-Type": "application/json"}
        async with self._session.post(url, data=body, headers=headers) as response:
            await response.read()


@asynccontextmanager
async def real_gateway(folder: Path) -> AsyncIterator[RealGateway]:
    """Serve until the context ends."""
    with served(CONFIG.format(maintenance="false"), folder) as running:
        async with aiohttp.ClientSession() as session:
            yield RealGateway(running, session)
