"""What the doors answer, over real sockets: statuses and codes of the specification, and never a 500."""

import asyncio
import hashlib
import json

import pytest

from gateway.access import KeyRing
from gateway.errors import GatewayError, Kind
from gateway.protocol.versions import Era
from gateway.settings import Limits
from storage.records import Caller, Outcome
from tests.support.doors import LEGACY, MODERN, house
from tests.support.waiting import until

VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"


async def code_of(answer):
    body = json.loads(await answer.text())
    return answer.status, body["error"]["code"]


@pytest.mark.trap(10)
async def test_the_four_combinations_of_eras_carry_a_plain_call():
    async with house({"new": Era.MODERN, "old": Era.LEGACY}) as h:
        session = await h.initialize()
        for slug in ("new", "old"):
            name = f"{slug}__now"
            answer = await h.modern("tools/call", {"name": name, "arguments": {"a": 1}})
            result = json.loads(await answer.text())["result"]
            assert result.get("resultType", "complete") == "complete"
            assert result["echo"] == {"a": 1}
            message = {
                "jsonrpc": "2.0",
                "id": 7,
                "method": "tools/call",
                "params": {"name": name, "arguments": {"a": 1}},
            }
            answer = await h.legacy(message, session=session)
            assert json.loads(await answer.text()) == {
                "jsonrpc": "2.0",
                "id": 7,
                "result": {"content": [], "echo": {"a": 1}},
            }


async def test_an_aggregate_prefixes_names_and_a_servers_own_door_does_not():
    async with house({"time": Era.MODERN}) as h:
        aggregate = json.loads(await (await h.modern("tools/list")).text())["result"]["tools"]
        own = json.loads(await (await h.modern("tools/list", path="/servers/time/mcp")).text())["result"]["tools"]
        assert [tool["name"] for tool in aggregate] == ["time__now"]
        assert [tool["name"] for tool in own] == ["now"]
        answer = await h.modern("tools/call", {"name": "now", "arguments": {}}, path="/servers/time/mcp/")
        assert answer.status == 200
        assert h.servers["time"].calls[0].target == "now"


@pytest.mark.point(38)
@pytest.mark.parametrize("version", ["2025-03-26", "2025-06-18", "2025-11-25"])
async def test_initialize_answers_each_legacy_version_with_itself(version):
    async with house() as h:
        params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        answer = await h.legacy({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
        assert json.loads(await answer.text())["result"]["protocolVersion"] == version
        assert answer.headers["Mcp-Session-Id"].isascii()


@pytest.mark.point(38)
@pytest.mark.parametrize("version", ["2024-11-05", "1999-01-01", "2026-07-28", "x"])
async def test_initialize_answers_any_other_version_with_our_latest(version):
    async with house() as h:
        params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        answer = await h.legacy({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
        assert json.loads(await answer.text())["result"]["protocolVersion"] == "2025-11-25"


@pytest.mark.point(1)
async def test_discover_needs_only_the_two_required_keys_and_names_every_version():
    async with house() as h:
        result = json.loads(await (await h.modern("server/discover")).text())["result"]
        assert result["supportedVersions"][0] == MODERN
        assert result["resultType"] == "complete"
        assert result["cacheScope"] in ("private", "public")
        assert isinstance(result["ttlMs"], int)
        assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "mcp-gateway"


MALFORMED = [
    (b"", -32700),
    (b"{", -32700),
    (b"nonsense", -32700),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":NaN}}', -32700),
    (b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"ping"}', -32700),
    (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', -32700),
    (b"[" * 100_000, -32700),
    (b'{"a":' * 100_000, -32700),
    (b"[]", -32600),
    (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600),
    (b"1", -32600),
    (b'"x"', -32600),
    (b"null", -32600),
    (b"{}", -32600),
    (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600),
    (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
    (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600),
    (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600),
    (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":7}', -32600),
    (b'{"jsonrpc":"2.0","id":1}', -32600),
    (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', -32600),
]


@pytest.mark.point(8)
@pytest.mark.trap(31)
@pytest.mark.parametrize(("body", "code"), MALFORMED)
async def test_what_is_no_message_is_answered_400_with_its_code_and_counted(body, code):
    async with house() as h:
        assert await code_of(await h.legacy(body)) == (400, code)
        assert await code_of(await h.modern("tools/list", raw=body)) == (400, code)
        assert len(h.memory.refusals) == 2
        assert not h.memory.opened


MODERN_REFUSALS = [
    ({"headers": {"MCP-Protocol-Version": None}}, 400, -32020),
    ({"headers": {"MCP-Protocol-Version": "2025-11-25"}}, 400, -32020),
    ({"headers": {"Mcp-Method": None}}, 400, -32020),
    ({"headers": {"Mcp-Method": "Tools/Call"}}, 400, -32020),
    ({"headers": {"Mcp-Name": None}}, 400, -32020),
    ({"headers": {"Mcp-Name": "time__later"}}, 400, -32020),
    ({"headers": {"Mcp-Name": "=?base64?!!!?="}}, 400, -32020),
    ({"headers": {"Mcp-Name": "=?BASE64?dGltZV9fbm93?="}}, 400, -32020),
    ({"meta": {VERSION: "1999-01-01"}, "headers": {"MCP-Protocol-Version": "1999-01-01"}}, 400, -32022),
    ({"meta": {VERSION: 7}}, 400, -32602),
    ({"meta": {CAPABILITIES: None}}, 400, -32602),
    ({"meta": {CAPABILITIES: []}}, 400, -32602),
    ({"meta": {"progressToken": 1.5}}, 400, -32602),
    ({"meta": {"io.modelcontextprotocol/logLevel": "loud"}}, 400, -32602),
]


@pytest.mark.point(2)
@pytest.mark.point(3)
@pytest.mark.parametrize(("changed", "status", "code"), MODERN_REFUSALS)
async def test_a_modern_request_whose_envelope_or_headers_do_not_hold_is_refused(changed, status, code):
    async with house() as h:
        answer = await h.modern("tools/call", {"name": "time__now", "arguments": {}}, id="x", **changed)
        body = json.loads(await answer.text())
        assert (answer.status, body["error"]["code"], body["id"]) == (status, code, "x")
        assert not h.servers["time"].calls


@pytest.mark.point(3)
async def test_an_unsupported_version_is_told_what_is_supported():
    async with house() as h:
        changed = {"meta": {VERSION: "1999-01-01"}, "headers": {"MCP-Protocol-Version": "1999-01-01"}}
        error = json.loads(await (await h.modern("tools/list", **changed)).text())["error"]
        discovered = json.loads(await (await h.modern("server/discover")).text())["result"]
        assert error["data"]["requested"] == "1999-01-01"
        assert set(error["data"]["supported"]) <= set(discovered["supportedVersions"])


@pytest.mark.point(5)
async def test_a_base64_name_is_decoded_before_it_is_compared():
    async with house() as h:
        answer = await h.modern(
            "tools/call", {"name": "time__now", "arguments": {}}, headers={"Mcp-Name": "=?base64?dGltZV9fbm93?="}
        )
        assert answer.status == 200


@pytest.mark.trap(12)
async def test_a_header_mismatch_concerns_its_own_request_alone():
    async with house() as h:
        assert (await h.modern("tools/list", headers={"Mcp-Method": "x"})).status == 400
        assert (await h.modern("tools/list")).status == 200


@pytest.mark.point(7)
@pytest.mark.parametrize(
    "method", ["initialize", "ping", "logging/setLevel", "resources/subscribe", "prompts/list", "unknown/method"]
)
async def test_a_method_that_modern_clients_do_not_have_is_404(method):
    async with house() as h:
        answer = await h.modern(method)
        assert await code_of(answer) == (404, -32601)


@pytest.mark.point(11)
async def test_a_modern_notification_is_accepted_with_nothing():
    async with house() as h:
        body = json.dumps({"jsonrpc": "2.0", "method": "notifications/x", "params": {"_meta": {VERSION: MODERN}}})
        answer = await h.modern("notifications/x", raw=body.encode())
        assert (answer.status, await answer.read()) == (202, b"")


@pytest.mark.point(8)
async def test_a_posted_response_of_a_modern_client_is_refused():
    async with house() as h:
        body = b'{"jsonrpc":"2.0","id":1,"result":{}}'
        assert await code_of(await h.modern("x", raw=body)) == (400, -32600)


@pytest.mark.point(10)
async def test_session_headers_mean_nothing_to_modern_requests_and_none_is_minted():
    async with house() as h:
        answer = await h.modern("tools/list", headers={"Mcp-Session-Id": "nonsense", "Last-Event-ID": "7"})
        assert answer.status == 200
        assert "Mcp-Session-Id" not in answer.headers


@pytest.mark.trap(33)
@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_an_unknown_tool_is_invalid_params_and_the_next_call_works(era):
    async with house() as h:
        for name, good in (("time__nope", False), ("time__now", True)):
            if era == "modern":
                answer = await h.modern("tools/call", {"name": name, "arguments": {}})
            else:
                message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": {}}}
                answer = await h.legacy(message)
            body = json.loads(await answer.text())
            assert ("result" in body) is good
            if not good:
                assert body["error"]["code"] == -32602
                assert "time__nope" in body["error"]["message"]
        assert len(h.memory.opened) == 1


@pytest.mark.point(12)
@pytest.mark.trap(24)
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_413_and_names_the_limit(chunked):
    async with house(limits=Limits(request_bytes=20_000)) as h:
        big = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"' + b"y" * 20_000 + b'"}}'

        async def parts():
            for start in range(0, len(big), 4_096):
                yield big[start : start + 4_096]

        headers = {"Content-Type": "application/json"}
        answer = await h.client.post("/mcp", data=parts() if chunked else big, headers=headers)
        assert answer.status == 413
        text = await answer.text()
        assert "20000" in text
        assert "limits.request_bytes" in text


@pytest.mark.trap(24)
@pytest.mark.trap(69)
@pytest.mark.parametrize("size", [16_000, 24_000, 2_000_000, 3_500_000, 10_000_000])
async def test_a_body_below_the_limit_arrives_whole(size):
    async with house() as h:
        answer = await h.modern("tools/call", {"name": "time__now", "arguments": {"x": "y" * size}})
        assert json.loads(await answer.text())["result"]["echo"]["x"] == "y" * size


@pytest.mark.point(12)
@pytest.mark.parametrize(
    "media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx"]
)
async def test_a_wrong_content_type_is_415(media):
    async with house() as h:
        answer = await h.legacy({"jsonrpc": "2.0", "id": 1, "method": "ping"}, headers={"Content-Type": media})
        assert answer.status == 415


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
async def test_a_compressed_body_is_415_and_is_not_inflated(coding):
    async with house() as h:
        headers = {"Content-Type": "application/json", "Content-Encoding": coding}
        answer = await h.client.post("/mcp", data=b"\x1f\x8b", headers=headers, skip_auto_headers=["Content-Encoding"])
        assert answer.status == 415


@pytest.mark.point(12)
@pytest.mark.parametrize(
    ("accept", "status"), [("text/html", 406), ("image/*", 406), ("*/*", 200), ("application/json", 200), (None, 200)]
)
async def test_accept_decides_whether_an_answer_can_be_given(accept, status):
    async with house() as h:
        answer = await h.modern("tools/list", headers={"Accept": accept})
        assert answer.status == status


@pytest.mark.point(13)
@pytest.mark.trap(59)
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE", "OPTIONS"])
async def test_a_foreign_origin_is_403_and_a_foreign_host_421_whatever_the_method(method):
    async with house() as h:
        foreign_origin = await h.client.request(method, "/mcp", headers={"Origin": "http://evil.example"})
        foreign_host = await h.client.request(method, "/mcp", headers={"Host": "evil.example"})
        assert (foreign_origin.status, foreign_host.status) == (403, 421)


@pytest.mark.point(13)
async def test_an_allowed_origin_may_read_the_answer_and_the_session_id():
    async with house() as h:
        answer = await h.modern("tools/list", headers={"Origin": "http://localhost:6274"})
        assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:6274"
        assert "Mcp-Session-Id" in answer.headers["Access-Control-Expose-Headers"]
        preflight = await h.client.options("/mcp", headers={"Origin": "http://localhost:6274"})
        assert preflight.status == 204
        assert "Mcp-Method" in preflight.headers["Access-Control-Allow-Headers"]


async def test_a_browser_may_send_the_headers_that_carry_arguments_and_no_others():
    async with house() as h:
        asked = "mcp-method, Mcp-Param-City, mcp-param-a.b, Mcp-Param-, X-Evil, Mcp-Param-\u00e9"
        headers = {"Origin": "http://localhost:6274", "Access-Control-Request-Headers": asked}
        preflight = await h.client.options("/mcp", headers=headers)
        allowed = {name.strip() for name in preflight.headers["Access-Control-Allow-Headers"].split(",")}
        assert {name for name in allowed if "param" in name.lower()} == {"Mcp-Param-City", "mcp-param-a.b"}
        assert "X-Evil" not in allowed


@pytest.mark.point(10)
@pytest.mark.point(47)
@pytest.mark.trap(20)
@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH", "HEAD"])
async def test_anything_but_post_without_a_session_is_405_and_says_what_is_allowed(method):
    async with house() as h:
        answer = await h.client.request(method, "/mcp", headers={"Accept": "text/event-stream"})
        assert answer.status == 405
        assert "POST" in answer.headers["Allow"]


async def test_an_unregistered_server_is_404():
    async with house() as h:
        assert await code_of(await h.modern("tools/list", path="/servers/nope/mcp")) == (404, -32600)


async def test_keys_are_needed_at_every_method_and_never_repeated():
    alice = Caller(user_id=9, user="alice", key="ci")
    keys = KeyRing({hashlib.sha256(b"s3cret").hexdigest(): alice})
    async with house(keys=keys) as h:
        for key in (None, "wrong-key"):
            headers = {} if key is None else {"Authorization": f"Bearer {key}"}
            answers = [await h.modern("tools/list", headers=dict(headers)), await h.client.get("/mcp", headers=headers)]
            answers.append(await h.client.delete("/mcp", headers=headers))
            for answer in answers:
                assert answer.status == 401
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
                assert "wrong-key" not in await answer.text()
        good = await h.modern("tools/call", {"name": "time__now"}, headers={"Authorization": "Bearer s3cret"})
        assert good.status == 200
        assert h.memory.opened[0].caller == alice


@pytest.mark.point(39)
@pytest.mark.point(43)
async def test_a_session_lives_until_delete_and_is_then_unknown():
    async with house() as h:
        session = await h.initialize()
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        assert (
            await h.legacy({"jsonrpc": "2.0", "method": "notifications/initialized"}, session=session)
        ).status == 202
        assert await (await h.legacy(ping, session=session)).json() == {"jsonrpc": "2.0", "id": 1, "result": {}}
        assert (await h.client.delete("/mcp", headers={"Mcp-Session-Id": session})).status == 204
        assert (await h.legacy(ping, session=session)).status == 404
        assert (await h.client.delete("/mcp", headers={"Mcp-Session-Id": session})).status == 404
        assert (await h.client.get("/mcp", headers={"Mcp-Session-Id": session})).status == 404
        assert len(h.ended) == 1


@pytest.mark.point(39)
@pytest.mark.parametrize("session", ["nonsense", "A" * 5_000, "yOKKzb2tRXv6"])
async def test_an_unknown_session_is_404_and_not_a_new_one(session):
    async with house() as h:
        answer = await h.legacy({"jsonrpc": "2.0", "id": 1, "method": "ping"}, session=session)
        assert await code_of(answer) == (404, -32600)


async def test_a_session_of_another_door_is_unknown():
    async with house() as h:
        session = await h.initialize("/servers/time/mcp")
        answer = await h.legacy({"jsonrpc": "2.0", "id": 1, "method": "ping"}, session=session)
        assert answer.status == 404


@pytest.mark.point(39)
@pytest.mark.trap(2)
async def test_a_legacy_client_that_never_echoes_its_session_is_served_nevertheless():
    async with house() as h:
        await h.initialize()
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "time__now", "arguments": {}}}
        assert (await h.legacy(message)).status == 200
        assert (await h.legacy({"jsonrpc": "2.0", "method": "notifications/initialized"})).status == 202


@pytest.mark.point(40)
async def test_a_legacy_version_that_we_do_not_speak_is_400():
    async with house() as h:
        session = await h.initialize()
        message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        bad = {"Mcp-Session-Id": session, "MCP-Protocol-Version": "2024-11-05"}
        assert (await h.legacy(message, headers=bad)).status == 400
        good = {"Mcp-Session-Id": session, "MCP-Protocol-Version": None}
        assert (await h.legacy(message, headers=good)).status == 200


async def test_a_legacy_method_that_is_not_offered_is_an_error_inside_the_session():
    async with house() as h:
        session = await h.initialize()
        message = {"jsonrpc": "2.0", "id": 1, "method": "prompts/list"}
        assert await code_of(await h.legacy(message, session=session)) == (200, -32601)


@pytest.mark.point(41)
async def test_a_get_opens_one_stream_and_the_newest_wins():
    async with house() as h:
        session = await h.initialize()
        headers = {"Mcp-Session-Id": session, "Accept": "text/event-stream", "MCP-Protocol-Version": LEGACY}
        async with asyncio.timeout(10):
            older = await h.client.get("/mcp", headers=headers)
            assert older.status == 200
            assert older.content_type == "text/event-stream"
            assert older.headers["X-Accel-Buffering"] == "no"
            newer = await h.client.get("/mcp", headers=headers)
            await older.read()
            assert not newer.content.at_eof()
            h.sessions.end_streams()
            await newer.read()


@pytest.mark.point(16)
@pytest.mark.trap(16)
async def test_progress_arrives_one_by_one_on_the_calls_own_stream_under_the_clients_token():
    async with house() as h:
        go = asyncio.Event()

        def behave(call, relay):
            relay.notify("notifications/progress", b'{"progressToken":77,"progress":1.10,"x":"\\u00e9"}')

        h.servers["time"].behaviour = behave
        params = {"name": "time__now", "arguments": {}}
        async with asyncio.timeout(10):
            answer = await h.modern("tools/call", params, meta={"progressToken": "mine"})
            assert answer.content_type == "text/event-stream"
            assert answer.headers["X-Accel-Buffering"] == "no"
            first = await answer.content.readuntil(b"\n\n")
            assert b'"progressToken":"mine"' in first
            assert b'"progress":1.10,"x":"\\u00e9"' in first
            go.set()
            h.servers["time"].relays[0].result(b'{"content":[]}')
            assert b'"result":{"content":[]}' in await answer.content.readuntil(b"\n\n")
            assert await answer.content.read() == b""


@pytest.mark.point(19)
@pytest.mark.trap(32)
async def test_two_clients_with_one_progress_token_get_each_their_own_progress():
    async with house() as h:

        def behave(call, relay):
            mark = bytes(call.params["arguments"])
            relay.notify("notifications/progress", b'{"progressToken":77,"progress":1,"message":' + mark + b"}")
            relay.result(b'{"content":[],"mark":' + mark + b"}")

        h.servers["time"].behaviour = behave
        async with asyncio.timeout(10):
            answers = await asyncio.gather(
                *(
                    h.modern("tools/call", {"name": "time__now", "arguments": mark}, meta={"progressToken": 1})
                    for mark in ("a", "b")
                )
            )
            texts = [await answer.text() for answer in answers]
        assert '"message":"a"' in texts[0]
        assert '"message":"b"' not in texts[0]
        assert '"message":"b"' in texts[1]


@pytest.mark.point(18)
async def test_progress_that_nobody_asked_for_and_lists_that_changed_stay_here():
    async with house() as h:

        def behave(call, relay):
            relay.notify("notifications/progress", b'{"progressToken":77,"progress":1}')
            relay.notify("notifications/tools/list_changed", b"{}")
            relay.notify("notifications/message", b'{"level":"info","data":"x"}')
            relay.result(b'{"content":[]}')

        h.servers["time"].behaviour = behave
        answer = await h.modern("tools/call", {"name": "time__now", "arguments": {}})
        assert answer.content_type == "application/json"


@pytest.mark.point(18)
@pytest.mark.parametrize(
    ("asked", "sent", "arrives"), [("warning", "error", True), ("warning", "info", False), ("debug", "debug", True)]
)
async def test_log_messages_reach_a_modern_client_from_the_level_that_it_asked_for(asked, sent, arrives):
    async with house() as h:

        def behave(call, relay):
            relay.notify("notifications/message", b'{"level":"%s","data":"x"}' % sent.encode())
            relay.result(b'{"content":[]}')

        h.servers["time"].behaviour = behave
        meta = {"io.modelcontextprotocol/logLevel": asked}
        answer = await h.modern("tools/call", {"name": "time__now", "arguments": {}}, meta=meta)
        assert (b"notifications/message" in await answer.read()) is arrives


async def test_a_client_that_takes_json_alone_gets_json_and_no_notifications():
    async with house() as h:

        def behave(call, relay):
            relay.notify("notifications/progress", b'{"progressToken":77,"progress":1}')
            relay.result(b'{"content":[]}')

        h.servers["time"].behaviour = behave
        answer = await h.modern(
            "tools/call", {"name": "time__now"}, meta={"progressToken": 1}, headers={"Accept": "application/json"}
        )
        assert answer.content_type == "application/json"


@pytest.mark.point(17)
@pytest.mark.trap(28)
async def test_a_modern_client_that_hangs_up_cancels_the_call_once_and_the_record_says_so():
    async with house() as h:
        h.servers["time"].behaviour = lambda call, relay: None
        calling = asyncio.get_running_loop().create_task(h.modern("tools/call", {"name": "time__now", "arguments": {}}))
        async with asyncio.timeout(10):
            await h.servers["time"].called.wait()
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)
            await h.servers["time"].relays[0].left.wait()
            await h.memory.any_closed.wait()
        assert h.servers["time"].relays[0].left_early
        assert [record.outcome for record in h.memory.closed] == [Outcome.CANCELLED]
        assert (await h.modern("tools/list")).status == 200


@pytest.mark.point(42)
async def test_a_legacy_client_that_hangs_up_stops_nothing_and_the_call_is_recorded_to_its_end():
    async with house() as h:
        session = await h.initialize()
        h.servers["time"].behaviour = lambda call, relay: None
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "time__now", "arguments": {}}}
        calling = asyncio.get_running_loop().create_task(h.legacy(message, session=session))
        async with asyncio.timeout(10):
            await h.servers["time"].called.wait()
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)
            h.servers["time"].relays[0].result(b'{"content":[]}')
            await h.memory.any_closed.wait()
        assert [record.outcome for record in h.memory.closed] == [Outcome.OK]
        assert not h.servers["time"].relays[0].left_early


@pytest.mark.point(42)
@pytest.mark.trap(28)
async def test_a_legacy_client_cancels_by_notification_and_its_stream_ends():
    async with house() as h:
        session = await h.initialize()
        h.servers["time"].behaviour = lambda call, relay: None
        message = {
            "jsonrpc": "2.0",
            "id": "a",
            "method": "tools/call",
            "params": {"name": "time__now", "arguments": {}},
        }
        calling = asyncio.get_running_loop().create_task(h.legacy(message, session=session))
        async with asyncio.timeout(10):
            await h.servers["time"].called.wait()
            cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "a"}}
            assert (await h.legacy(cancelled, session=session)).status == 202
            answer = await calling
            assert json.loads(await answer.text())["error"]["code"] == -32800
        assert h.servers["time"].relays[0].left_early
        assert [record.outcome for record in h.memory.closed] == [Outcome.CANCELLED]


async def test_the_end_of_a_session_abandons_what_runs_in_it():
    async with house() as h:
        session = await h.initialize()
        h.servers["time"].behaviour = lambda call, relay: None
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "time__now", "arguments": {}}}
        calling = asyncio.get_running_loop().create_task(h.legacy(message, session=session))
        async with asyncio.timeout(10):
            await h.servers["time"].called.wait()
            await h.client.delete("/mcp", headers={"Mcp-Session-Id": session})
            await calling
        assert [record.outcome for record in h.memory.closed] == [Outcome.ABANDONED]


@pytest.mark.point(14)
@pytest.mark.trap(31)
async def test_ids_keep_their_type_and_spelling():
    async with house() as h:
        for own in ("1", 1, "é", 12345678901234567890):
            answer = await h.modern("tools/call", {"name": "time__now", "arguments": {}}, id=own)
            assert json.loads(await answer.text())["id"] == own
        raw = b'{"jsonrpc":"2.0","id":"\\u0031","method":"ping"}'
        assert b'"id":"\\u0031"' in await (await h.legacy(raw)).read()


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [(Kind.SERVER_CLOSED, Outcome.UPSTREAM_ERROR), (Kind.TIMEOUT, Outcome.TIMEOUT), (Kind.BUSY, Outcome.REFUSED)],
)
async def test_a_tool_call_that_a_server_failed_is_a_result_that_the_model_can_act_on(kind, outcome):
    async with house() as h:
        h.servers["time"].behaviour = lambda call, relay: relay.fail(GatewayError(kind, "it went wrong", reason="why"))
        answer = await h.modern("tools/call", {"name": "time__now", "arguments": {}})
        result = json.loads(await answer.text())["result"]
        assert answer.status == 200
        assert result["isError"] is True
        assert result["content"][0]["text"] == "it went wrong"
        record = h.memory.closed[0]
        assert (record.outcome, record.reason, record.error_message) == (outcome, "why", "it went wrong")


async def test_a_server_that_is_down_is_refused_at_once_and_the_refusal_is_recorded():
    async with house() as h:
        h.down.errors["time"] = GatewayError(Kind.SERVER_DOWN, "Server 'time' is offline", reason="refused")
        answer = await h.modern("tools/call", {"name": "time__now", "arguments": {}})
        assert json.loads(await answer.text())["result"]["isError"] is True
        assert not h.servers["time"].calls
        assert [record.outcome for record in h.memory.closed] == [Outcome.REFUSED]
        assert h.memory.opened[0].target == "now"


@pytest.mark.point(33)
async def test_a_servers_own_error_passes_with_code_data_and_bytes():
    async with house() as h:
        h.servers["time"].behaviour = lambda call, relay: relay.error(b'{"code":1234,"message":"no","data":{"x":1.10}}')
        answer = await h.modern("tools/call", {"name": "time__now", "arguments": {}})
        assert b'"error":{"code":1234,"message":"no","data":{"x":1.10}}' in await answer.read()
        assert h.memory.closed[0].outcome is Outcome.PROTOCOL_ERROR


@pytest.mark.point(33)
async def test_a_tool_that_says_it_failed_is_passed_on_as_it_is():
    async with house() as h:
        body = b'{"content":[{"type":"text","text":"no such city"}],"isError":true}'
        h.servers["time"].behaviour = lambda call, relay: relay.result(body)
        answer = await h.modern("tools/call", {"name": "time__now", "arguments": {}})
        assert body in await answer.read()
        record = h.memory.closed[0]
        assert (record.outcome, record.error_message) == (Outcome.TOOL_ERROR, "no such city")


async def test_no_call_is_taken_that_could_not_be_recorded():
    async with house() as h:
        h.memory.full = True
        answer = await h.modern("tools/call", {"name": "time__now", "arguments": {}})
        assert await code_of(answer) == (503, -32603)
        assert not h.servers["time"].calls


async def test_a_bug_of_ours_is_answered_and_tells_nothing(caplog):
    async with house() as h:

        def behave(call, relay):
            raise ZeroDivisionError("secret detail")

        h.servers["time"].behaviour = behave
        answer = await h.modern("tools/call", {"name": "time__now", "arguments": {}})
        text = await answer.text()
        assert answer.status == 200
        assert json.loads(text)["error"]["code"] == -32603
        assert "secret detail" not in text
        assert len(h.memory.closed) == 1
        assert "ZeroDivisionError" in caplog.text


@pytest.mark.trap(25)
async def test_client_credentials_never_reach_a_server_and_only_allowed_headers_do():
    async with house() as h:
        headers = {"Authorization": "Bearer x", "Cookie": "a=b", "X-API-Key": "x", "X-Tenant": "t"}
        await h.modern("tools/call", {"name": "time__now", "arguments": {}}, headers=headers)
        assert dict(h.servers["time"].calls[0].headers) == {}


async def test_a_chat_claim_is_recorded_from_meta_or_headers_and_does_not_travel_on():
    async with house() as h:
        await h.modern("tools/call", {"name": "time__now"}, meta={"chat.gateway/sessionId": "s-1"})
        await h.modern("tools/call", {"name": "time__now"}, headers={"X-Chat-Message-Id": "7"})
        assert [record.claim.session for record in h.memory.opened[:1]] == ["s-1"]
        assert h.memory.opened[1].claim.message == "7"
        assert b"s-1" not in h.memory.opened[0].request


@pytest.mark.trap(72)
async def test_a_draining_gateway_takes_no_more_requests():
    async with house() as h:
        h.pipeline.drain()
        assert (await h.modern("tools/list")).status == 503


@pytest.mark.trap(72)
async def test_calls_in_flight_end_within_the_grace_and_the_rest_are_told():
    async with house() as h:
        h.servers["time"].behaviour = lambda call, relay: None
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(20):
            quick = loop.create_task(h.modern("tools/call", {"name": "time__now", "arguments": {}}))
            await h.servers["time"].called.wait()
            h.servers["time"].called.clear()
            slow = loop.create_task(h.modern("tools/call", {"name": "time__now", "arguments": {}}))
            await h.servers["time"].called.wait()
            draining = loop.create_task(h.calls.drain(0.2))
            h.servers["time"].relays[0].result(b'{"content":[]}')
            await draining
            assert (await quick).status == 200
            assert b"shutting down" in await (await slow).read()
        assert sorted(record.outcome for record in h.memory.closed) == ["abandoned", "ok"]


@pytest.mark.point(45)
@pytest.mark.trap(31)
async def test_batches_belong_to_sessions_of_2025_03_26_alone():
    async with house() as h:
        body = b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]'
        for version in ("2025-06-18", "2025-11-25"):
            session = await h.initialize(version=version)
            answer = await h.legacy(body, headers={"Mcp-Session-Id": session})
            assert await code_of(answer) == (400, -32600)


@pytest.mark.point(45)
async def test_a_batch_is_answered_by_one_array_of_what_each_message_would_get():
    async with house() as h:
        session = await h.initialize(version="2025-03-26")
        call = {"jsonrpc": "2.0", "id": "c", "method": "tools/call", "params": {"name": "time__now", "arguments": {}}}
        bad = {"jsonrpc": "2.0", "id": 2, "method": "nope"}
        messages = [
            {"jsonrpc": "2.0", "id": 1, "method": "ping"},
            call,
            bad,
            {"jsonrpc": "2.0", "method": "notifications/x"},
        ]
        answer = await h.legacy(messages, headers={"Mcp-Session-Id": session})
        found = {message["id"]: message for message in json.loads(await answer.text())}
        assert answer.status == 200
        assert set(found) == {1, "c", 2}
        assert found[2]["error"]["code"] == -32601
        assert found["c"]["result"]["content"] == []
        notes = [{"jsonrpc": "2.0", "method": "notifications/x"}]
        assert (await h.legacy(notes, headers={"Mcp-Session-Id": session})).status == 202


@pytest.mark.point(45)
@pytest.mark.parametrize(
    "messages", [b"[]", b"[1", b'[{"jsonrpc":"2.0","id":1,"method":"initialize"}]', b"[" + b"1," * 200 + b"1]"]
)
async def test_a_batch_that_makes_no_sense_is_refused_whole(messages):
    async with house() as h:
        session = await h.initialize(version="2025-03-26")
        answer = await h.legacy(messages, headers={"Mcp-Session-Id": session})
        assert answer.status == 400


@pytest.mark.trap(26)
async def test_expect_100_continue_is_answered_before_the_body_is_sent():
    async with house() as h:
        body = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
        lines = (
            "POST /mcp HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        )
        head = "\r\n".join((*lines, "Expect: 100-continue", "", ""))
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", h.client.port)
            writer.write(head.encode())
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
            writer.write(body)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            writer.close()


async def test_a_body_that_trickles_in_for_ever_is_given_up():
    async with house(limits=Limits(request_seconds=0.1)) as h:
        head = (
            b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", h.client.port)
            writer.write(head)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 408")
            assert b"limits.request_seconds" in await reader.read(500)
            writer.close()


@pytest.mark.trap(23)
async def test_headers_of_an_answer_are_ours_alone_and_its_length_is_right():
    async with house({"old": Era.LEGACY}) as h:
        answer = await h.modern("tools/call", {"name": "old__now", "arguments": {}})
        body = await answer.read()
        assert int(answer.headers["Content-Length"]) == len(body)
        assert {"content-type", "content-length", "date", "server"} >= {name.lower() for name in answer.headers}


@pytest.mark.trap(68)
async def test_a_disconnect_at_any_moment_still_closes_the_record():
    async with house() as h:
        h.servers["time"].behaviour = lambda call, relay: None
        calls = [
            asyncio.get_running_loop().create_task(h.modern("tools/call", {"name": "time__now"})) for _ in range(20)
        ]
        await until(lambda: len(h.memory.opened) == 20)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await until(lambda: len(h.memory.closed) == 20)
        assert {record.call_uid for record in h.memory.closed} == {record.call_uid for record in h.memory.opened}


async def test_a_legacy_client_is_told_when_a_server_asks_for_what_it_cannot_give():
    async with house() as h:
        asks = b'{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{}}}}'
        h.servers["time"].behaviour = lambda call, relay: relay.result(asks)
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "time__now", "arguments": {}}}
        result = json.loads(await (await h.legacy(message)).text())["result"]
        assert result["isError"] is True
        assert "input" in result["content"][0]["text"]
        assert h.memory.closed[0].outcome is Outcome.INPUT_REQUIRED
        declared = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
        modern = await h.modern("tools/call", {"name": "time__now"}, meta=declared)
        assert asks in await modern.read()


@pytest.mark.trap(28)
async def test_a_batch_that_cancels_its_own_call_is_answered():
    async with house() as h:
        h.servers["time"].behaviour = lambda call, relay: None
        session = await h.initialize(version="2025-03-26")
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "time__now", "arguments": {}}}
        stop = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        async with asyncio.timeout(10):
            answer = await h.legacy([call, stop], headers={"Mcp-Session-Id": session})
            assert json.loads(await answer.text())[0]["error"]["code"] == -32800


async def test_a_batch_within_a_batch_is_refused_and_runs_nothing():
    async with house() as h:
        session = await h.initialize(version="2025-03-26")
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "time__now", "arguments": {}}}
        answer = await h.legacy([[call] * 100] * 3, headers={"Mcp-Session-Id": session})
        assert {error["error"]["code"] for error in json.loads(await answer.text())} == {-32600}
        assert not h.memory.opened


@pytest.mark.trap(72)
async def test_a_draining_gateway_opens_no_streams():
    async with house() as h:
        session = await h.initialize()
        h.pipeline.drain()
        headers = {"Mcp-Session-Id": session, "Accept": "text/event-stream"}
        assert (await h.client.get("/mcp", headers=headers)).status == 503
