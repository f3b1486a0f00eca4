"""The door for chat back ends: the frame that it shares with the MCP doors, and what is its own."""

import asyncio
import hashlib
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.access import KeyRing
from gateway.chat_calls import MOST_CALLS
from gateway.errors import GatewayError, Kind
from gateway.http.chat import PARALLEL, ChatDoor
from gateway.protocol import jsonrpc
from gateway.protocol.versions import Era
from gateway.settings import Limits
from gateway.sink import Answer
from storage.records import Caller, Outcome
from tests.support.doors import house
from tests.support.waiting import until

PATIENCE = 10
CALLS, TOOLS = "/api/tool-calls", "/api/tools"


def call(name="time__now", arguments="{}", id="call_1"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


async def post(h, *calls, path=CALLS, **more):
    body = more.pop("json", {"tool_calls": list(calls)})
    return await h.client.post(path, json=body, **more)


async def messages(h, *calls, **more):
    answer = await post(h, *calls, **more)
    assert answer.status == 200, await answer.text()
    return json.loads(await answer.text())["messages"]


async def error_of(answer):
    return answer.status, json.loads(await answer.text())["error"]


def say(words):
    block = json.dumps({"content": [{"type": "text", "text": words}]}).encode()
    return lambda call, relay: relay.result(block)


async def test_the_functions_are_those_of_the_aggregate_and_each_can_be_called():
    async with house({"new": Era.MODERN, "old": Era.LEGACY}) as h:
        for server in h.servers.values():
            server.behaviour = say("noon")
        listed = await (await h.client.get(TOOLS)).json()
        names = [tool["function"]["name"] for tool in listed["tools"]]
        assert names == ["new__now", "old__now"]
        found = await messages(h, *(call(name, '{"a":1}', f"c{n}") for n, name in enumerate(names)))
        assert found == [{"role": "tool", "tool_call_id": f"c{n}", "content": "noon"} for n in range(2)]
        for server in h.servers.values():
            assert bytes(server.calls[0].params["arguments"]) == b'{"a":1}'
        assert h.memory.statuses == [200, 200]


async def test_one_server_is_chosen_with_its_own_names():
    async with house({"new": Era.MODERN, "old": Era.LEGACY}) as h:
        h.servers["old"].behaviour = say("noon")
        listed = await (await h.client.get(f"{TOOLS}/?server=old")).json()
        assert [tool["function"]["name"] for tool in listed["tools"]] == ["now"]
        assert (await messages(h, call("now"), path=f"{CALLS}/?server=old"))[0]["content"] == "noon"
        assert h.memory.opened[0].slug == "old"


@pytest.mark.trap(38)
async def test_a_name_that_models_cannot_call_is_listed_altered_and_routed_back():
    async with house(tools={"time": [{"name": "get.time/now"}]}) as h:
        h.servers["time"].behaviour = say("noon")
        listed = await (await h.client.get(f"{TOOLS}?server=time")).json()
        name = listed["tools"][0]["function"]["name"]
        assert name.startswith("get_time_now_")
        assert (await messages(h, call(name), path=f"{CALLS}?server=time"))[0]["content"] == "noon"
        assert h.servers["time"].calls[0].target == "get.time/now"


@pytest.mark.trap(39)
async def test_a_list_of_many_pages_is_one_list():
    async with house(tools={"time": [{"name": f"t{n:04}"} for n in range(2_500)]}) as h:
        listed = await (await h.client.get(TOOLS)).json()
        assert [tool["function"]["name"] for tool in listed["tools"]] == [f"time__t{n:04}" for n in range(2_500)]


@pytest.mark.parametrize("known", ["{etag}", "W/{etag}", '"x", {etag}', "*"])
async def test_a_list_that_the_back_end_has_is_not_sent_again(known):
    async with house() as h:
        etag = (await h.client.get(TOOLS)).headers["ETag"]
        answer = await h.client.get(TOOLS, headers={"If-None-Match": known.format(etag=etag)})
        assert (answer.status, await answer.read(), answer.headers["ETag"]) == (304, b"", etag)
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert (await h.client.get(TOOLS, headers={"If-None-Match": '"other"'})).status == 200


async def test_the_head_of_a_list_is_that_of_a_get():
    async with house(tools={"time": [{"name": "a", "description": "x" * 400_000}]}) as h:
        got, head = await h.client.get(TOOLS), await h.client.head(TOOLS)
        assert len(await got.read()) == int(head.headers["Content-Length"])
        assert head.headers["ETag"] == got.headers["ETag"]
        assert head.content_type == "application/json"


@pytest.mark.parametrize(
    ("query", "status", "param"),
    [
        ("?server=nope", 404, None),
        ("?server=", 404, "server"),
        ("?server=groups/x", 404, "server"),
        ("?group=nope", 404, None),
        ("?group=", 404, "group"),
        ("?servers=time", 400, "servers"),
        ("?server=time&server=time", 400, "server"),
        ("?server=time&group=x", 400, "group"),
    ],
)
async def test_a_choice_that_chooses_nothing_is_refused_at_both_ends(query, status, param):
    async with house() as h:
        for answer in (await h.client.get(TOOLS + query), await post(h, call(), path=CALLS + query)):
            found, error = await error_of(answer)
            assert (found, error["param"], error["type"]) == (status, param, "invalid_request_error")
        assert not h.memory.opened


async def test_calls_run_at_once_and_their_messages_keep_the_order_of_the_calls():
    arrived, all_there = [], asyncio.Event()

    async def behave(call, relay):
        arrived.append(call)
        if len(arrived) == PARALLEL:
            all_there.set()
        await all_there.wait()
        relay.result(b'{"content":[{"type":"text","text":%b}]}' % bytes(call.params["arguments"])[5:-1])

    async with house() as h, asyncio.timeout(PATIENCE):
        h.servers["time"].behaviour = behave
        found = await messages(h, *(call(arguments=f'{{"n":"{n}"}}', id=f"c{n}") for n in range(PARALLEL)))
        assert [(one["tool_call_id"], one["content"]) for one in found] == [(f"c{n}", str(n)) for n in range(PARALLEL)]


async def test_no_more_calls_of_one_request_run_at_once_than_there_are_places():
    running, most = 0, 0

    async def behave(call, relay):
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(20):
            await asyncio.sleep(0)
        running -= 1
        relay.result(b'{"content":[]}')

    async with house() as h, asyncio.timeout(PATIENCE):
        h.servers["time"].behaviour = behave
        assert len(await messages(h, *(call(id=str(n)) for n in range(MOST_CALLS)))) == MOST_CALLS
        assert most == PARALLEL


async def test_calls_with_one_id_are_calls_of_their_own():
    async with house() as h:
        h.servers["time"].behaviour = lambda call, relay: relay.result(
            b'{"content":[{"type":"text","text":"%b"}]}' % bytes(call.params["arguments"])[5:6]
        )
        found = await messages(h, call(arguments='{"n":1}'), call(arguments='{"n":2}'))
        assert [(one["tool_call_id"], one["content"]) for one in found] == [("call_1", "1"), ("call_1", "2")]


@pytest.mark.trap(33)
async def test_a_call_that_makes_no_sense_spoils_none_of_the_others():
    async with house({"time": Era.MODERN, "down": Era.MODERN}) as h:
        h.servers["time"].behaviour = say("noon")
        h.down.errors["down"] = GatewayError(Kind.SERVER_DOWN, "Server 'down' is offline")
        calls = [
            call(),
            call("time__nope"),
            call(arguments='{"a":'),
            call(arguments="[]"),
            {"id": "c", "type": "custom", "custom": {}},
            call("down__now"),
            call(arguments='{"a":' + "[" * 200 + "]" * 200 + "}"),
            call(),
        ]
        found = [one["content"] for one in await messages(h, *calls)]
        assert (found[0], found[-1]) == ("noon", "noon")
        assert found[1] == "Error: Unknown tool: time__nope"
        assert all(words.startswith("Error: ") for words in found[1:-1])
        assert "no JSON" in found[2]
        assert "object" in found[3]
        assert "custom" in found[4]
        assert "offline" in found[5]
        assert "limits.depth" in found[6]
        assert sorted(record.outcome for record in h.memory.closed) == ["ok", "ok", "refused"]
        assert len(h.memory.refusals) == 5


@pytest.mark.parametrize(
    ("kind", "outcome"), [(Kind.TIMEOUT, Outcome.TIMEOUT), (Kind.SERVER_CLOSED, Outcome.UPSTREAM_ERROR)]
)
async def test_the_model_reads_how_a_server_failed(kind, outcome):
    async with house() as h:
        h.servers["time"].behaviour = lambda call, relay: relay.fail(GatewayError(kind, "it went wrong"))
        assert (await messages(h, call()))[0]["content"] == "Error: it went wrong"
        assert [record.outcome for record in h.memory.closed] == [outcome]


async def test_the_model_reads_that_a_question_is_unsupported():
    question = b'{"method":"elicitation/create","params":{"message":"Which city?"}}'
    asked = b'{"resultType":"input_required","inputRequests":{"a":%b}}' % question
    async with house() as h:
        h.servers["time"].behaviour = lambda call, relay: relay.result(asked)
        content = (await messages(h, call()))[0]["content"]
        assert content.startswith("Error: unsupported: ")
        assert "Which city?" in content
        assert h.memory.closed[0].outcome is Outcome.PROTOCOL_ERROR


async def test_what_precedes_an_answer_is_not_sent_and_keeps_the_call_alive():
    def behave(call, relay):
        relay.notify("notifications/progress", b'{"progressToken":77,"progress":1}')
        relay.result(b'{"content":[{"type":"text","text":"done"}]}')

    async with house() as h:
        h.servers["time"].behaviour = behave
        assert (await messages(h, call(), headers={"Accept": "application/json, text/event-stream"}))[0][
            "content"
        ] == "done"
        assert h.servers["time"].calls[0].client.wants_progress


async def test_no_call_is_taken_that_could_not_be_recorded():
    async with house() as h:
        h.memory.full = True
        assert "recorded" in (await messages(h, call()))[0]["content"]
        assert not h.servers["time"].calls


async def test_a_bug_of_ours_is_told_without_its_secrets(caplog):
    async with house() as h:

        def behave(call, relay):
            raise ZeroDivisionError("secret detail")

        h.servers["time"].behaviour = behave
        content = (await messages(h, call()))[0]["content"]
        assert content.startswith("Error: internal error")
        assert "ZeroDivisionError" in caplog.text


@pytest.mark.trap(28)
@pytest.mark.trap(68)
async def test_a_back_end_that_hangs_up_cancels_every_call_and_the_records_say_so():
    async with house() as h, asyncio.timeout(PATIENCE):
        h.servers["time"].behaviour = lambda call, relay: None
        calling = asyncio.get_running_loop().create_task(post(h, *(call(id=str(n)) for n in range(PARALLEL + 4))))
        await until(lambda: len(h.servers["time"].relays) == PARALLEL)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        await until(lambda: len(h.memory.closed) == PARALLEL)
        assert {record.outcome for record in h.memory.closed} == {Outcome.CANCELLED}
        assert len(h.memory.opened) == PARALLEL
        assert all(relay.left_early for relay in h.servers["time"].relays)


@pytest.mark.trap(72)
async def test_a_draining_gateway_ends_what_runs_and_takes_nothing_new():
    async with house() as h, asyncio.timeout(PATIENCE):
        h.servers["time"].behaviour = lambda call, relay: None
        calling = asyncio.get_running_loop().create_task(post(h, *(call(id=str(n)) for n in range(PARALLEL + 4))))
        await until(lambda: len(h.servers["time"].relays) == PARALLEL)
        h.pipeline.drain()
        await h.calls.drain(0.01)
        found = json.loads(await (await calling).text())["messages"]
        assert len(found) == PARALLEL + 4
        assert all("shutting down" in one["content"] for one in found)
        for answer in (await post(h, call()), await h.client.get(TOOLS)):
            assert await error_of(answer) == (
                503,
                {
                    "message": "the gateway is shutting down; connect again",
                    "type": "server_error",
                    "param": None,
                    "code": "draining",
                },
            )
            assert answer.headers["Connection"] == "close"


async def test_answers_that_do_not_fit_together_are_told_apart_from_those_that_do():
    async with house(limits=Limits(response_bytes=10_000)) as h:
        h.servers["time"].behaviour = say("x" * 6_000)
        found = [one["content"] for one in await messages(h, call(id="a"), call(id="b"))]
        assert sorted(len(content) > 5_000 for content in found) == [False, True]
        assert "limits.response_bytes" in min(found, key=len)


@pytest.mark.trap(18)
async def test_a_back_end_that_stops_reading_a_large_answer_is_cut():
    async with house(limits=Limits(stalled_reader=0.2)) as h, asyncio.timeout(PATIENCE):
        h.servers["time"].behaviour = say("x" * 30_000_000)
        body = json.dumps({"tool_calls": [call()]}).encode()
        head = f"POST {CALLS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        _, writer = await asyncio.open_connection("127.0.0.1", h.client.port, limit=1_024)
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await until(lambda: h.memory.refusals == ["stalled"])
        assert [record.outcome for record in h.memory.closed] == [Outcome.OK]
        writer.transport.abort()


async def test_keys_are_needed_at_both_ends():
    alice = Caller(user_id=9, user="alice", key="ci")
    async with house(keys=KeyRing({hashlib.sha256(b"s3cret").hexdigest(): alice})) as h:
        h.servers["time"].behaviour = say("noon")
        for key in (None, "wrong-key"):
            headers = {} if key is None else {"Authorization": f"Bearer {key}"}
            for answer in (await h.client.get(TOOLS, headers=headers), await post(h, call(), headers=headers)):
                status, error = await error_of(answer)
                assert (status, error["type"]) == (401, "invalid_request_error")
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert not h.memory.opened
        for headers in ({"Authorization": "Bearer s3cret"}, {"X-API-Key": "s3cret"}):
            assert (await h.client.get(TOOLS, headers=headers)).status == 200
            assert (await messages(h, call(), headers=headers))[0]["content"] == "noon"
        assert {record.caller for record in h.memory.opened} == {alice}


@pytest.mark.trap(59)
@pytest.mark.parametrize("path", [TOOLS, CALLS])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_a_foreign_origin_is_403_and_a_foreign_host_421(path, method):
    async with house() as h:
        foreign_origin = await h.client.request(method, path, headers={"Origin": "http://evil.example"})
        foreign_host = await h.client.request(method, path, headers={"Host": "evil.example"})
        assert (foreign_origin.status, foreign_host.status) == (403, 421)


async def test_an_allowed_origin_may_ask_and_read():
    async with house() as h:
        origin = {"Origin": "http://localhost:6274"}
        answer = await h.client.get(TOOLS, headers=origin)
        assert answer.headers["Access-Control-Allow-Origin"] == origin["Origin"]
        assert answer.headers["Access-Control-Expose-Headers"].startswith("ETag")
        preflight = await h.client.options(CALLS, headers=origin)
        assert preflight.status == 204
        assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
        assert "X-Chat-Session-Id" in preflight.headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize(("path", "method"), [(TOOLS, "POST"), (TOOLS, "DELETE"), (CALLS, "GET"), (CALLS, "PUT")])
async def test_a_method_that_an_end_does_not_have_is_405_and_says_what_is_allowed(path, method):
    async with house() as h:
        answer = await h.client.request(method, path)
        assert answer.status == 405
        assert method not in answer.headers["Allow"]
        assert path in (await error_of(answer))[1]["message"]


async def test_a_body_that_makes_no_sense_is_400_and_says_where():
    async with house() as h:
        status, error = await error_of(await post(h, call(), {"id": 7}))
        assert (status, error["param"]) == (400, "tool_calls[1].id")
        status, error = await error_of(await post(h, *[call()] * (MOST_CALLS + 1)))
        assert status == 400
        assert str(MOST_CALLS) in error["message"]
        assert not h.memory.opened
        assert h.memory.refusals == ["invalid_request"] * 2


@pytest.mark.trap(24)
async def test_the_limits_of_a_body_are_those_of_every_door():
    async with house(limits=Limits(request_bytes=2_000)) as h:
        status, error = await error_of(await post(h, call(arguments=json.dumps({"x": "y" * 3_000}))))
        assert status == 413
        assert "limits.request_bytes" in error["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Encoding": "gzip"}, 415),
        ({"Accept": "text/event-stream"}, 406),
        ({"Accept": "text/html"}, 406),
        ({"Accept": "*/*"}, 200),
    ],
)
async def test_media_types_are_those_of_json(headers, status):
    async with house() as h:
        body = json.dumps({"tool_calls": []}).encode()
        sent = {"Content-Type": "application/json", **headers}
        answer = await h.client.post(CALLS, data=body, headers=sent, skip_auto_headers=["Content-Encoding"])
        assert answer.status == status


async def test_headers_that_belong_to_mcp_clients_mean_nothing_here():
    async with house() as h:
        h.servers["time"].behaviour = say("noon")
        headers = {"Mcp-Name": "other", "Mcp-Method": "x", "Mcp-Session-Id": "y", "MCP-Protocol-Version": "2025-11-25"}
        assert (await messages(h, call(), headers=headers))[0]["content"] == "noon"
        assert (await h.client.get(TOOLS, headers=headers)).status == 200


@pytest.mark.parametrize(
    ("body", "headers", "session", "message"),
    [
        ({}, {"X-Chat-Session-Id": "s-1", "X-Chat-Message-Id": "7"}, "s-1", "7"),
        ({"session_id": "s-2", "message_id": 8}, {}, "s-2", "8"),
        ({"session_id": "s-2"}, {"X-Chat-Session-Id": "s-1", "X-Chat-Message-Id": "7"}, "s-2", "7"),
        ({"session_id": None}, {"X-Chat-Session-Id": "s-1"}, "s-1", None),
    ],
)
async def test_the_chat_of_a_call_is_claimed_in_headers_or_in_the_body(body, headers, session, message):
    async with house() as h:
        await messages(h, json={"tool_calls": [call()], **body}, headers=headers)
        assert (h.memory.opened[0].claim.session, h.memory.opened[0].claim.message) == (session, message)
        assert b"s-2" not in h.memory.opened[0].request


async def test_the_client_of_a_call_is_its_user_agent():
    async with house() as h:
        await messages(h, call(), headers={"User-Agent": "acme-chat/3.1"})
        assert (h.memory.opened[0].client_name, h.memory.opened[0].client_version) == ("acme-chat", "3.1")


class Shifting:
    """Stands for a pipeline whose list changes between its two pages, `changes` times."""

    draining = False

    def __init__(self, changes):
        self.changes = changes

    def authenticate(self, authorization, api_key):
        return Caller(user_id=1, user="local")

    async def handle(self, inbound, sink):
        answer = jsonrpc.result(1, b'{"tools":[{"name":"a"}],"nextCursor":"x"}')
        if b'"cursor"' in inbound.body:
            self.changes -= 1
            answer = jsonrpc.result(1, b'{"tools":[{"name":"b"}]}')
            if self.changes >= 0:
                answer = jsonrpc.error(1, -32602, "the list has changed since this cursor")
        await sink.finish(Answer(answer))


@pytest.mark.trap(39)
@pytest.mark.parametrize(("changes", "status"), [(0, 200), (2, 200), (3, 503)])
async def test_a_list_that_changes_between_its_pages_is_begun_anew_a_few_times(changes, status):
    async with house() as h:
        door = ChatDoor(
            Shifting(changes), h.tasks, h.memory, h.memory, limits=Limits(), frontier=lambda: h.live.frontier
        )
        app = web.Application()
        app.add_routes(door.routes())
        async with TestClient(TestServer(app)) as client:
            answer = await client.get(TOOLS)
            body = json.loads(await answer.text())
    assert answer.status == status
    names = [tool["function"]["name"] for tool in body.get("tools", [])]
    assert names == (["a", "b"] if status == 200 else [])
