"""A chat back end that is no MCP client, through the whole gateway: servers of both eras behind it, rows beneath it."""

import asyncio
import json
import uuid

import pytest
from aiohttp import web
from hypothesis import HealthCheck, example, given, settings
from sqlalchemy import insert

from storage.schema import chat_messages, chat_sessions
from tests.support import texts
from tests.support.gateway import running_gateway
from tests.support.mcp_http import McpServer
from tests.support.waiting import until

ERAS = [{"modern": True}, {"legacy": True}]
PATIENCE = 20


def call(name="demo__echo", arguments="{}", id="call_1"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


async def post(gateway, *calls, raw=None, **more):
    body = json.dumps({"tool_calls": list(calls), **more.pop("body", {})}).encode() if raw is None else raw
    headers = {"Content-Type": "application/json", **more.pop("headers", {})}
    answer = await gateway.client.post(f"{gateway.root}/api/tool-calls", data=body, headers=headers)
    assert answer.status == 200, await answer.text()
    return json.loads(await answer.text())["messages"]


async def contents(gateway, *calls, **more):
    return [message["content"] for message in await post(gateway, *calls, **more)]


def says(result):
    async def tool(asked):
        return asked.result({"resultType": "complete", **result} if asked.modern else result)

    return tool


@pytest.fixture(params=ERAS, ids=["modern", "legacy"])
async def server(request):
    async with McpServer(**request.param) as server:
        yield server


@pytest.fixture
async def gateway(server, tmp_path):
    async with running_gateway({"servers": {"demo": {"url": server.url}}}, tmp_path) as gateway:
        yield gateway


async def test_a_back_end_lists_functions_and_calls_them_as_its_model_says(server, gateway):
    server.tools["echo"] = says({"content": [{"type": "text", "text": "Grüße, 世界 😀"}]})
    listed = await (await gateway.client.get(f"{gateway.root}/api/tools")).json()
    assert listed == {
        "tools": [
            {"type": "function", "function": {"name": "demo__count", "parameters": {}}},
            {"type": "function", "function": {"name": "demo__echo", "parameters": {}}},
        ]
    }
    message = {"role": "assistant", "content": None, "tool_calls": [call(arguments='{"city": "北京"}')]}
    assert await post(gateway, raw=json.dumps(message).encode()) == [
        {"role": "tool", "tool_call_id": "call_1", "content": "Grüße, 世界 😀"}
    ]
    assert server.named("tools/call")[0].params["arguments"] == {"city": "北京"}


async def test_every_call_is_a_row_in_the_chat_that_it_belongs_to(server, gateway):
    await contents(gateway, call(arguments='{"n":1}'))
    [user_id] = {row["user_id"] for row in await gateway.rows(chat_sessions)}
    chat, said = uuid.uuid4().hex, uuid.uuid4().hex
    async with gateway.inside.database.writing() as connection:
        session = {"user_id": user_id, "title": "A chat", "public_id": chat}
        session_id = (await connection.execute(insert(chat_sessions).values(session))).inserted_primary_key[0]
        message = {"session_id": session_id, "message_type": "assistant", "content": "", "public_id": said}
        message_id = (await connection.execute(insert(chat_messages).values(message))).inserted_primary_key[0]
    await contents(
        gateway,
        call(arguments='{"n":2}'),
        call("demo__count", "", "call_2"),
        headers={"X-Chat-Session-Id": chat, "X-Chat-Message-Id": said, "User-Agent": "acme-chat/3.1"},
    )
    await contents(gateway, call(arguments='{"n":3}'), body={"session_id": session_id, "message_id": message_id})
    await contents(gateway, call(arguments='{"n":4}'), body={"session_id": str(uuid.uuid4())})
    rows = await gateway.rows()
    assert [row["link"] for row in rows] == ["auto", "client", "client", "client", "unknown"]
    assert {(row["session_id"], row["message_id"]) for row in rows[1:4]} == {(session_id, message_id)}
    assert {row["target"] for row in rows[1:3]} == {"echo", "count"}
    assert (rows[1]["client_name"], rows[1]["client_version"], rows[1]["outcome"]) == ("acme-chat", "3.1", "ok")
    assert json.loads(rows[0]["request_data"])["arguments"] == {"n": 1}


@pytest.mark.trap(22)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arguments=texts.bodies)
@example(arguments=rb'{"a":1.10,"b":1e2,"c":"\ud800\u00e9","d":12345678901234567890}')
async def test_arguments_keep_their_bytes_on_their_way_to_the_server(server, gateway, arguments):
    said = json.dumps(arguments.decode()).encode()
    raw = b'{"tool_calls":[{"id":"a","function":{"name":"demo__echo","arguments":' + said + b"}}]}"
    await contents(gateway, raw=raw)
    assert b'"arguments":' + arguments in await server.named("tools/call")[-1].http.read()


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"content": [], "structuredContent": {"a": [1]}}, '{"a": [1]}'),
        ({"content": [{"type": "text", "text": str(n)} for n in range(2_000)]}, "\n".join(map(str, range(2_000)))),
        ({"content": [{"type": "text", "text": "x" * 5_000_000}]}, "x" * 5_000_000),
        ({"content": [{"type": "text", "text": "no"}], "isError": True}, "Error: no"),
    ],
    ids=["structured", "blocks", "huge", "error"],
)
async def test_the_model_reads_whatever_the_tool_answers(server, gateway, result, expected):
    server.tools["echo"] = says(result)
    assert await contents(gateway, call()) == [expected]


async def test_an_image_is_read_as_json(server, gateway):
    image = {"type": "image", "data": "aGk=" * 100_000, "mimeType": "image/png"}
    server.tools["echo"] = says({"content": [{"type": "text", "text": "look"}, image]})
    first, second = (await contents(gateway, call()))[0].split("\n")
    assert (first, json.loads(second)) == ("look", image)


@pytest.mark.trap(33)
async def test_one_unknown_tool_among_good_ones_is_its_own_trouble(server, gateway):
    server.tools["echo"] = says({"content": [{"type": "text", "text": "good"}]})
    found = await contents(gateway, call(), call("demo__nope"), call("nope"), call(arguments="{"), call())
    assert (found[0], found[1], found[2], found[4]) == (
        "good",
        "Error: Unknown tool: demo__nope",
        "Error: Unknown tool: nope",
        "good",
    )
    assert found[3].startswith("Error: the arguments are no JSON")
    assert len(await gateway.rows()) == 2


async def test_calls_of_one_message_run_side_by_side(server, gateway):
    arrived, all_there = 0, asyncio.Event()

    async def together(asked):
        nonlocal arrived
        arrived += 1
        if arrived == 8:
            all_there.set()
        await all_there.wait()
        return asked.result(
            {"resultType": "complete", "content": [{"type": "text", "text": str(asked.params["arguments"]["n"])}]}
        )

    server.tools["echo"] = together
    async with asyncio.timeout(PATIENCE):
        calls = [call(arguments=json.dumps({"n": n}), id=f"c{n}") for n in range(8)]
        assert [(one["tool_call_id"], one["content"]) for one in await post(gateway, *calls)] == [
            (f"c{n}", str(n)) for n in range(8)
        ]
    assert len(await gateway.rows()) == 8


@pytest.mark.trap(28)
async def test_a_back_end_that_hangs_up_cancels_the_call_at_its_server(server, gateway):
    async def silent(asked):
        await asyncio.Event().wait()

    server.tools["echo"] = silent
    await gateway.until(lambda: gateway.tools())
    async with asyncio.timeout(PATIENCE):
        calling = asyncio.get_running_loop().create_task(post(gateway, call()))
        asked = await server.saw("tools/call")
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        await asked.gone.wait()

        async def ended():
            return [row["outcome"] for row in await gateway.rows()] == ["cancelled"]

        await until(ended)


async def test_a_question_of_a_legacy_server_is_unsupported_and_the_model_reads_why(tmp_path):
    async def ask(asked):
        await asked.say({"id": "q", "method": "elicitation/create", "params": {"message": "Which city?"}})
        answer = await server.saw("response")
        words = f"cannot ask: {answer.message['error']['message']}"
        return await asked.end({"content": [{"type": "text", "text": words}], "isError": True})

    async with McpServer(legacy=True) as server:
        server.tools["echo"] = ask
        async with (
            running_gateway({"servers": {"demo": {"url": server.url}}}, tmp_path) as gateway,
            asyncio.timeout(PATIENCE),
        ):
            [content] = await contents(gateway, call())
            assert content.startswith("Error: cannot ask: ")
            assert "not supported" in content


async def test_a_question_of_a_modern_server_is_unsupported_and_the_model_reads_why(tmp_path):
    question = {"city": {"method": "elicitation/create", "params": {"message": "Which city?"}}}

    async def ask(asked):
        return asked.result({"resultType": "input_required", "inputRequests": question})

    async def refuse(asked):
        needed = {"requiredCapabilities": {"elicitation": {}}}
        return asked.error(-32021, "Missing required client capability", 400, needed)

    async with McpServer(modern=True) as server:
        server.tools |= {"echo": ask, "count": refuse}
        async with running_gateway({"servers": {"demo": {"url": server.url}}}, tmp_path) as gateway:
            asked, refused = await contents(gateway, call(), call("demo__count"))
            assert asked.startswith("Error: unsupported: ")
            assert "elicitation/create: Which city?" in asked
            assert refused.startswith("Error: unsupported: Missing required client capability")
            assert "elicitation" in refused


async def test_a_server_that_is_down_is_told_to_the_model_and_its_functions_stay(tmp_path):
    health = {"interval": 1, "timeout": 2, "fall": 1, "rise": 1}
    async with McpServer(modern=True) as server:
        config = {"servers": {"demo": {"url": server.url}}, "health": health}
        async with running_gateway(config, tmp_path) as gateway:
            await gateway.until(lambda: gateway.tools())
            await server.__aexit__()
            await gateway.until(lambda: gateway.inside.board.census() == {"down": 1})
            listed = await (await gateway.client.get(f"{gateway.root}/api/tools")).json()
            assert len(listed["tools"]) == 2
            [content] = await contents(gateway, call())
            assert content.startswith("Error: ")
            assert "offline" in content
            assert [row["outcome"] for row in await gateway.rows()] == ["refused"]


async def test_the_requests_of_chat_back_ends_are_counted_at_their_own_door(server, gateway):
    await contents(gateway, call())
    await gateway.client.get(f"{gateway.root}/api/tools", headers={"Host": "evil.example"})
    metrics = await (await gateway.client.get(f"{gateway.root}/metrics")).text()
    assert 'mcp_gateway_requests_total{door="chat",era="none",status="200"} 1.0' in metrics
    assert 'mcp_gateway_requests_total{door="chat",era="none",status="421"} 1.0' in metrics
    assert 'mcp_gateway_calls_total{method="tools/call",outcome="ok",server="demo",tool="echo"} 1.0' in metrics


async def test_the_tag_of_a_list_changes_with_the_list(tmp_path):
    async with McpServer(modern=True) as one, McpServer(modern=True) as two:
        config = {"servers": {"one": {"url": one.url}}}
        async with running_gateway(config, tmp_path) as gateway:
            await gateway.until(lambda: gateway.tools())
            first = await gateway.client.get(f"{gateway.root}/api/tools")
            known = {"If-None-Match": first.headers["ETag"]}
            assert (await gateway.client.get(f"{gateway.root}/api/tools", headers=known)).status == 304
            whole = json.loads(gateway.file.read_text())
            gateway.write({**whole, "servers": {**config["servers"], "two": {"url": two.url}}})
            await gateway.until(lambda: "two" in gateway.inside.control.live.table.servers)
            second = await gateway.client.get(f"{gateway.root}/api/tools", headers=known)
            assert second.status == 200
            assert len((await second.json())["tools"]) == 4


async def test_an_answer_keeps_its_bytes_inside_the_message(server, gateway):
    async def raw(asked):
        block = rb'{"type":"text","text":"\u00e9\ud800\/"},{"type":"x","n":1.10,"s":"\u00e9"}'
        kind = b'"resultType":"complete",' if asked.modern else b""
        id_ = json.dumps(asked.message["id"]).encode()
        body = b'{"jsonrpc":"2.0","id":' + id_ + b',"result":{' + kind + b'"content":[' + block + b"]}}"
        return web.Response(body=body, content_type="application/json")

    server.tools["echo"] = raw
    body = json.dumps({"tool_calls": [call()]}).encode()
    answer = await gateway.client.post(
        f"{gateway.root}/api/tool-calls", data=body, headers={"Content-Type": "application/json"}
    )
    expected = rb'"content":"\u00e9\ud800\/\n{\"type\":\"x\",\"n\":1.10,\"s\":\"\\u00e9\"}"'
    assert expected in await answer.read()
