"""Servers that we did not write: the official SDK's over HTTP, and `mcp-server-time` on pipes, in both eras."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.protocol.versions import Era
from gateway.upstream.connection import client_session
from gateway.upstream.server import Upstream
from gateway.upstream.values import Scope
from tests.support import sdk_peer
from tests.support.process import free_port, running
from tests.support.upstreams import (
    LEGACY_CLIENT,
    MODERN_CLIENT,
    PATIENCE,
    answer,
    body,
    call,
    messages,
    params,
    said,
    terms,
)

ERAS = pytest.mark.parametrize(("pin", "era"), [("auto", Era.MODERN), ("legacy", Era.LEGACY), ("modern", Era.MODERN)])
CLIENTS = pytest.mark.parametrize("client", [LEGACY_CLIENT, MODERN_CLIENT], ids=["legacy client", "modern client"])
URL = re.compile(r"http://\S+")
VERSIONS = {Era.LEGACY: "2025-11-25", Era.MODERN: "2026-07-28"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    command = [sys.executable, sdk_peer.__file__]
    with running(command, tmp_path_factory.mktemp("sdk"), URL) as program:
        assert program.ready is not None
        yield program.ready.group()


@pytest.fixture
async def sdk(url: str, pin: str) -> AsyncIterator[Upstream]:
    async with client_session() as http:
        upstream = Upstream(terms(url=url, era=pin), http)
        yield upstream
        await upstream.close()


@ERAS
class TestSdkOverHttp:
    @CLIENTS
    async def test_calls_go_through(self, sdk: Upstream, era: Era, client: Any) -> None:
        found = await answer(sdk, call("add", {"a": 2, "b": 3}, client=client))
        assert (found["structuredContent"], sdk.era) == ({"result": 5}, era)

    async def test_progress_comes_with_our_token(self, sdk: Upstream, era: Era) -> None:
        client = replace(LEGACY_CLIENT, wants_progress=True)
        async with asyncio.timeout(PATIENCE), sdk.forward(call("walk", {"steps": 3}, client=client)) as relay:
            *heard, last = [message async for message in relay]
        assert [params(message)["progress"] for message in heard] == [1, 2, 3]
        assert {params(message)["progressToken"] for message in heard} == {relay.progress_token}
        assert body(last)["content"][0]["text"] == "arrived"

    @pytest.mark.trap(28)
    async def test_a_call_that_is_left_stops_at_the_server(self, sdk: Upstream, era: Era, pin: str) -> None:
        client = replace(LEGACY_CLIENT, wants_progress=True)
        async with asyncio.timeout(PATIENCE):
            async with sdk.forward(call("wait", {"name": f"{era}-{pin}"}, client=client)) as relay:
                async for _ in relay:
                    break
            while f"{era}-{pin}" not in (await answer(sdk, call("stopped")))["structuredContent"]["result"]:
                pass

    @pytest.mark.trap(33)
    async def test_errors_are_the_servers_own_and_harmless(self, sdk: Upstream, era: Era) -> None:
        await messages(sdk, call("no_such_tool"))
        assert (await answer(sdk, call("add", {"a": "x"})))["isError"]
        assert (await answer(sdk, call("add", {"a": 1, "b": 1})))["structuredContent"] == {"result": 2}

    async def test_discovery_and_probes(self, sdk: Upstream, era: Era) -> None:
        found = await sdk.discover()
        assert (found.era, found.protocol_version, found.instructions) == (era, VERSIONS[era], "Add and count.")
        assert [json.loads(bytes(tool))["name"] for tool in found.tools] == ["add", "walk", "wait", "stopped"]
        assert json.loads(bytes(found.server_info or b""))["name"] == "sdk-peer"
        seen = [await sdk.probe() for _ in range(3)]
        assert all(one.ok for one in seen)
        assert (seen[0].tools, seen[0].era, seen[0].protocol_version) == (4, era.value, VERSIONS[era])


@pytest.mark.trap(3)
async def test_a_server_that_was_restarted_is_greeted_again(tmp_path: Path) -> None:
    port = free_port()
    async with client_session() as http:
        upstream = Upstream(terms(url=f"http://127.0.0.1:{port}/mcp", era="legacy"), http)
        for b in (3, 4):
            async with serving(port, tmp_path):
                found = await answer(upstream, call("add", {"a": 2, "b": b}, scope=Scope("s", 1)))
                assert found["structuredContent"] == {"result": 2 + b}
        await upstream.close()


@asynccontextmanager
async def serving(port: int, folder: Path) -> AsyncIterator[None]:
    """The SDK's server on `port`; the event loop runs meanwhile, and sees the old connections end."""
    process = running([sys.executable, sdk_peer.__file__, str(port)], folder, URL)
    await asyncio.to_thread(process.__enter__)
    yield
    await asyncio.to_thread(process.__exit__, None, None, None)


@ERAS
async def test_the_time_server_on_pipes(pin: str, era: Era) -> None:
    command = str(Path(sys.executable).with_name("mcp-server-time"))
    async with client_session() as http:
        upstream = Upstream(terms(command=command, args=["--local-timezone=UTC"], era=pin, isolation="shared"), http)
        found = await upstream.discover()
        assert (found.era, found.protocol_version, upstream.era) == (era, VERSIONS[era], era)
        assert {json.loads(bytes(tool))["name"] for tool in found.tools} == {"get_current_time", "convert_time"}
        assert all([(await upstream.probe()).ok for _ in range(2)])
        for client in (LEGACY_CLIENT, MODERN_CLIENT):
            text = await said(upstream, call("get_current_time", {"timezone": "Asia/Shanghai"}, client=client))
            assert json.loads(text)["timezone"] == "Asia/Shanghai"
        await upstream.close()


async def test_a_wrong_endpoint_is_no_server(url: str) -> None:
    async with client_session() as http:
        upstream = Upstream(terms(url=url.replace("/mcp", "/elsewhere")), http)
        with pytest.raises(GatewayError) as caught:
            await upstream.discover()
        assert (caught.value.reason, upstream.era) == ("status_404", None)
        await upstream.close()
