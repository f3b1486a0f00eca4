"""A server that has its clients come back for their answers, and a client that does: the official SDK at both ends."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.support import sdk_poller
from tests.support.gateway import running_gateway
from tests.support.process import running

URL = re.compile(r"http://\S+")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    command = [sys.executable, sdk_poller.__file__]
    with running(command, tmp_path_factory.mktemp("poller"), URL) as program:
        assert program.ready is not None
        yield program.ready.group()


@pytest.mark.parametrize("times", [1, 2])
async def test_client_and_server_meet_again_after_every_pause(url: str, tmp_path: Path, times: int) -> None:
    returns: list[str] = []

    async def note(request: httpx2.Request) -> None:
        if "last-event-id" in request.headers:
            returns.append(request.headers["last-event-id"])

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    seen: list[float] = []
    config = {"servers": {"poller": {"url": url, "era": "legacy"}}}
    async with asyncio.timeout(30), running_gateway(config, tmp_path) as gateway:
        door = f"{gateway.root}/servers/poller/mcp"
        async with (
            httpx2.AsyncClient(event_hooks={"request": [note]}) as http,
            Client(streamable_http_client(door, http_client=http), mode="legacy") as client,
        ):
            called = await client.call_tool("doze", {"times": times}, progress_callback=progressed)
        assert called.content[0].text == "awake"
        assert seen == [float(time + 1) for time in range(times)]
        assert len(returns) >= times
        assert [(row["outcome"], row["attempts"]) for row in await gateway.rows()] == [("ok", 1)]


async def test_a_modern_client_simply_waits(url: str, tmp_path: Path) -> None:
    config = {"servers": {"poller": {"url": url, "era": "legacy"}}}
    async with asyncio.timeout(30), running_gateway(config, tmp_path) as gateway:
        await gateway.until(gateway.tools)
        answer = await gateway.call("poller__doze", {"times": 2})
        assert answer["result"]["content"][0]["text"] == "awake"
