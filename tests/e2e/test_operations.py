"""What those who run the gateway see when something is wrong around it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from storage.schema import server_transitions
from tests.support.blinking import away
from tests.support.gateway import running_gateway
from tests.support.mcp_http import McpServer

QUICK = {"interval": 1, "timeout": 1, "fall": 1}


@asynccontextmanager
async def demo(folder, **more):
    async with (
        McpServer(modern=True) as server,
        running_gateway({"servers": {"demo": {"url": server.url}}, **more}, folder) as gateway,
    ):
        yield gateway


async def ready(gateway):
    answer = await gateway.client.get(f"{gateway.root}/readyz")
    return answer.status, await answer.json()


async def metric(gateway, line):
    return line in await (await gateway.client.get(f"{gateway.root}/metrics")).text()


async def test_a_database_that_is_away_degrades_the_gateway_and_calls_are_recorded_once_it_is_back(tmp_path):
    async with demo(tmp_path) as gateway:
        await gateway.until(gateway.tools)
        with away():
            assert "result" in await gateway.call("demo__echo")
            await gateway.until(lambda: gateway.inside.writer.trouble)
            await gateway.until(lambda: metric(gateway, 'mcp_gateway_degraded{part="database"} 1.0'))
            status, report = await ready(gateway)
            assert (status, report["status"], report["degraded"]) == (200, "ready", ["database", "records"])
            assert await metric(gateway, "mcp_gateway_ready 1.0")
        assert [row["outcome"] for row in await gateway.rows()] == ["ok"]
        await gateway.until(lambda: metric(gateway, 'mcp_gateway_degraded{part="database"} 0.0'))
        assert (await ready(gateway))[1]["degraded"] == []


@pytest.mark.trap(50)
@pytest.mark.parametrize(
    "recording", [{"pending_bytes": 1_048_576, "journal": {"enabled": False}}, {"journal": {"bytes": 1 << 20}}]
)
async def test_a_gateway_without_room_for_records_is_unready(tmp_path, recording):
    async with demo(tmp_path, recording=recording) as gateway:
        await gateway.until(gateway.tools)
        with away():
            refused = None
            while refused is None:
                answer = await gateway.call("demo__count", {"filler": "x" * 20_000})
                refused = answer.get("error")
            assert "no call is taken that could not be recorded" in refused["message"]
            await gateway.until(lambda: gateway.inside.writer.is_full)
            status, report = await ready(gateway)
            assert (status, report["status"]) == (503, "unready")
            assert await metric(gateway, "mcp_gateway_ready 0.0")
        await gateway.rows()
        assert (await ready(gateway))[0] == 200
        assert "result" in await gateway.call("demo__count")


async def test_a_file_that_changed_while_the_database_was_away_is_taken_over_when_it_is_back(tmp_path):
    async with demo(tmp_path) as gateway:
        whole = json.loads(gateway.file.read_text())
        with away():
            gateway.write({**whole, "servers": {"second": whole["servers"]["demo"]}})
            await gateway.until(lambda: gateway.inside.control.problem)
            assert list(gateway.inside.control.live.table.servers) == ["demo"]
            assert await metric(gateway, "mcp_gateway_config_last_reload_successful 0.0")
        await gateway.until(lambda: gateway.inside.control.problem is None)
        assert list(gateway.inside.control.live.table.servers) == ["second"]


@pytest.mark.parametrize("first", [b"", b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"])
async def test_a_connection_that_sends_no_whole_head_is_closed_however_it_trickles(tmp_path, first):
    async with running_gateway({"servers": {}, "limits": {"idle_connection": 0.2}}, tmp_path) as gateway:
        port = int(gateway.root.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(10):
            if first:
                writer.write(first)
                await reader.readuntil(b'"alive"}')
            writer.write(b"GET /readyz HTTP/1.1\r\n")
            with contextlib.suppress(ConnectionError):  # closed while we wrote
                while not reader.at_eof():
                    writer.write(b"X-Slow: 1\r\n")
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.02):
                            assert await reader.read(1) == b""
        writer.close()


@pytest.mark.trap(58)
async def test_what_a_server_repeats_of_its_secrets_is_not_stored_with_its_state(tmp_path):
    async def echo(request):
        asked = json.loads(await request.text())
        error = {"code": -32603, "message": f"who is {request.headers['X-Odd']}?"}
        return web.json_response({"jsonrpc": "2.0", "id": asked.get("id"), "error": error})

    site = web.Application()
    site.router.add_post("/mcp", echo)
    async with TestServer(site) as server:
        spec = {"url": str(server.make_url("/mcp")), "headers": {"X-Odd": "correct-horse-battery"}}
        async with running_gateway({"servers": {"demo": spec}, "health": QUICK}, tmp_path) as gateway:
            await gateway.until(lambda: gateway.inside.board.census() == {"down": 1})
            (moved, *_) = await gateway.transitions()
            assert "who is [redacted]?" in moved["detail"]
            assert "battery" not in str(await gateway.rows(server_transitions))
