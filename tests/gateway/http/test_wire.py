"""What stands on the wire between a client and the doors, corner by corner, in both eras."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from msgspec import Raw
from multidict import CIMultiDict

from gateway.access import KeyRing
from gateway.paging import PAGE_SIZE
from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.protocol.versions import Era
from gateway.routing import changes, table
from gateway.upstream.values import Forward
from storage.records import Caller, Outcome
from tests.gateway.http.test_interaction import call, frames, notification, request
from tests.support.doors import House, Relaying, house, modern_request, shelf_of
from tests.support.waiting import until

VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
ROOTS = {CAPABILITIES: {"roots": {}}}
RESULT = b'{"content":[]}'
CALL = {"name": "time__now", "arguments": {}}
OFFERS = {
    "prompts": [{"name": "p"}],
    "resources": [{"uri": "file:///a", "name": "a"}],
    "capabilities": {"tools": {}, "prompts": {}, "resources": {}, "completions": {}},
}
ALICE, BOB = (Caller(user_id=number, user=name, key=name) for number, name in ((1, "alice"), (2, "bob")))
KEYS = KeyRing({hashlib.sha256(caller.user.encode()).hexdigest(): caller for caller in (ALICE, BOB)})


class TestModernRequests:
    @pytest.mark.point(4)
    @pytest.mark.parametrize("name", ["MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"])
    async def test_a_header_that_intermediaries_route_by_comes_once(self, name: str) -> None:
        async with house() as h:
            headers, body = modern_request("tools/call", CALL, {})
            copies = CIMultiDict(headers)
            assert (await h.client.post("/mcp", data=body, headers=copies)).status == 200
            copies.add(name, headers[name])
            answer = await h.client.post("/mcp", data=body, headers=copies)
            assert (answer.status, (await answer.json())["error"]["code"]) == (400, -32020)
            assert len(h.servers["time"].calls) == 1

    @pytest.mark.point(6)
    async def test_a_page_may_send_the_headers_of_arguments_whatever_they_are_called(self) -> None:
        async with house() as h:
            asked = {"Access-Control-Request-Method": "POST"}
            asked["Access-Control-Request-Headers"] = "content-type,mcp-param-region, Mcp-Param-X-1,x-evil"
            preflight = await h.client.options("/mcp", headers={"Origin": "http://localhost:6274", **asked})
            allowed = {name.strip().lower() for name in preflight.headers["Access-Control-Allow-Headers"].split(",")}
            assert {"mcp-param-region", "mcp-param-x-1", "mcp-method", "mcp-name"} <= allowed
            assert "x-evil" not in allowed

    @pytest.mark.point(1)
    @pytest.mark.trap(11)
    @pytest.mark.parametrize(
        ("changed", "status", "code"),
        [
            ({}, 200, None),
            ({"headers": {"MCP-Protocol-Version": None}}, 400, -32020),
            ({"headers": {"Mcp-Method": None}}, 400, -32020),
            ({"meta": {VERSION: 7}}, 400, -32602),
            ({"meta": {CAPABILITIES: []}}, 400, -32602),
            ({"raw": b'{"jsonrpc":"2.0","id":1,"method":"server/discover"}'}, 400, -32602),
            ({"raw": b'{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":[]}}'}, 400, -32602),
        ],
    )
    async def test_discovery_is_asked_for_like_everything_else(self, changed: Any, status: int, code: Any) -> None:
        async with house() as h:
            answer = await h.modern("server/discover", **changed)
            body = await answer.json()
            assert (answer.status, body.get("error", {}).get("code")) == (status, code)
            assert h.settled == [], "it waits for no server"

    @pytest.mark.trap(11)
    async def test_discovery_in_no_modern_words_is_a_method_that_legacy_clients_do_not_have(self) -> None:
        async with house() as h:
            answer = await h.legacy({"jsonrpc": "2.0", "id": 1, "method": "server/discover"})
            assert (answer.status, (await answer.json())["error"]["code"]) == (200, -32601)

    @pytest.mark.point(14)
    @pytest.mark.trap(31)
    async def test_clients_with_one_id_at_one_time_get_their_own_answers(self) -> None:
        async with house({"time": Era.LEGACY}) as h:
            h.servers["time"].behaviour = lambda call, relay: None
            sessions = [await h.initialize(), await h.initialize()]
            asked = [
                h.modern("tools/call", {**CALL, "arguments": {"n": 0}}, id=1),
                h.modern("tools/call", {**CALL, "arguments": {"n": 1}}, id="1"),
                *(h.legacy(call(1, arguments={"n": n + 2}), session=sid) for n, sid in enumerate(sessions)),
                h.legacy(call("1", arguments={"n": 4}), session=sessions[0]),
            ]
            async with asyncio.timeout(10):
                tasks = [asyncio.get_running_loop().create_task(one) for one in asked]
                await until(lambda: len(h.servers["time"].relays) == len(asked))
                for forwarded, relay in reversed(
                    [*zip(h.servers["time"].calls, h.servers["time"].relays, strict=True)]
                ):
                    relay.result(b'{"content":[],"own":' + bytes(forwarded.params["arguments"]) + b"}")
                answers = [json.loads(await (await task).text()) for task in tasks]
            assert [answer["id"] for answer in answers] == [1, "1", 1, 1, "1"]
            assert [answer["result"]["own"]["n"] for answer in answers] == [0, 1, 2, 3, 4]

    @pytest.mark.point(15)
    async def test_every_page_of_a_list_may_be_kept_as_long_and_by_the_same(self) -> None:
        many = [{"name": f"p{number}"} for number in range(2 * PAGE_SIZE + 1)]
        async with house({"docs": Era.MODERN}, offers={"docs": {"prompts": many}}) as h:
            seen, cursor = [], {}
            while cursor is not None:
                page = (await (await h.modern("prompts/list", cursor)).json())["result"]
                seen.append((page["ttlMs"], page["cacheScope"], page["resultType"]))
                cursor = {"cursor": page["nextCursor"]} if "nextCursor" in page else None
            assert len(seen) == 3
            assert set(seen) == {seen[0]}

    @pytest.mark.point(15)
    @pytest.mark.parametrize("era", list(Era))
    @pytest.mark.parametrize(
        ("method", "params"),
        [
            ("tools/call", {"name": "now", "arguments": {}}),
            ("prompts/get", {"name": "p"}),
            ("resources/read", {"uri": "file:///a"}),
            ("completion/complete", {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {}}),
        ],
    )
    async def test_a_result_says_what_modern_clients_need_whatever_its_server_said(
        self, era: Era, method: str, params: dict[str, Any]
    ) -> None:
        said = b'{"resultType":"complete","ttlMs":7,"cacheScope":"public"}' if era is Era.MODERN else b"{}"
        async with house({"docs": era}, offers={"docs": OFFERS}) as h:
            h.servers["docs"].behaviour = lambda call, relay: relay.result(said)
            headers = {"Mcp-Name": params.get("uri", params.get("name"))}
            answer = await h.modern(method, params, path="/servers/docs/mcp", headers=headers)
            result = (await answer.json())["result"]
            assert result["resultType"] == "complete"
            if era is Era.MODERN:
                assert result == json.loads(said)
            elif method == "resources/read":
                assert (result["ttlMs"], result["cacheScope"]) == (0, "private")

    @pytest.mark.point(16)
    async def test_a_modern_stream_carries_no_requests(self) -> None:
        def behaviour(call: Forward, relay: Relaying) -> None:
            relay.messages.put_nowait(Message(MessageKind.REQUEST, Raw(b"9"), "sampling/createMessage", Raw(b"{}")))
            relay.notify("notifications/vendor", b"{}")
            relay.result(RESULT)

        async with house({"time": Era.LEGACY}) as h:
            h.servers["time"].behaviour = behaviour
            seen = [frame async for frame in frames(await h.modern("tools/call", CALL))]
            assert [frame.get("method", frame.get("id")) for frame in seen] == ["notifications/vendor", 1]

    @pytest.mark.point(17)
    @pytest.mark.trap(28)
    async def test_who_hangs_up_in_the_middle_of_a_stream_stops_the_call(self) -> None:
        async with house() as h:
            server = h.servers["time"]
            server.behaviour = lambda call, relay: relay.notify("notifications/vendor", b"{}")
            async with asyncio.timeout(10):
                answer = await h.modern("tools/call", CALL)
                await anext(frames(answer))
                answer.close()
                await server.relays[0].left.wait()
                await h.memory.any_closed.wait()
            server.relays[0].result(RESULT)
            assert [record.outcome for record in h.memory.closed] == [Outcome.CANCELLED]
            assert len(h.calls) == 0
            server.behaviour = lambda call, relay: relay.result(b'{"content":[],"fresh":true}')
            assert (await (await h.modern("tools/call", CALL)).json())["result"]["fresh"] is True

    @pytest.mark.point(18)
    async def test_nobody_is_logged_to_who_did_not_ask_or_asked_for_nonsense(self) -> None:
        async with house() as h:
            server = h.servers["time"]

            def behaviour(call: Forward, relay: Relaying) -> None:
                relay.notify("notifications/message", b'{"level":"emergency","data":"x"}')
                relay.result(RESULT)

            server.behaviour = behaviour
            answer = await h.modern("tools/call", CALL)
            assert b"notifications/message" not in await answer.read()
            for level in ("loud", "", None, 3):
                bad = await h.modern("tools/call", CALL, meta={"io.modelcontextprotocol/logLevel": level})
                assert (bad.status, (await bad.json())["error"]["code"]) == (400, -32602)
            assert len(server.calls) == 1

    @pytest.mark.point(19)
    @pytest.mark.trap(32)
    @pytest.mark.parametrize("token", [b'"1"', b"1", b'"\\u00e9"', b"123456789012345678901234567890"])
    async def test_progress_bears_the_clients_own_token_in_order_and_ends_with_the_answer(self, token: bytes) -> None:
        def behaviour(call: Forward, relay: Relaying) -> None:
            for number in (b"1", b"1.50", b"2e0"):
                relay.notify("notifications/progress", b'{"progressToken":77,"progress":' + number + b"}")
            relay.notify("notifications/progress", b'{"progressToken":78,"progress":9}')
            relay.result(RESULT)
            relay.notify("notifications/progress", b'{"progressToken":77,"progress":3}')

        async with house() as h:
            h.servers["time"].behaviour = behaviour
            headers, body = modern_request("tools/call", CALL, {"progressToken": "TOKEN"})
            answer = await h.modern("tools/call", raw=body.replace(b'"TOKEN"', token), headers=headers)
            events = [line for line in (await answer.read()).split(b"\n") if line.startswith(b"data: {")]
            told = [b'"progressToken":%b,"progress":%b}' % (token, number) for number in (b"1", b"1.50", b"2e0")]
            assert len(events) == 4
            assert all(said in event for said, event in zip(told, events, strict=False))
            assert b'"result"' in events[-1]

    @pytest.mark.point(33)
    @pytest.mark.point(34)
    async def test_a_resource_that_a_legacy_server_does_not_find_is_invalid_params_under_the_clients_uri(self) -> None:
        missing = b'{"code":-32002,"message":"Resource not found","data":{"uri":"file:///a","n":1.10}}'
        async with house({"docs": Era.LEGACY}, offers={"docs": OFFERS}) as h:
            h.servers["docs"].behaviour = lambda call, relay: relay.error(missing)
            answer = await h.modern("resources/read", {"uri": "docs+file:///a"}, headers={"Mcp-Name": "docs+file:///a"})
            said = missing.replace(b"-32002", b"-32602").replace(b"file:///a", b"docs+file:///a")
            assert said in await answer.read()
            read = request("resources/read", {"uri": "docs+file:///a"})
            legacy = await h.legacy(read, session=await h.initialize())
            assert missing.replace(b"file:///a", b"docs+file:///a") in await legacy.read()


class TestRounds:
    """A modern server's questions, and the requests that answer them."""

    ASKED: tuple[tuple[str, dict[str, Any]], ...] = (
        ("tools/call", {"name": "now", "arguments": {}}),
        ("prompts/get", {"name": "p", "arguments": {}}),
        ("resources/read", {"uri": "file:///a"}),
    )
    PATH = "/servers/docs/mcp"

    async def ask(self, h: House, method: str, params: dict[str, Any], key: str = "alice", **more: Any) -> Any:
        headers = {"X-API-Key": key, "Mcp-Name": params.get("uri", params.get("name"))}
        own = f"round {len(h.servers['docs'].calls)}"  # a retry has an id of its own
        answer = await h.modern(method, {**params, **more}, path=self.PATH, headers=headers, meta=ROOTS, id=own)
        body = await answer.json()
        assert body["id"] == own
        return body

    @pytest.mark.point(20)
    @pytest.mark.point(21)
    @pytest.mark.parametrize(("method", "params"), ASKED)
    async def test_a_request_is_asked_back_until_its_server_knows_enough(
        self, method: str, params: dict[str, Any]
    ) -> None:
        said = [
            b'{"resultType":"input_required","inputRequests":{"a":{"method":"roots/list"}},"requestState":"one"}',
            b'{"resultType":"input_required","requestState":"two"}',
            b'{"resultType":"input_required","inputRequests":{"a":{"method":"roots/list"},"b":{"method":"roots/list"}}}',
            b'{"resultType":"complete"}',
        ]
        async with house({"docs": Era.MODERN}, offers={"docs": OFFERS}, keys=KEYS) as h:
            server = h.servers["docs"]
            server.behaviour = lambda call, relay: relay.result(said[len(server.calls) - 1])
            first = (await self.ask(h, method, params))["result"]
            assert first["inputRequests"] == {"a": {"method": "roots/list"}}
            answers = {"a": {"roots": []}, "stranger": {"action": "accept"}}
            second = (await self.ask(h, method, params, inputResponses=answers, requestState=first["requestState"]))[
                "result"
            ]
            assert set(second) == {"resultType", "requestState"}, "a server may only ask for another try"
            third = (await self.ask(h, method, params, requestState=second["requestState"]))["result"]
            assert set(third["inputRequests"]) == {"a", "b"}
            again = {"requestState": third["requestState"]} if "requestState" in third else {}
            done = await self.ask(h, method, params, inputResponses={}, **again)
            assert done["result"] == {"resultType": "complete"}
            heard = [{key: bytes(raw) for key, raw in call.params.items()} for call in server.calls]
            assert [one.get("requestState") for one in heard] == [None, b'"one"', b'"two"', None]
            assert json.loads(heard[1]["inputResponses"]) == answers, "what is not asked for is the server's to ignore"
            assert "inputResponses" not in heard[2]
            assert heard[3]["inputResponses"] == b"{}", "an answer that is missing is the server's to ask for again"

    @pytest.mark.point(21)
    @pytest.mark.parametrize(("method", "params"), ASKED)
    async def test_another_replica_may_take_the_next_round(self, method: str, params: dict[str, Any]) -> None:
        asks = b'{"resultType":"input_required","inputRequests":{"a":{"method":"roots/list"}},"requestState":"s"}'
        settings: dict[str, Any] = {"offers": {"docs": OFFERS}, "keys": KEYS}
        async with house({"docs": Era.MODERN}, **settings) as one, house({"docs": Era.MODERN}, **settings) as two:
            one.servers["docs"].behaviour = lambda call, relay: relay.result(asks)
            state = (await self.ask(one, method, params))["result"]["requestState"]
            two.servers["docs"].behaviour = lambda call, relay: relay.result(b'{"resultType":"complete"}')
            done = await self.ask(two, method, params, inputResponses={"a": {"roots": []}}, requestState=state)
            assert done["result"] == {"resultType": "complete"}
            assert bytes(two.servers["docs"].calls[0].params["requestState"]) == b'"s"'

    @pytest.mark.point(22)
    async def test_a_state_that_is_not_what_was_given_never_reaches_a_server(self) -> None:
        asks = b'{"resultType":"input_required","requestState":"s"}'
        method, params = self.ASKED[0]
        two = [{"name": "now", "inputSchema": {}}, {"name": "then", "inputSchema": {}}]
        async with house({"docs": Era.MODERN}, offers={"docs": {"tools": two}}, keys=KEYS) as h:
            h.servers["docs"].behaviour = lambda call, relay: relay.result(asks)
            state = (await self.ask(h, method, params))["result"]["requestState"]
            flipped = state[:-4] + ("A" if state[-4] != "A" else "B") + state[-3:]
            for wrong in (
                self.ask(h, method, params, requestState=flipped),
                self.ask(h, method, params, requestState="s"),
                self.ask(h, method, params, "bob", requestState=state),
                self.ask(h, method, {"name": "then", "arguments": {}}, requestState=state),
                self.ask(h, method, {"name": "now", "arguments": {"x": 1}}, requestState=state),
            ):
                assert (await wrong)["error"]["code"] == -32602
            assert len(h.servers["docs"].calls) == 1


class TestLegacyRequests:
    @pytest.mark.point(38)
    @pytest.mark.point(39)
    async def test_a_handshake_says_what_there_is_and_what_to_do_with_it(self) -> None:
        async with house({"docs": Era.LEGACY}, offers={"docs": OFFERS}) as h:
            known = shelf_of(1, "docs", Era.LEGACY, **OFFERS)
            assert known.catalog is not None
            told = replace(known, catalog=replace(known.catalog, instructions="Read first."))
            h.live = replace(h.live, table=table([told]))
            params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
            answer = await h.legacy(request("initialize", params), path="/servers/docs/mcp")
            assert answer.headers["Mcp-Session-Id"]
            result = (await answer.json())["result"]
            assert (result["protocolVersion"], result["instructions"]) == ("2025-06-18", "Read first.")
            assert set(result["capabilities"]) == {"tools", "prompts", "resources", "completions"}
            assert set(result) == {"protocolVersion", "serverInfo", "instructions", "capabilities"}

    @pytest.mark.point(39)
    async def test_a_session_is_its_users_and_what_needs_no_answer_gets_none(self) -> None:
        async with house(keys=KEYS) as h:
            params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
            opened = await h.legacy(request("initialize", params), headers={"X-API-Key": "alice"})
            session = opened.headers["Mcp-Session-Id"]
            ping, silent = request("ping"), (notification("notifications/x"), {"jsonrpc": "2.0", "id": 9, "result": {}})
            for key, status in (("alice", 200), ("bob", 404)):
                answer = await h.legacy(ping, session=session, headers={"X-API-Key": key})
                assert answer.status == status
            for message in silent:
                answer = await h.legacy(message, session=session, headers={"X-API-Key": "alice"})
                assert (answer.status, await answer.read()) == (202, b"")
            owned = {"Mcp-Session-Id": session, "Accept": "text/event-stream"}
            for method in ("GET", "DELETE"):
                answer = await h.client.request(method, "/mcp", headers={**owned, "X-API-Key": "bob"})
                assert answer.status == 404
            assert (await h.client.delete("/mcp", headers={**owned, "X-API-Key": "alice"})).status == 204

    @pytest.mark.point(41)
    async def test_what_is_said_stands_on_exactly_one_stream(self) -> None:
        def behaviour(call: Forward, relay: Relaying) -> None:
            relay.notify("notifications/progress", b'{"progressToken":77,"progress":1}')
            relay.notify("notifications/message", b'{"level":"info","data":"of the call"}')
            relay.result(RESULT)

        async with house({"time": Era.LEGACY}) as h:
            h.servers["time"].behaviour = behaviour
            token = await h.initialize(version="2025-06-18")
            headers = {"Mcp-Session-Id": token, "Accept": "text/event-stream"}
            standing = await h.client.get("/mcp", headers=headers)
            asked = request("tools/call", {**CALL, "_meta": {"progressToken": "t"}})
            own = [frame async for frame in frames(await h.legacy(asked, headers={"Mcp-Session-Id": token}))]
            assert [frame.get("method", "the answer") for frame in own] == [
                "notifications/progress",
                "notifications/message",
                "the answer",
            ]
            after = table([shelf_of(1, "time", Era.LEGACY, tools=[{"name": "other"}])])
            h.sessions.changed(changes(h.live.table, after, Era.LEGACY))
            stream = frames(standing)
            assert (await anext(stream))["method"] == "notifications/tools/list_changed"
            h.sessions.end_streams()
            assert [frame async for frame in stream] == []

    @pytest.mark.point(42)
    async def test_a_cancellation_of_what_does_not_run_is_ignored(self) -> None:
        async with house() as h:
            session = await h.initialize()
            h.servers["time"].behaviour = lambda call, relay: None
            calling = asyncio.get_running_loop().create_task(h.legacy(call("a"), session=session))
            async with asyncio.timeout(10):
                await h.servers["time"].called.wait()
                for wrong in (0, "b", None, 1.5, {}, "A"):
                    stop = notification("notifications/cancelled", {"requestId": wrong})
                    assert (await h.legacy(stop, session=session)).status == 202
                for params in ({}, []):
                    stop = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
                    assert (await h.legacy(stop, session=session)).status in (202, 400)
                other = await h.initialize()
                foreign = notification("notifications/cancelled", {"requestId": "a"})
                assert (await h.legacy(foreign, session=other)).status == 202
                h.servers["time"].relays[0].result(RESULT)
                assert (await (await calling).json())["result"] == json.loads(RESULT)
            assert [record.outcome for record in h.memory.closed] == [Outcome.OK]

    @pytest.mark.point(44)
    async def test_a_schema_of_a_question_keeps_its_bytes(self) -> None:
        schema = (
            b'{"mode":"form","message":"\\u00e9","requestedSchema":{"type":"object","properties":{"a":{"type":"string",'
            b'"default":"x","enum":["x","y"],"enumNames":["X","Y"]},"b":{"type":"integer","default":1.0},"c":{"oneOf":'
            b'[{"const":"p","title":"P"}],"default":"p"},"d":{"type":"array","minItems":1,"items":{"anyOf":[{"const":'
            b'"q","title":"Q"}]},"default":["q"]},"e":{"type":"boolean","default":false}},"required":[]}}'
        )
        told: list[bytes] = []

        async def behaviour(call: Forward, relay: Relaying) -> None:
            async def ask() -> None:
                assert call.asks is not None
                asked = Message(MessageKind.REQUEST, jsonrpc.text("s"), "elicitation/create", Raw(schema))
                told.append(await call.asks.answer(asked, call))
                relay.result(RESULT)

            relay.tasks.spawn(ask(), "ask")

        async with house({"time": Era.LEGACY}) as h:
            h.servers["time"].behaviour = behaviour
            session = await h.initialize()
            answer = await h.legacy(call(), session=session)
            async with asyncio.timeout(10):
                while schema not in (line := await answer.content.readline()):
                    assert line, "the stream has ended"
                asked = json.loads(line.removeprefix(b"data: "))
                own = b'{"jsonrpc":"2.0","id":"%b","result":{"action":"accept","content":{"b":1.0}}}'
                await h.legacy(own % asked["id"].encode(), session=session)
                await answer.read()
        assert told == [b'{"jsonrpc":"2.0","id":"s","result":{"action":"accept","content":{"b":1.0}}}']

    @pytest.mark.point(43)
    @pytest.mark.parametrize("method", ["resources/subscribe", "resources/unsubscribe"])
    async def test_a_subscription_begins_and_ends_at_the_server_of_its_uri(self, method: str) -> None:
        said = {"tools": {}, "resources": {"subscribe": True}}
        async with house({"docs": Era.LEGACY}, offers={"docs": {**OFFERS, "capabilities": said}}) as h:
            h.servers["docs"].behaviour = lambda call, relay: relay.result(b"{}")
            asked = request(method, {"uri": "docs+file:///a"})
            answer = await h.legacy(asked, session=await h.initialize())
            assert (await answer.json())["result"] == {}
            [forwarded] = h.servers["docs"].calls
            assert (forwarded.method, bytes(forwarded.params["uri"])) == (method, b'"file:///a"')

    @pytest.mark.point(40)
    async def test_a_version_that_is_not_named_is_that_of_the_session_or_the_oldest(self) -> None:
        async with house() as h:
            session = await h.initialize(version="2025-06-18")
            await h.legacy(call(), headers={"Mcp-Session-Id": session})
            await h.legacy(call())
            assert [one.client.protocol_version for one in h.servers["time"].calls] == ["2025-06-18", "2025-03-26"]
            for wrong in ("2024-11-05", "1.0", ""):
                headers = {"Mcp-Session-Id": session, "MCP-Protocol-Version": wrong}
                assert (await h.legacy(call(), headers=headers)).status == 400

    @pytest.mark.point(46)
    async def test_a_legacy_client_reads_nothing_that_its_era_does_not_know(self) -> None:
        tools = [
            {"name": "list", "inputSchema": {"type": "object"}, "outputSchema": {"type": "array"}},
            {"name": "now", "inputSchema": {"type": "object"}, "outputSchema": {"type": "object"}},
        ]
        said = b'{"resultType":"complete","content":[{"type":"text","text":"[1]"}],"structuredContent":[1]}'
        async with house({"time": Era.MODERN}, tools={"time": tools}) as h:
            h.servers["time"].behaviour = lambda call, relay: relay.result(said)
            session = await h.initialize()
            listed = (await (await h.legacy(request("tools/list"), session=session)).json())["result"]
            assert [sorted(tool) for tool in listed["tools"]] == [
                ["inputSchema", "name"],
                ["inputSchema", "name", "outputSchema"],
            ]
            assert set(listed) == {"tools"}
            answer = await (await h.legacy(call(name="time__list"), session=session)).json()
            assert answer["result"] == {"content": [{"type": "text", "text": "[1]"}]}
