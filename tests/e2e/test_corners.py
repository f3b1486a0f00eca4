"""Corners of the protocol that only a whole gateway shows."""

from __future__ import annotations

import asyncio
import base64
import json
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from storage.schema import server_catalogs
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.mcp_http import Asked, McpServer
from tests.support.process import free_port

CHANGES = {"toolsListChanged": True}


@pytest.mark.point(1)
async def test_discovery_waits_for_no_server(tmp_path: Path) -> None:
    held = asyncio.Event()

    async def hang(asked: Asked) -> web.Response:
        held.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with McpServer(modern=True) as hanging:
        hanging.answers["server/discover"] = hang
        urls = {"hanging": hanging.url, "dead": f"http://127.0.0.1:{free_port()}/mcp"}
        config = {"servers": {name: {"url": url} for name, url in urls.items()}, "lifecycle": {"grace": 0}}
        async with running_gateway(config, tmp_path) as gateway:
            async with asyncio.timeout(1.5):
                result = json.loads(await (await gateway.modern("server/discover")).text())["result"]
            assert {"supportedVersions", "capabilities", "ttlMs", "cacheScope", "resultType"} <= set(result)
            assert (result["ttlMs"], result["cacheScope"]) == (0, "private"), "what is not settled yet may not be kept"
            async with asyncio.timeout(10):
                await held.wait()


@pytest.mark.point(10)
@pytest.mark.trap(10)
@pytest.mark.parametrize("lost", ["400", "404", "terminated"])
async def test_a_modern_client_never_hears_of_a_legacy_servers_sessions(tmp_path: Path, lost: str) -> None:
    async with (
        McpServer(legacy=True, stateful=True, lost=lost) as server,
        running_gateway({"servers": {"peer": {"url": server.url}}}, tmp_path) as gateway,
    ):
        for number in range(3):
            answer = await gateway.modern("tools/call", {"name": "peer__count", "arguments": {}})
            body = json.loads(await answer.text())
            assert (answer.status, body["result"]["content"][0]["text"]) == (200, "1" if number != 1 else "2")
            assert "Mcp-Session-Id" not in answer.headers
            if number == 1:
                server.sessions.clear()


@pytest.mark.point(27)
@pytest.mark.point(24)
async def test_a_listen_of_a_gateway_that_shuts_down_ends_with_a_result(tmp_path: Path) -> None:
    async with McpServer(modern=True) as server, aiohttp.ClientSession() as outside:
        async with running_gateway({"servers": {"peer": {"url": server.url}}}, tmp_path) as gateway:
            await gateway.until(gateway.tools)
            gateway.client, inside = outside, gateway.client
            answers = [
                await gateway.modern("subscriptions/listen", {"notifications": CHANGES}, id=own) for own in (7, "7")
            ]
            gateway.client = inside
        for own, answer in zip((7, "7"), answers, strict=True):
            async with asyncio.timeout(5):
                lines = (await answer.text()).splitlines()
            first, *_, last = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
            assert first["method"] == "notifications/subscriptions/acknowledged"
            assert (last["id"], last["result"]["resultType"]) == (own, "complete")
            for about in (first["params"], last["result"]):
                assert about["_meta"]["io.modelcontextprotocol/subscriptionId"] == own


@pytest.mark.point(31)
async def test_no_schema_makes_the_gateway_fetch_anything(tmp_path: Path) -> None:
    fetched: list[str] = []

    async def serve(request: web.Request) -> web.Response:
        fetched.append(str(request.url))
        return web.Response(text="{}", content_type="application/json")

    async with McpServer(modern=True) as server:
        server.get = serve
        schema = {
            "$schema": server.url,
            "$id": server.url,
            "type": "object",
            "properties": {"a": {"$ref": f"{server.url}#/a"}, "b": {"$dynamicRef": server.url}},
        }
        icons = [{"src": server.url}]
        tool = {"name": "echo", "inputSchema": schema, "outputSchema": {"$ref": server.url}, "icons": icons}
        server.definitions = [tool]
        async with running_gateway({"servers": {"peer": {"url": server.url}}}, tmp_path) as gateway:
            answer = await gateway.modern("tools/list", path="/servers/peer/mcp")
            assert json.loads(await answer.text())["result"]["tools"] == [tool]
            assert "result" in await gateway.call("peer__echo", {"a": 1})
            functions = await gateway.client.get(f"{gateway.root}/api/tools")
            assert functions.status == 200
        assert fetched == []


@pytest.mark.point(54)
async def test_a_tool_whose_annotations_have_changed_is_listed_again_and_called_with_its_header(tmp_path: Path) -> None:
    def definition(**annotation: Any) -> dict[str, Any]:
        properties = {"region": {"type": "string", **annotation}}
        return {"name": "echo", "inputSchema": {"type": "object", "properties": properties}}

    async def check(asked: Asked) -> web.StreamResponse:
        if asked.http.headers.get("Mcp-Param-Region") != "eu":
            return asked.error(-32020, "Mcp-Param-Region header is missing", 400)
        return asked.result({"resultType": "complete", "content": []})

    async with McpServer(modern=True) as server:
        server.definitions = [definition()]
        server.tools["echo"] = check
        async with running_gateway({"servers": {"peer": {"url": server.url}}}, tmp_path) as gateway:
            await gateway.until(partial(gateway.rows, server_catalogs))  # the first listing is over
            server.definitions = [definition(**{"x-mcp-header": "Region"}), {"name": "bad", **BAD}]
            listings = server.methods.count("tools/list")
            async with asyncio.timeout(10):
                assert "result" in await gateway.call("peer__echo", {"region": "eu"})
            assert server.methods.count("tools/call") == 2
            assert server.methods.count("tools/list") > listings
            assert await gateway.tools() == ["peer__echo"], "what is annotated wrongly is left out"
            refused = await gateway.call("peer__echo", {"region": "eu"})
            assert refused["error"]["code"] == -32020, "from now on the client has to say it in a header as well"
            good = await gateway.call("peer__echo", {"region": "eu"}, headers={"Mcp-Param-Region": "eu"})
            assert "result" in good


BAD = {"inputSchema": {"properties": {"a": {"type": "object", "x-mcp-header": "A"}}}}


@pytest.mark.point(25)
@pytest.mark.trap(35)
async def test_a_listing_that_finds_nothing_new_is_told_to_nobody(tmp_path: Path) -> None:
    async def again(asked: Asked) -> web.StreamResponse:
        await asked.say({"method": "notifications/tools/list_changed"})
        return await asked.end({"resultType": "complete", "content": []})

    async def has_fresh() -> bool:
        return "peer__fresh" in await gateway.tools()

    async with McpServer(modern=True) as server, aiohttp.ClientSession() as outside:
        server.tools["echo"] = again
        async with running_gateway({"servers": {"peer": {"url": server.url}}}, tmp_path) as gateway:
            await gateway.until(gateway.tools)
            inside, gateway.client = gateway.client, outside
            listen = await gateway.modern("subscriptions/listen", {"notifications": CHANGES})
            gateway.client = inside
            before = server.methods.count("tools/list")
            await gateway.call("peer__echo")
            await server.until(lambda: server.methods.count("tools/list") > before)
            server.definitions = [*server.definitions, {"name": "fresh", "inputSchema": {}}]
            await gateway.call("peer__echo")
            await gateway.until(has_fresh)
        async with asyncio.timeout(5):
            assert (await listen.text()).count("notifications/tools/list_changed") == 1


@pytest.mark.trap(8)
@pytest.mark.point(21)
async def test_two_gateways_with_one_key_take_turns_with_every_client(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        (folder / "sealing-keys").write_bytes(base64.b64encode(b"k" * 32) + b"\n")
        (folder / "sealing-keys").chmod(0o600)

    async def turn(gateway: RunningGateway, headers: dict[str, str], method: str, params: dict[str, Any]) -> Any:
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return await gateway.client.post(gateway.url, json=message, headers=headers)

    async with McpServer(legacy=True) as server:
        config = {"servers": {"peer": {"url": server.url}}}
        async with running_gateway(config, folders[0]) as one, running_gateway(config, folders[1]) as two:
            for gateway in (one, two):
                await gateway.until(partial(gateway.rows, server_catalogs))
            own = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
            about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
            hello = await turn(one, own, "initialize", about)
            own["Mcp-Session-Id"] = hello.headers["Mcp-Session-Id"]
            for number in range(12):
                gateway = (two, one)[number % 2]
                answer = await turn(gateway, own, "tools/call", {"name": "peer__echo", "arguments": {"n": number}})
                assert answer.status == 200
                assert (await gateway.call("peer__echo", {"n": number}))["result"]
            sessions = [asked.session.id for asked in server.named("tools/call") if asked.session is not None]
            assert len(sessions) == 24
            assert len(set(sessions)) == 4, "one for each client at each gateway, however often they take turns"
            for gateway, status in ((two, 204), (two, 404)):
                assert (await gateway.client.delete(gateway.url, headers=own)).status == status
