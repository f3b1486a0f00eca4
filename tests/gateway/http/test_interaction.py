"""What servers ask, what they tell, and what clients hear of it, through the doors."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import Raw

from gateway.access import KeyRing
from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.protocol.versions import Era
from gateway.routing import changes, table
from gateway.upstream.values import Forward
from storage.records import Caller, Outcome
from tests.support.doors import House, Relaying, house, shelf_of
from tests.support.waiting import until

ELICIT = {"message": "who?", "requestedSchema": {"type": "object", "properties": {"n": {"default": 1}}}}
ROOTS = {"io.modelcontextprotocol/clientCapabilities": {"roots": {}}}
RESULT = b'{"content":[{"type":"text","text":"done"}]}'


def call(id: Any = 1, name: str = "time__now", **more: Any) -> dict[str, Any]:
    return request("tools/call", {"name": name, "arguments": {}, **more}, id)


def request(method: str, params: dict[str, Any] | None = None, id: Any = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}}


def notification(method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params or {}}


def asking(*questions: tuple[str, dict[str, Any]], told: list[bytes]) -> Any:
    """A server that asks before it answers; `told` gets what it hears."""

    async def behaviour(call: Forward, relay: Relaying) -> None:
        async def ask() -> None:
            for number, (method, params) in enumerate(questions):
                asked = Message(MessageKind.REQUEST, jsonrpc.text(f"s-{number}"), method, jsonrpc.text(params))
                assert call.asks is not None
                told.append(await call.asks.answer(asked, call))
            relay.result(RESULT)

        relay.tasks.spawn(ask(), "ask")

    return behaviour


async def frames(response: Any) -> AsyncIterator[dict[str, Any]]:
    """The messages of an event stream."""
    async with asyncio.timeout(10):
        async for line in response.content:
            if line.startswith(b"data: {"):
                yield json.loads(line.removeprefix(b"data: "))


OFFERS = {
    "docs": {
        "resources": [{"uri": "file:///a"}],
        "capabilities": {"tools": {}, "resources": {"subscribe": True}},
    }
}


class TestQuestions:
    @pytest.mark.point(44)
    async def test_a_server_asks_on_the_calls_own_stream_and_hears_the_clients_answer(self) -> None:
        told: list[bytes] = []
        async with house({"time": Era.LEGACY}) as h:
            h.servers["time"].behaviour = asking(("elicitation/create", ELICIT), told=told)
            session = await h.initialize()
            stream = frames(await h.legacy(call(), session=session))
            asked = await anext(stream)
            assert (asked["method"], asked["params"]) == ("elicitation/create", ELICIT)
            answer = {"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept", "content": {"n": 2}}}
            assert (await h.legacy(answer, session=session)).status == 202
            assert (await anext(stream))["result"] == json.loads(RESULT)
        assert told == [b'{"jsonrpc":"2.0","id":"s-0","result":{"action":"accept","content":{"n":2}}}']

    async def test_an_error_of_the_client_is_what_the_server_hears(self) -> None:
        told: list[bytes] = []
        async with house({"time": Era.LEGACY}) as h:
            h.servers["time"].behaviour = asking(("sampling/createMessage", {"messages": []}), told=told)
            session = await h.initialize()
            stream = frames(await h.legacy(call(), session=session))
            refused = {"code": -1, "message": "User rejected sampling request"}
            asked = await anext(stream)
            await h.legacy({"jsonrpc": "2.0", "id": asked["id"], "error": refused}, session=session)
            assert (await anext(stream))["result"] == json.loads(RESULT)
        assert json.loads(told[0]) == {"jsonrpc": "2.0", "id": "s-0", "error": refused}

    @pytest.mark.point(44)
    @pytest.mark.trap(5)
    async def test_two_clients_of_one_tool_get_their_own_questions_and_nobody_answers_for_another(self) -> None:
        told: list[bytes] = []
        async with house({"time": Era.LEGACY}) as h:
            h.servers["time"].behaviour = asking(("roots/list", {}), told=told)
            one, two = await h.initialize(), await h.initialize()
            streams = [frames(await h.legacy(call(), session=session)) for session in (one, two)]
            asked = [await anext(stream) for stream in streams]
            wrong = {"jsonrpc": "2.0", "id": asked[0]["id"], "result": {"roots": [{"uri": "file:///evil"}]}}
            assert (await h.legacy(wrong, session=two)).status == 202
            for session, question in zip((one, two), asked, strict=True):
                right = {"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}}
                await h.legacy(right, session=session)
            for stream in streams:
                assert (await anext(stream))["result"] == json.loads(RESULT)
        assert [json.loads(one)["result"] for one in told] == [{"roots": []}, {"roots": []}]

    async def test_a_client_that_reads_no_streams_is_not_asked_and_the_server_hears_so(self) -> None:
        told: list[bytes] = []
        async with house({"time": Era.LEGACY}) as h:
            h.servers["time"].behaviour = asking(("elicitation/create", ELICIT), told=told)
            session = await h.initialize()
            answer = await h.legacy(call(), session=session, headers={"Accept": "application/json"})
            assert (await answer.json())["result"] == json.loads(RESULT)
        assert json.loads(told[0])["error"]["code"] == -32601

    async def test_a_question_of_a_call_that_is_cancelled_is_called_off(self) -> None:
        told: list[bytes] = []
        async with house({"time": Era.LEGACY}) as h:
            h.servers["time"].behaviour = asking(("elicitation/create", ELICIT), told=told)
            session = await h.initialize()
            stream = frames(await h.legacy(call(), session=session))
            asked = await anext(stream)
            await h.legacy(notification("notifications/cancelled", {"requestId": 1}), session=session)
            called_off, ended = [frame async for frame in stream]
            assert (called_off["method"], called_off["params"]["requestId"]) == (
                "notifications/cancelled",
                asked["id"],
            )
            assert ended["error"]["code"] == -32800
            assert h.memory.closed[0].outcome is Outcome.CANCELLED
            late = {"jsonrpc": "2.0", "id": "nobody", "result": {}}
            assert (await h.legacy(late, session=session)).status == 202

    async def test_progress_about_a_question_goes_to_the_server_under_its_own_token(self) -> None:
        told: list[bytes] = []
        async with house({"time": Era.LEGACY}) as h:
            question = ("sampling/createMessage", {"messages": [], "_meta": {"progressToken": 7}})
            h.servers["time"].behaviour = asking(question, told=told)
            session = await h.initialize()
            stream = frames(await h.legacy(call(), session=session))
            asked = await anext(stream)
            token = asked["params"]["_meta"]["progressToken"]
            progress = notification("notifications/progress", {"progressToken": token, "progress": 1})
            await h.legacy(progress, session=session)
            [(scope, method, params)] = h.servers["time"].notified
            assert (method, json.loads(bytes(params or b""))) == (
                "notifications/progress",
                {"progressToken": 7, "progress": 1},
            )
            assert scope.session is not None
            await h.legacy({"jsonrpc": "2.0", "id": asked["id"], "result": {}}, session=session)
            assert "result" in await anext(stream)

    async def test_a_client_without_a_session_cannot_be_asked(self) -> None:
        async with house({"time": Era.LEGACY}) as h:
            await h.legacy(call())
            await h.modern("tools/call", {"name": "time__now"})
            assert [forwarded.asks for forwarded in h.servers["time"].calls] == [None, None]


class TestNotifications:
    @pytest.mark.point(43)
    async def test_a_change_of_the_clients_roots_reaches_the_servers_that_serve_its_session(self) -> None:
        async with house({"time": Era.LEGACY, "new": Era.MODERN}) as h:
            session = await h.initialize()
            assert (await h.legacy(notification("notifications/roots/list_changed"), session=session)).status == 202
            await until(lambda: h.servers["time"].notified)
            [(scope, method, _)] = h.servers["time"].notified
            assert (method, scope.user_id) == ("notifications/roots/list_changed", 1)

    async def test_a_server_that_says_in_a_call_that_its_list_has_changed_is_listed_again(self) -> None:
        def behaviour(call: Forward, relay: Relaying) -> None:
            relay.notify("notifications/tools/list_changed", b"{}")
            relay.notify("notifications/resources/updated", b'{"uri":"file:///a"}')
            relay.result(RESULT)

        async with house({"time": Era.LEGACY}) as h:
            h.servers["time"].behaviour = behaviour
            stream = frames(await h.legacy(call(), session=await h.initialize()))
            seen = [frame async for frame in stream]
            assert h.memory.doubted == ["time"]
            assert seen[0]["params"] == {"uri": "time+file:///a"}
            assert len(seen) == 2

    @pytest.mark.point(43)
    async def test_a_level_is_for_the_session_and_its_servers_and_later_calls_carry_it(self) -> None:
        offers = {"time": {"capabilities": {"tools": {}, "logging": {}}}}

        def behaviour(call: Forward, relay: Relaying) -> None:
            for level in ("debug", "error"):
                relay.notify("notifications/message", json.dumps({"level": level, "data": level}).encode())
            relay.result(RESULT)

        async with house({"time": Era.LEGACY}, offers=offers) as h:
            h.servers["time"].behaviour = behaviour
            session = await h.initialize()
            answer = await h.legacy(request("logging/setLevel", {"level": "warning"}), session=session)
            assert (await answer.json())["result"] == {}
            assert [level for _, level in h.servers["time"].levels] == [Raw(b'"warning"')]
            seen = [frame async for frame in frames(await h.legacy(call(), session=session))]
            assert [frame["params"]["data"] for frame in seen[:-1]] == ["error"]
            assert h.servers["time"].calls[0].client.log_level == Raw(b'"warning"')
            bad = await (await h.legacy(request("logging/setLevel", {"level": "loud"}), session=session)).json()
            assert bad["error"]["code"] == -32602

    async def test_a_level_is_unknown_where_no_server_logs(self) -> None:
        async with house({"time": Era.LEGACY}) as h:
            answer = await h.legacy(request("logging/setLevel", {"level": "info"}), session=await h.initialize())
            assert (await answer.json())["error"]["code"] == -32601

    @pytest.mark.point(41)
    @pytest.mark.trap(36)
    async def test_a_session_hears_of_changes_on_its_get_and_of_those_that_it_missed_once(self) -> None:
        async with house({"time": Era.LEGACY}) as h:
            token = await h.initialize()
            session = h.sessions.find(token, Caller(user_id=1, user="local"), "")
            before, after = h.live.table, table([shelf_of(1, "time", Era.LEGACY, tools=[{"name": "other"}])])
            for _ in range(3):
                h.sessions.changed(changes(before, after, Era.LEGACY))
            headers = {"Mcp-Session-Id": token, "Accept": "text/event-stream"}
            get = await h.client.get("/mcp", headers=headers)
            stream = frames(get)
            assert (await anext(stream))["method"] == "notifications/tools/list_changed"
            assert h.servers["time"].attended == {session.facts.sid}
            h.sessions.changed({"": ("notifications/prompts/list_changed",), "time": ("x",)})
            assert (await anext(stream))["method"] == "notifications/prompts/list_changed"
            get.close()
            await until(lambda: not (h.servers["time"].attended))


class TestSubscriptions:
    @pytest.mark.point(43)
    async def test_a_session_subscribes_at_the_server_under_the_servers_uri(self) -> None:
        async with house({"docs": Era.LEGACY}, offers=OFFERS) as h:
            session = await h.initialize()
            await h.legacy(request("resources/subscribe", {"uri": "docs+file:///a"}), session=session)
            [forwarded] = h.servers["docs"].calls
            assert (forwarded.method, forwarded.target) == ("resources/subscribe", "file:///a")
            assert bytes(forwarded.params["uri"]) == b'"file:///a"'
            assert h.memory.opened[0].method == "resources/subscribe"

    async def test_without_a_session_there_is_nobody_to_tell(self) -> None:
        async with house({"docs": Era.LEGACY}, offers=OFFERS) as h:
            answer = await (await h.legacy(request("resources/subscribe", {"uri": "docs+file:///a"}))).json()
            assert answer["error"]["code"] == -32600
            assert h.servers["docs"].calls == []

    @pytest.mark.point(24)
    async def test_a_listen_begins_with_what_is_honoured_and_ends_with_a_result(self) -> None:
        async with house({"docs": Era.MODERN}, offers=OFFERS) as h:
            h.servers["docs"].honoured = frozenset({"file:///a"})
            wanted = {
                "toolsListChanged": True,
                "promptsListChanged": True,
                "resourceSubscriptions": ["docs+file:///a", "docs+file:///b", "nobody+file:///c"],
            }
            stream = frames(await h.modern("subscriptions/listen", {"notifications": wanted}, id="L"))
            acknowledged = await anext(stream)
            assert acknowledged["params"]["notifications"] == {
                "toolsListChanged": True,
                "resourceSubscriptions": ["docs+file:///a"],
            }
            h.subscriptions.changed({"": ("notifications/tools/list_changed", "notifications/prompts/list_changed")})
            assert (await anext(stream))["method"] == "notifications/tools/list_changed"
            h.subscriptions.updated(1, {"uri": Raw(b'"file:///a"')})
            updated = await anext(stream)
            assert updated["params"]["uri"] == "docs+file:///a"
            assert updated["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": "L"}
            h.subscriptions.end()
            ended = await anext(stream)
            assert (ended["id"], ended["result"]["resultType"]) == ("L", "complete")

    @pytest.mark.point(26)
    async def test_a_listen_that_is_left_follows_nothing_any_more(self) -> None:
        async with house({"docs": Era.MODERN}, offers=OFFERS) as h:
            h.servers["docs"].honoured = frozenset({"file:///a"})
            wanted = {"notifications": {"resourceSubscriptions": ["docs+file:///a"]}}
            response = await h.modern("subscriptions/listen", wanted)
            await anext(frames(response))
            assert h.servers["docs"].followed == {"file:///a"}
            response.close()
            await until(lambda: not (h.servers["docs"].followed or len(h.subscriptions)))

    async def test_a_listen_is_a_stream_and_nothing_else(self) -> None:
        async with house() as h:
            wanted = {"notifications": {"toolsListChanged": True}}
            answer = await h.modern("subscriptions/listen", wanted, headers={"Accept": "application/json"})
            assert answer.status == 406


class TestMethods:
    @pytest.mark.parametrize("method", ["vendor/thing", "skills/list"])
    async def test_a_method_of_an_extension_goes_to_the_one_server_that_it_can_be_for(self, method: str) -> None:
        async with house({"time": Era.MODERN}) as h:
            answer = await h.modern(method, {"x": 1}, path="/servers/time/mcp")
            assert answer.status == 200
            assert (h.servers["time"].calls[0].method, h.servers["time"].calls[0].target) == (method, None)
            refused = await h.modern(method, {"x": 1})
            assert (refused.status, (await refused.json())["error"]["code"]) == (404, -32601)

    async def test_among_several_servers_it_goes_to_the_only_one_that_has_the_extension(self) -> None:
        has = {"capabilities": {"tools": {}, "extensions": {"org.example/skills": {}}}}
        servers = {"one": Era.MODERN, "two": Era.MODERN, "old": Era.LEGACY}
        async with house(servers, offers={"two": has, "old": has}) as h:
            answer = await h.modern("skills/get", {"x": 1})
            assert answer.status == 200, await answer.text()
            assert [call.method for call in h.servers["two"].calls] == ["skills/get"]
            refused = await h.modern("other/get", {"x": 1})
            assert (refused.status, (await refused.json())["error"]["code"]) == (404, -32601)
        async with house(servers, offers={"one": has, "two": has}) as h:
            refused = await h.modern("skills/get", {"x": 1})
            assert (refused.status, (await refused.json())["error"]["code"]) == (404, -32601)

    @pytest.mark.point(7)
    @pytest.mark.parametrize(
        "method",
        ["ping", "initialize", "logging/setLevel", "resources/subscribe", "resources/unsubscribe", "tasks/result"],
    )
    async def test_a_method_that_the_modern_era_removed_is_unknown_whatever_stands_behind(self, method: str) -> None:
        async with house({"time": Era.MODERN}) as h:
            answer = await h.modern(method, {"uri": "file:///a"}, path="/servers/time/mcp")
            assert (answer.status, (await answer.json())["error"]["code"]) == (404, -32601)
            assert h.servers["time"].calls == []

    async def test_what_no_server_advertises_is_an_unknown_method(self) -> None:
        async with house({"time": Era.MODERN}) as h:
            for method, params in (
                ("prompts/get", {"name": "x"}),
                ("resources/read", {"uri": "x"}),
                ("prompts/list", {}),
            ):
                headers = {"Mcp-Name": "x"} if params else {}
                answer = await h.modern(method, params, headers=headers)
                assert (answer.status, (await answer.json())["error"]["code"]) == (404, -32601), method

    @pytest.mark.point(6)
    async def test_a_mirrored_argument_must_stand_in_its_header(self) -> None:
        schema = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
        async with house(tools={"time": [{"name": "now", "inputSchema": schema}]}) as h:
            params = {"name": "time__now", "arguments": {"region": "eu"}}
            bad = await h.modern("tools/call", params)
            assert (bad.status, (await bad.json())["error"]["code"]) == (400, -32020)
            good = await h.modern("tools/call", params, headers={"Mcp-Param-Region": "eu"})
            assert good.status == 200
            assert [mirror.header for mirror in h.servers["time"].calls[0].mirrors] == ["Mcp-Param-Region"]


class TestRounds:
    ASKS = b'{"resultType":"input_required","inputRequests":{"who":{"method":"roots/list"}},"requestState":"s\\u00e9"}'
    ALICE, BOB = (Caller(user_id=n, user=name, key=name) for n, name in ((1, "alice"), (2, "bob")))

    def keys(self) -> KeyRing:
        return KeyRing({_sha256(caller.user): caller for caller in (self.ALICE, self.BOB)})

    async def first(self, h: House, **more: Any) -> dict[str, Any]:
        h.servers["time"].behaviour = lambda call, relay: relay.result(
            RESULT if "inputResponses" in call.params else self.ASKS
        )
        return await self.ask(h, "alice", **more)

    async def ask(self, h: House, key: str | None, status: int = 200, **more: Any) -> dict[str, Any]:
        headers = {} if key is None else {"X-API-Key": key}
        params = {"name": "time__now", "arguments": {"a": 1}, **more}
        answer = await h.modern("tools/call", params, headers=headers, meta=ROOTS)
        assert answer.status == status, await answer.text()
        return dict(await answer.json())

    @pytest.mark.point(21)
    async def test_a_state_comes_back_to_its_server_as_it_was_in_one_operation(self) -> None:
        async with house(keys=self.keys()) as h:
            state = (await self.first(h))["result"]["requestState"]
            assert "sé" not in state
            done = await self.ask(h, "alice", inputResponses={"who": {"roots": []}}, requestState=state)
            assert done["result"]["content"] == [{"type": "text", "text": "done"}]
            assert bytes(h.servers["time"].calls[1].params["requestState"]) == b'"s\\u00e9"'
            first, second = h.memory.opened
            assert (second.operation_uid, second.round) == (first.call_uid, 1)
            assert h.memory.closed[0].outcome is Outcome.INPUT_REQUIRED

    @pytest.mark.point(22)
    async def test_a_state_of_another_user_or_another_request_never_reaches_the_server(self) -> None:
        async with house(keys=self.keys()) as h:
            state = (await self.first(h))["result"]["requestState"]
            again = {"inputResponses": {}, "requestState": state}
            for key, more in (("bob", {}), ("alice", {"arguments": {"a": 2}})):
                answer = await self.ask(h, key, status=400, **{**again, **more})
                assert answer["error"]["code"] == -32602
            assert len(h.servers["time"].calls) == 1
            assert h.memory.refusals == ["request_state", "request_state"]

    @pytest.mark.point(20)
    async def test_callers_that_nobody_can_tell_apart_carry_the_state_as_it_is(self) -> None:
        async with house() as h:
            h.servers["time"].behaviour = lambda call, relay: relay.result(self.ASKS)
            answer = await h.modern("tools/call", {"name": "time__now"}, meta=ROOTS)
            assert b'"requestState":"s\\u00e9"' in await answer.read()


def _sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
