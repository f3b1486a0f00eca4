"""The whole gateway: servers behind it, a database beneath it, clients in front of it."""

import asyncio
import json

import pytest

from tests.support.gateway import running_gateway
from tests.support.mcp_http import McpServer
from tests.support.process import free_port

QUICK_HEALTH = {"interval": 1, "timeout": 2, "fall": 1, "rise": 1}


async def test_every_call_is_one_row_with_who_what_how_long_and_both_payloads(tmp_path):
    async with (
        McpServer(modern=True) as server,
        running_gateway({"servers": {"demo": {"url": server.url}}}, tmp_path) as gateway,
    ):
        info = {"io.modelcontextprotocol/clientInfo": {"name": "tester", "version": "9"}}
        for number in range(5):
            await gateway.call("demo__echo", {"n": number}, meta=info)
        rows = await gateway.rows()
        assert len(rows) == 5
        assert {row["status"] for row in rows} == {"success"}
        row = rows[0]
        assert (row["method"], row["target"], row["outcome"], row["client_name"]) == (
            "tools/call",
            "echo",
            "ok",
            "tester",
        )
        assert (row["client_era"], row["server_era"], row["record_state"], row["link"]) == (
            "modern",
            "modern",
            2,
            "auto",
        )
        assert json.loads(row["request_data"])["arguments"] == {"n": 0}
        assert row["total_us"] >= row["upstream_us"] > 0
        assert row["session_id"] is not None
        assert row["message_id"] is not None


@pytest.mark.trap(10)
@pytest.mark.parametrize("eras", [{"legacy": True}, {"modern": True}, {"legacy": True, "modern": True}])
async def test_a_server_of_any_era_is_listed_and_called(tmp_path, eras):
    async with (
        McpServer(**eras) as server,
        running_gateway({"servers": {"demo": {"url": server.url}}}, tmp_path) as gateway,
    ):
        assert await gateway.tools() == ["demo__count", "demo__echo"]
        assert await gateway.tools("/servers/demo/mcp") == ["count", "echo"]
        assert "result" in await gateway.call("demo__echo", {"x": 1})
        row = (await gateway.rows())[0]
        assert row["server_era"] == ("modern" if "modern" in eras else "legacy")


@pytest.mark.point(29)
@pytest.mark.trap(34)
async def test_a_dead_and_a_silent_server_neither_delay_nor_empty_the_list(tmp_path):
    async def silence(reader, writer):
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(silence, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with McpServer(modern=True) as server, silent:
        servers = {
            "dead": {"url": f"http://127.0.0.1:{free_port()}/mcp"},
            "silent": {"url": f"http://127.0.0.1:{port}/mcp"},
            "demo": {"url": server.url},
        }
        async with running_gateway({"servers": servers}, tmp_path) as gateway:
            async with asyncio.timeout(4):
                assert await gateway.tools() == ["demo__count", "demo__echo"]
            async with asyncio.timeout(10):
                answer = await gateway.modern("tools/list", path="/servers/dead/mcp")
                assert json.loads(await answer.text())["result"]["tools"] == []


@pytest.mark.point(27)
async def test_the_last_good_list_is_served_while_the_server_is_down_and_calls_are_refused_at_once(tmp_path):
    config = {"servers": {"demo": {"url": ""}}, "health": QUICK_HEALTH}
    async with McpServer(modern=True) as server:
        config["servers"]["demo"]["url"] = server.url
        async with running_gateway(config, tmp_path) as gateway:
            await gateway.until(lambda: gateway.tools())
            assert await gateway.tools() == ["demo__count", "demo__echo"]
            await server.__aexit__()
            await gateway.until(lambda: gateway.inside.board.census() == {"down": 1})
            assert await gateway.tools() == ["demo__count", "demo__echo"]
            result = (await gateway.call("demo__echo"))["result"]
            assert result["isError"] is True
            assert "offline" in result["content"][0]["text"]
            rows = await gateway.rows()
            assert [row["outcome"] for row in rows] == ["refused"]
    async with running_gateway(config, tmp_path) as reborn:
        assert await reborn.tools() == ["demo__count", "demo__echo"]


async def test_a_changed_file_takes_force_without_dropping_a_call(tmp_path):
    release = asyncio.Event()

    async def slow(asked):
        await release.wait()
        return asked.result({"resultType": "complete", "content": []})

    async with McpServer(modern=True) as old, McpServer(modern=True) as new:
        old.tools["echo"] = slow
        config = {"servers": {"demo": {"url": old.url}}}
        async with running_gateway(config, tmp_path) as gateway:
            await gateway.until(lambda: gateway.tools())
            calling = asyncio.get_running_loop().create_task(gateway.call("demo__echo"))
            await old.saw("tools/call")
            whole = json.loads(gateway.file.read_text())
            gateway.write({**whole, "servers": {"second": {"url": new.url}}})
            await gateway.until(lambda: "second" in gateway.inside.control.live.table.servers)
            await gateway.until(lambda: gateway.tools())
            assert await gateway.tools() == ["second__count", "second__echo"]
            release.set()
            assert "result" in await calling


async def test_a_bad_file_changes_nothing_and_is_told_on_readyz_and_counted(tmp_path):
    async with McpServer(modern=True) as server:
        config = {"servers": {"demo": {"url": server.url}}}
        async with running_gateway(config, tmp_path) as gateway:
            good = gateway.file.read_text()
            gateway.write("servers: {demo: {urll: x}}")
            await gateway.until(lambda: gateway.inside.control.problem)
            ready = await gateway.client.get(f"{gateway.root}/readyz")
            assert ready.status == 200
            assert "urll" in await ready.text()
            metrics = await (await gateway.client.get(f"{gateway.root}/metrics")).text()
            assert "mcp_gateway_config_last_reload_successful 0.0" in metrics
            assert "demo" in gateway.inside.control.live.table.servers
            gateway.write(good + "\n")
            await gateway.until(lambda: gateway.inside.control.problem is None)


async def test_probes_keep_status_latency_and_history_of_every_server(tmp_path):
    config = {
        "servers": {"up": {"url": ""}, "gone": {"url": f"http://127.0.0.1:{free_port()}/mcp"}},
        "health": QUICK_HEALTH,
    }
    async with McpServer(legacy=True) as server:
        config["servers"]["up"]["url"] = server.url
        async with running_gateway(config, tmp_path) as gateway:
            await gateway.until(lambda: gateway.inside.board.census() == {"up": 1, "down": 1})
            await gateway.until(lambda: _states(gateway, {"up", "down"}))
            moves = {(row["from_state"], row["to_state"], row["reason"]) for row in await gateway.transitions()}
            assert ("unknown", "down", "refused") in moves


async def _states(gateway, wanted):
    return {row["state"] for row in await gateway.health()} == wanted


@pytest.mark.trap(58)
@pytest.mark.trap(25)
async def test_secrets_reach_the_server_and_nothing_else(tmp_path, caplog):
    async with McpServer(modern=True) as server:
        config = {"servers": {"demo": {"url": server.url, "headers": {"Authorization": "Bearer ${TOKEN}"}}}}
        async with running_gateway(config, tmp_path, {"TOKEN": "s3cr3t-upstream-value"}) as gateway:
            await gateway.call(
                "demo__echo",
                {"password": "hunter2-hunter2", "note": "Bearer abcdefgh12345678"},
                headers={"Cookie": "a=zzz-cookie"},
            )
            asked = server.named("tools/call")[0]
            assert asked.http.headers["Authorization"] == "Bearer s3cr3t-upstream-value"
            assert "Cookie" not in asked.http.headers
            assert asked.params["arguments"]["password"] == "hunter2-hunter2"
            await gateway.rows()
            metrics = await (await gateway.client.get(f"{gateway.root}/metrics")).text()
        kept = (
            b"".join(path.read_bytes() for path in tmp_path.glob("mcp_chat.db*"))
            + metrics.encode()
            + caplog.text.encode()
        )
        for secret in (b"s3cr3t-upstream-value", b"hunter2-hunter2", b"abcdefgh12345678", b"zzz-cookie"):
            assert secret not in kept


@pytest.mark.trap(54)
async def test_five_hundred_concurrent_calls_do_not_wait_for_a_database_connection(tmp_path):
    release, arrived = asyncio.Event(), 0

    async def slow(asked):
        nonlocal arrived
        arrived += 1
        await release.wait()
        return asked.result({"resultType": "complete", "content": []})

    async with McpServer(modern=True) as server:
        server.tools["echo"] = slow
        config = {"servers": {"demo": {"url": server.url, "concurrency": 500}}}
        async with running_gateway(config, tmp_path) as gateway:
            await gateway.until(lambda: gateway.tools())
            gateway.client.connector._limit = 0
            calls = [asyncio.get_running_loop().create_task(gateway.call("demo__echo", {"n": n})) for n in range(500)]
            await gateway.until(lambda: arrived == 500)
            await gateway.until(lambda: gateway.inside.database.busy == 0)
            release.set()
            await asyncio.gather(*calls)
            assert len(await gateway.rows()) == 500


@pytest.mark.trap(57)
async def test_chained_calls_each_have_a_row_with_its_own_result(tmp_path):
    async with (
        McpServer(modern=True) as server,
        running_gateway({"servers": {"demo": {"url": server.url}}}, tmp_path) as gateway,
    ):
        results = [await gateway.call("demo__count") for _ in range(4)]
        rows = await gateway.rows()
        stored = [json.loads(row["response_data"])["content"][0]["text"] for row in rows]
        assert stored == [result["result"]["content"][0]["text"] for result in results]


async def test_a_session_survives_a_restart_and_an_ended_one_does_not_come_back(tmp_path):
    async def post(gateway, message, session=None):
        headers = {"Content-Type": "application/json", **({"Mcp-Session-Id": session} if session else {})}
        return await gateway.client.post(gateway.url, json=message, headers=headers)

    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    async with running_gateway({"servers": {}}, tmp_path) as gateway:
        kept, ended = [(await post(gateway, hello)).headers["Mcp-Session-Id"] for _ in range(2)]
        assert (await gateway.client.delete(gateway.url, headers={"Mcp-Session-Id": ended})).status == 204
    async with running_gateway({"servers": {}}, tmp_path) as reborn:
        assert (await post(reborn, ping, kept)).status == 200
        assert (await post(reborn, ping, ended)).status == 404


@pytest.mark.trap(58)
async def test_a_server_that_repeats_its_own_credentials_puts_them_into_no_row(tmp_path):
    async def tell(asked):
        return asked.error(-32001, f"token rejected: {asked.http.headers['X-Custom']}")

    async with McpServer(modern=True) as server:
        server.tools["echo"] = tell
        config = {"servers": {"demo": {"url": server.url, "headers": {"X-Custom": "${WORD}"}}}}
        async with running_gateway(config, tmp_path, {"WORD": "correct-horse-battery"}) as gateway:
            await gateway.call("demo__echo")
            row = (await gateway.rows())[0]
            assert row["error_message"] == "token rejected: [redacted]"
            assert "correct-horse" not in str(row)
