"""Changes at a server, as clients of the gateway hear of them: servers of the official SDK and of our own."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support import sdk_changing
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.mcp_http import McpServer
from tests.support.process import running
from tests.support.streams import Streams

URL = re.compile(r"http://\S+")
LISTS = {"toolsListChanged": True}


@pytest.fixture
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    command = [sys.executable, sdk_changing.__file__]
    with running(command, tmp_path_factory.mktemp("changing"), URL) as program:
        assert program.ready is not None
        yield program.ready.group()


class Heard:
    """What one listen of a modern client says, message by message."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def next(self) -> Any:
        async with asyncio.timeout(10):
            while not (line := await self._response.content.readline()).startswith(b"data: "):
                assert line, "the stream has ended"
        return json.loads(line.removeprefix(b"data: "))


@asynccontextmanager
async def listening(gateway: RunningGateway, path: str, wanted: Any) -> AsyncIterator[Heard]:
    response = await gateway.modern("subscriptions/listen", {"notifications": wanted}, path=path, id="L")
    try:
        yield Heard(response)
    finally:
        response.close()


@pytest.mark.point(25)
@pytest.mark.trap(35)
async def test_a_tool_that_appears_is_told_once_and_is_there(url: str, tmp_path: Path) -> None:
    config = {"servers": {"changing": {"url": url}}}
    async with asyncio.timeout(40), running_gateway(config, tmp_path) as gateway:
        await gateway.until(gateway.tools)
        async with listening(gateway, "/mcp", LISTS) as heard:
            assert (await heard.next())["params"]["notifications"] == LISTS
            await gateway.call("changing__grow", {"name": "fresh"})
            told = await heard.next()
            assert told["method"] == "notifications/tools/list_changed"
            assert "changing__fresh" in await gateway.tools()
            await gateway.call("changing__grow", {"name": "later"})
            assert (await heard.next())["method"] == "notifications/tools/list_changed"


@pytest.mark.point(26)
async def test_a_resource_is_told_of_under_the_name_that_the_client_knows(url: str, tmp_path: Path) -> None:
    config = {"servers": {"changing": {"url": url}}}
    async with asyncio.timeout(40), running_gateway(config, tmp_path) as gateway:
        await gateway.until(gateway.tools)
        wanted = {"resourceSubscriptions": ["changing+note://one"]}
        async with listening(gateway, "/mcp", wanted) as first, listening(gateway, "/mcp", wanted) as second:
            for heard in (first, second):
                assert (await heard.next())["params"]["notifications"] == wanted
            await gateway.call("changing__touch", {"uri": "note://one"})
            for heard in (first, second):
                told = await heard.next()
                assert (told["method"], told["params"]["uri"]) == (
                    "notifications/resources/updated",
                    "changing+note://one",
                )


@pytest.mark.point(25)
@pytest.mark.trap(36)
async def test_a_legacy_server_that_comes_back_with_other_tools_is_told_of(tmp_path: Path) -> None:
    async with McpServer(legacy=True) as server:
        server.capabilities = {"tools": {"listChanged": True}}
        streams = Streams(server)
        config = {"servers": {"peer": {"url": server.url}}}
        async with asyncio.timeout(40), running_gateway(config, tmp_path) as gateway:
            await gateway.until(gateway.tools)
            stream = await streams.opened()
            async with listening(gateway, "/mcp", LISTS) as heard:
                assert (await heard.next())["params"]["notifications"] == LISTS
                server.sessions.clear()
                server.definitions = [{"name": "other", "inputSchema": {}}]
                stream.cut()
                assert (await heard.next())["method"] == "notifications/tools/list_changed"
                assert await gateway.tools() == ["peer__other"]
        for stream in streams.all:
            stream.close()
