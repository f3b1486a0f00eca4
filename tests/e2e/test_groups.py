"""Groups of servers and original names, through the whole gateway and its reloads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.gateway import RunningGateway, running_gateway
from tests.support.mcp_http import McpServer

HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
CHANGED = "notifications/tools/list_changed"


@pytest.fixture
async def servers() -> AsyncIterator[dict[str, McpServer]]:
    """Three servers that each offer `count` and `echo`."""
    async with AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(McpServer(modern=True)) for name in ("docs", "git", "time")}


def file_of(servers: dict[str, McpServer], **more: Any) -> dict[str, Any]:
    return {"servers": {name: {"url": server.url} for name, server in servers.items()}, **more}


async def post(
    gateway: RunningGateway, message: dict[str, Any], path: str, session: str | None = None
) -> aiohttp.ClientResponse:
    headers = {"Content-Type": "application/json", **({"Mcp-Session-Id": session} if session else {})}
    return await gateway.client.post(gateway.root + path, json={"jsonrpc": "2.0", **message}, headers=headers)


async def opened(gateway: RunningGateway, path: str) -> str:
    answer = await post(gateway, {"id": 0, "method": "initialize", "params": HELLO}, path)
    return answer.headers["Mcp-Session-Id"]


async def reload(gateway: RunningGateway, **more: Any) -> None:
    """Change the file, and wait until it is in force."""
    configured = gateway.inside.control.configuration
    gateway.write({**json.loads(gateway.file.read_text()), **more})
    await gateway.until(lambda: gateway.inside.control.configuration is not configured)


async def reason(gateway: RunningGateway, check: str) -> str:
    answer = await gateway.client.get(f"{gateway.root}/readyz")
    assert answer.status == 200
    return next(line for line in (await answer.text()).splitlines() if check in line)


async def test_a_group_is_called_listed_and_described_as_an_endpoint(
    tmp_path: Path, servers: dict[str, McpServer]
) -> None:
    groups = {
        "research": {"servers": ["docs", "git"], "description": "For research."},
        "plain": {"servers": ["time"], "names": "original"},
    }
    async with running_gateway(file_of(servers, groups=groups), tmp_path) as gateway:
        assert await gateway.tools("/groups/research/mcp") == ["docs__count", "docs__echo", "git__count", "git__echo"]
        assert await gateway.tools("/groups/plain/mcp/") == ["count", "echo"]
        assert "result" in await gateway.call("git__echo", {"a": 1}, path="/groups/research/mcp")
        assert "error" in await gateway.call("time__echo", path="/groups/research/mcp")
        discovered = json.loads(await (await gateway.modern("server/discover", path="/groups/research/mcp")).text())
        assert discovered["result"]["instructions"].startswith("For research.")
        listed = json.loads(await (await gateway.client.get(f"{gateway.root}/api/tools?group=plain")).text())
        assert "echo" in json.dumps(listed)
        assert "docs" not in json.dumps(listed)
        [row] = await gateway.rows()
        assert (row["target"], row["outcome"]) == ("echo", "ok")


@pytest.mark.parametrize("path", ["/groups/nope/mcp", "/servers/groups%2Fresearch/mcp", "/groups/Research/mcp"])
async def test_what_is_no_group_is_404(tmp_path: Path, servers: dict[str, McpServer], path: str) -> None:
    async with running_gateway(file_of(servers, groups={"research": {"servers": ["docs"]}}), tmp_path) as gateway:
        assert (await gateway.modern("tools/list", path=path)).status == 404
        assert (await post(gateway, {"id": 1, "method": "initialize", "params": HELLO}, path)).status == 404


async def test_a_reload_of_groups_alone_changes_them_and_tells_their_clients(
    tmp_path: Path, servers: dict[str, McpServer]
) -> None:
    group = {"servers": ["docs", "git"]}
    async with running_gateway(file_of(servers, groups={"research": group}), tmp_path) as gateway:
        assert len(await gateway.tools("/groups/research/mcp")) == 4
        wanted = {"notifications": {"toolsListChanged": True}}
        async with await gateway.modern("subscriptions/listen", wanted, path="/groups/research/mcp") as stream:
            await _frame(stream)
            await reload(gateway, groups={"research": {**group, "servers": ["git"]}, "other": {"servers": ["time"]}})
            assert (await _frame(stream))["method"] == CHANGED
        assert await gateway.tools("/groups/research/mcp") == ["git__count", "git__echo"]
        assert await gateway.tools("/groups/other/mcp") == ["time__count", "time__echo"]


async def test_a_disabled_server_is_absent_from_its_groups(tmp_path: Path, servers: dict[str, McpServer]) -> None:
    file = file_of(servers, groups={"research": {"servers": ["docs", "git"]}, "gone": {"servers": ["git"]}})
    file["servers"]["git"]["enabled"] = False
    async with running_gateway(file, tmp_path) as gateway:
        assert await gateway.tools("/groups/research/mcp") == ["docs__count", "docs__echo"]
        assert await gateway.tools("/groups/gone/mcp") == []


async def test_when_an_endpoint_vanishes_its_streams_end_and_its_sessions_are_404(
    tmp_path: Path, servers: dict[str, McpServer]
) -> None:
    path = "/groups/research/mcp"
    async with running_gateway(file_of(servers, groups={"research": {"servers": ["docs"]}}), tmp_path) as gateway:
        session, other = await opened(gateway, path), await opened(gateway, "/mcp")
        headers = {"Mcp-Session-Id": session, "Accept": "text/event-stream"}
        wanted = {"notifications": {"toolsListChanged": True}}
        async with (
            await gateway.client.get(gateway.root + path, headers=headers) as standing,
            await gateway.modern("subscriptions/listen", wanted, path=path, id="L") as listening,
        ):
            await _frame(listening)
            await reload(gateway, groups={})
            async with asyncio.timeout(5):
                await standing.read()
                assert (await _frame(listening))["id"] == "L"
        assert (await post(gateway, {"id": 1, "method": "ping"}, path, session)).status == 404
        assert (await gateway.client.get(gateway.root + path, headers=headers)).status == 404
        assert (await gateway.client.delete(gateway.root + path, headers=headers)).status == 404
        assert (await post(gateway, {"id": 1, "method": "ping"}, "/mcp", other)).status == 200


async def test_a_call_under_way_outlives_its_group(tmp_path: Path, servers: dict[str, McpServer]) -> None:
    release = asyncio.Event()

    async def slow(asked: Any) -> Any:
        await release.wait()
        return asked.result({"resultType": "complete", "content": []})

    servers["docs"].tools["echo"] = slow
    async with running_gateway(file_of(servers, groups={"research": {"servers": ["docs"]}}), tmp_path) as gateway:
        await gateway.tools("/groups/research/mcp")
        calling = asyncio.get_running_loop().create_task(gateway.call("docs__echo", path="/groups/research/mcp"))
        await servers["docs"].saw("tools/call")
        await reload(gateway, groups={})
        release.set()
        assert "result" in await calling


@pytest.mark.trap(38)
async def test_original_names_belong_to_the_server_earlier_in_the_file_and_what_is_hidden_is_told(
    tmp_path: Path, servers: dict[str, McpServer]
) -> None:
    servers["git"].definitions = [*servers["git"].definitions, {"name": "log", "inputSchema": {"type": "object"}}]
    async with running_gateway(file_of(servers, aggregate={"names": "original"}), tmp_path) as gateway:
        assert await gateway.tools() == ["count", "echo", "log"]
        await gateway.call("echo")
        await gateway.call("log")
        assert [name for name, server in servers.items() if server.named("tools/call")] == ["docs", "git"]
        told = await reason(gateway, "hidden")
        assert "4 hidden" in told
        assert "tool 'echo' of time, since docs has it (/mcp)" in told
        metrics = await (await gateway.client.get(f"{gateway.root}/metrics")).text()
        assert 'mcp_gateway_names_hidden{endpoint="aggregate"} 4.0' in metrics


async def test_a_name_in_use_changes_its_owner_at_a_reload_alone(tmp_path: Path, servers: dict[str, McpServer]) -> None:
    servers["docs"].definitions = [{"name": "a", "inputSchema": {"type": "object"}}]
    servers["git"].definitions = servers["time"].definitions = [{"name": "b", "inputSchema": {"type": "object"}}]

    def owner() -> str:
        return gateway.inside.control.live.table.endpoint("").books["tools"].routes["b"].server.slug

    async with running_gateway(file_of(servers, aggregate={"names": "original"}), tmp_path) as gateway:
        assert await gateway.tools() == ["a", "b"]
        assert owner() == "git"
        servers["docs"].definitions = servers["git"].definitions
        generation = gateway.inside.control._generation
        gateway.inside.control._fleet.refresh(1)
        await gateway.until(lambda: len(list(gateway.inside.control.live.table.hidden())) == 2)
        await gateway.until(lambda: gateway.inside.control._generation > generation)
        assert (await gateway.tools(), owner()) == (["b"], "git")
        await gateway.inside.control.reload()
        assert (await gateway.tools(), owner()) == (["b"], "docs")


async def _frame(stream: aiohttp.ClientResponse) -> dict[str, Any]:
    """The next message of an event stream."""
    async with asyncio.timeout(5):
        while True:
            line = await stream.content.readline()
            assert line
            if line.startswith(b"data: {"):
                return json.loads(line.removeprefix(b"data: "))
