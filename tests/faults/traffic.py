"""Load that remembers all: what clients sent and were answered, and what the server carried out.

Every call carries a number of its own, so that a row, an answer and an execution of one call can be found again.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from dataclasses import dataclass, field
from itertools import count, cycle
from typing import Any

import aiohttp

from storage.tasks import Tasks
from tests.support.doors import modern_request
from tests.support.mcp_http import Asked, McpServer, text

PATIENCE = 30.0
"""Seconds after which a call without an answer counts as one that will have none."""

BREATH = 0.02
"""Seconds until a client that was refused a connection tries again."""


def digest(value: Any) -> str:
    """SHA-256 of a JSON value, however it is spelt."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


@dataclass
class Traffic:
    """`sent` are numbers of calls that may have reached the gateway; `answered` those whose whole answer came, with its
    digest; `refused` those that were answered with an error of the gateway's own; `executed` what the server saw.
    """

    sent: set[int] = field(default_factory=set)
    answered: dict[int, str] = field(default_factory=dict)
    refused: dict[int, Any] = field(default_factory=dict)
    executed: list[int] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    async def execute(self, asked: Asked) -> Any:
        """A tool that writes down that it ran."""
        number = asked.params["arguments"]["number"]
        self.executed.append(number)
        await asyncio.sleep(number % 7 / 1_000)  # answers cross each other
        return asked.result({"resultType": "complete", **text(f"{number} " + "é" * (number % 700))})

    async def call(self, http: aiohttp.ClientSession, url: str) -> None:
        """One call, to whatever end."""
        number = next(self._numbers)
        params = {"name": "execute", "arguments": {"number": number}}
        headers, body = modern_request("tools/call", params, {}, number)
        self.sent.add(number)
        try:
            async with asyncio.timeout(PATIENCE), http.post(url, data=io.BytesIO(body), headers=headers) as answer:
                said = json.loads(await answer.text())
        except aiohttp.ClientConnectorError:
            self.sent.discard(number)
            await asyncio.sleep(BREATH)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            await asyncio.sleep(BREATH)
        else:
            if "result" in said:
                self.answered[number] = digest(said["result"])
            else:
                self.refused[number] = said["error"]


class Load:
    """`clients` clients that call the doors at `urls` in turn, without a pause, until the context ends."""

    def __init__(self, traffic: Traffic, *urls: str, clients: int = 8) -> None:
        self.traffic = traffic
        self._urls = cycle(urls)
        self._clients = clients
        self._tasks = Tasks("load")
        self._running: list[asyncio.Task[None]] = []
        self._over = False

    async def __aenter__(self) -> Load:
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._running = [self._tasks.spawn(self._run(), "client") for _ in range(self._clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()
        await self._tasks.close()
        await self._http.close()

    async def end(self) -> None:
        """Begin no more calls, and let those under way end by themselves."""
        self._over = True
        await asyncio.wait(self._running, timeout=PATIENCE)

    async def _run(self) -> None:
        while not self._over:
            await self.traffic.call(self._http, next(self._urls))


def recording(traffic: Traffic) -> McpServer:
    """A modern server whose one tool writes down what it is asked."""
    server = McpServer(modern=True)
    server.definitions = [{"name": "execute", "inputSchema": {"type": "object"}}]
    server.tools = {"execute": traffic.execute}
    return server
