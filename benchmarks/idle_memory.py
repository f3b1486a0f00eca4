"""What sessions and streams that nobody uses cost, and whether they give it back.

    .venv/bin/python -m benchmarks.idle_memory [--sessions 1000] [--streams 500] [--rounds 3]

Each round opens sessions of 2025-11-25 that call a streaming tool once and are abandoned without DELETE, waits until
their time is over (15 seconds here, 30 minutes by default), then opens GET streams, holds them, and closes them. The
resident memory of the gateway's process, from /proc, is printed before, at the height of and after each; the first
round also warms caches, so the later ones count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import uvloop
from aiohttp import web

from benchmarks.relay import program
from tests.support.mcp_http import Asked, McpServer
from tests.support.process import free_port

VERSION = "2025-11-25"
HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": VERSION,
}
HELLO = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "idle", "version": "1"}}
SESSION_SECONDS = 15
PATIENCE = 120
HELD = re.compile(r"^mcp_gateway_sessions\{[^}]*\} (\S+)$", re.MULTILINE)
OPEN = re.compile(r"^mcp_gateway_streams_open (\S+)$", re.MULTILINE)
SIDE_BY_SIDE = 50


async def talk(asked: Asked) -> web.StreamResponse:
    """A stream of 10 kB."""
    await asked.say({"method": "notifications/message", "params": {"level": "info", "data": "x" * 10_000}})
    return await asked.end({"content": []})


class Measured:
    """A gateway process and its clients."""

    def __init__(self, http: aiohttp.ClientSession, url: str, pid: int) -> None:
        self._http = http
        self._url = url
        self._pid = pid

    @property
    def megabytes(self) -> float:
        """Resident."""
        status = Path(f"/proc/{self._pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1_024

    async def ready(self) -> None:
        """Wait until the gateway serves."""
        while True:
            try:
                return await self._session()
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)

    async def abandon(self, sessions: int) -> None:
        """Open sessions, each with a call that streams, and forget them."""
        places = asyncio.Semaphore(SIDE_BY_SIDE)

        async def one() -> None:
            async with places:
                await self._call(await self._session())

        await asyncio.gather(*(one() for _ in range(sessions)))

    async def hold(self, streams: int, stack: AsyncExitStack) -> None:
        """Open GET streams, each of a session of its own, until the stack ends."""
        for _ in range(streams):
            headers = {**HEADERS, "Mcp-Session-Id": await self._session()}
            answer = await stack.enter_async_context(self._http.get(self._url, headers=headers))
            await answer.content.readuntil(b"\n\n")

    async def idle(self) -> None:
        """Wait until the gateway holds no session on either side, and no stream."""
        metrics = self._url.replace("/mcp", "/metrics")
        async with asyncio.timeout(PATIENCE):
            while True:
                async with self._http.get(metrics) as answer:
                    text = await answer.text()
                if not any(map(float, HELD.findall(text) + OPEN.findall(text))):
                    return
                await asyncio.sleep(0.5)

    async def _session(self) -> str:
        message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO}
        async with self._http.post(self._url, json=message, headers=HEADERS) as answer:
            await answer.read()
            return answer.headers["Mcp-Session-Id"]

    async def _call(self, session: str) -> None:
        params = {"name": "demo__echo", "arguments": {}}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        headers = {**HEADERS, "Mcp-Session-Id": session}
        async with self._http.post(self._url, json=message, headers=headers) as answer:
            if answer.content_type != "text/event-stream" or '"result"' not in await answer.text():
                raise RuntimeError("the gateway answered something else")


async def measure(gateway: Measured, sessions: int, streams: int, rounds: int) -> None:
    print(f"{'MB resident':24}{'before':>10}{'height':>10}{'after':>10}")
    for number in range(1, rounds + 1):
        before = gateway.megabytes
        await gateway.abandon(sessions)
        height = gateway.megabytes
        await gateway.idle()
        row(f"{number}: {sessions} sessions", before, height, gateway.megabytes)
        before = gateway.megabytes
        async with AsyncExitStack() as stack:
            await gateway.hold(streams, stack)
            height = gateway.megabytes
        await gateway.idle()
        row(f"{number}: {streams} streams", before, height, gateway.megabytes)


def row(what: str, *figures: float) -> None:
    print(f"{what:24}" + "".join(f"{figure:10.1f}" for figure in figures), flush=True)


async def main(arguments: argparse.Namespace) -> None:
    port = free_port()
    connector = aiohttp.TCPConnector(limit=0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with McpServer(legacy=True) as server, aiohttp.ClientSession(connector=connector) as http:
            server.tools["echo"] = talk
            config = {
                "listen": {"port": port},
                "lifecycle": {"session_idle": SESSION_SECONDS},
                "servers": {"demo": {"url": server.url}},
            }
            (folder / "config.yaml").write_text(json.dumps(config))
            command = [sys.executable, "-m", "gateway", "serve", "--config", "config.yaml"]
            with program(command, folder) as pid:
                gateway = Measured(http, f"http://127.0.0.1:{port}/mcp", pid)
                await gateway.ready()
                await measure(gateway, arguments.sessions, arguments.streams, arguments.rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for option, default in (("sessions", 1_000), ("streams", 500), ("rounds", 3)):
        parser.add_argument(f"--{option}", type=int, default=default)
    uvloop.run(main(parser.parse_args()))
