"""Tasks through the doors: in each era, under names that open them for nobody else."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Raw

from gateway.access import KeyRing
from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.protocol.meta import CLIENT_CAPABILITIES, RELATED_TASK, SUBSCRIPTION_ID
from gateway.protocol.versions import Era
from gateway.upstream.scopes import session_key
from gateway.upstream.values import Forward
from gateway.voices import Voices
from storage.records import Caller, Outcome
from tests.gateway.http.test_interaction import asking, frames, request
from tests.support.doors import LOCAL, House, Relaying, house
from tests.support.waiting import until

ALICE, BOB = Caller(user_id=2, user="alice", key="a"), Caller(user_id=3, user="bob", key="b")
RING = KeyRing({hashlib.sha256(one.user.encode()).hexdigest(): one for one in (ALICE, BOB)})
OPEN = KeyRing({}, LOCAL)
AS_ALICE, AS_BOB = ({"X-API-Key": one.user} for one in (ALICE, BOB))
KNOWS = {"meta": {CLIENT_CAPABILITIES: {"extensions": {"io.modelcontextprotocol/tasks": {}}}}}
MODERN = {"time": Era.MODERN, "docs": Era.MODERN}
LEGACY = {"time": Era.LEGACY, "docs": Era.LEGACY}
UNKNOWN = {"code": -32602, "message": "Unknown task"}
TASK = '"status":"working","createdAt":"2026-01-01T00:00:00Z","ttlMs":6e4,"n":1.10'


def answering(results: dict[str, str]) -> Callable[[Forward, Relaying], None]:
    """A server that answers each method with a text."""

    def behaviour(call: Forward, relay: Relaying) -> None:
        relay.result(results[call.method].encode())

    return behaviour


TASKS_OF_MODERN = {
    "tools/call": '{"resultType":"task","taskId":"t",' + TASK + "}",
    "tasks/get": '{"resultType":"complete","taskId":"t","result":{"content":[{"type":"resource_link","uri":"a:/b"}]}}',
    "tasks/update": '{"resultType":"complete"}',
    "tasks/cancel": '{"resultType":"complete"}',
}
TASKS_OF_LEGACY = {
    "tools/call": '{"task":{"taskId":"t","ttl":1.0}}',
    "tasks/get": '{"taskId":"t","ttl":1.0}',
    "tasks/cancel": '{"taskId":"t","status":"cancelled"}',
    "tasks/list": '{"tasks":[{"taskId":"t","x":1.10}]}',
    "tasks/result": '{"content":[],"_meta":{"' + RELATED_TASK + '":{"taskId":"t"}}}',
}


async def made(h: House, path: str = "/mcp", name: str = "time__now", headers: Any = AS_ALICE) -> dict[str, Any]:
    """The task that a modern server made of a call."""
    answer = await h.modern("tools/call", {"name": name, "arguments": {}}, path=path, headers=headers, **KNOWS)
    assert answer.status == 200, await answer.text()
    return dict((await answer.json())["result"])


async def about(h: House, method: str, task_id: str, path: str = "/mcp", headers: Any = AS_ALICE, **more: Any) -> Any:
    return await h.modern(method, {"taskId": task_id, **more}, path=path, headers=headers, **KNOWS)


class TestModern:
    @pytest.mark.point(36)
    @pytest.mark.parametrize("path", ["/mcp", "/servers/time/mcp"])
    async def test_a_task_has_one_name_from_its_making_to_its_end(self, path: str) -> None:
        async with house(MODERN, keys=RING) as h:
            h.servers["time"].behaviour = answering(TASKS_OF_MODERN)
            task = await made(h, path, "time__now" if path == "/mcp" else "now")
            again = await made(h, path, "time__now" if path == "/mcp" else "now")
            assert task["taskId"] == again["taskId"] != "t"
            got = (await (await about(h, "tasks/get", task["taskId"], path)).json())["result"]
            assert got["taskId"] == task["taskId"]
            uri = "time+a:/b" if path == "/mcp" else "a:/b"
            assert got["result"]["content"] == [{"type": "resource_link", "uri": uri}]
            for method in ("tasks/update", "tasks/cancel"):
                answer = await about(h, method, task["taskId"], path, inputResponses={"k": {"action": "accept"}})
                assert (await answer.json())["result"] == {"resultType": "complete"}
            calls = h.servers["time"].calls[2:]
            assert [(call.method, call.target) for call in calls] == [
                (method, "t") for method in ("tasks/get", "tasks/update", "tasks/cancel")
            ]
            assert {bytes(call.params["taskId"]) for call in calls} == {b'"t"'}
            assert not h.servers["docs"].calls

    async def test_the_only_caller_of_a_single_server_has_the_servers_own_ids_byte_for_byte(self) -> None:
        async with house(MODERN) as h:
            h.servers["time"].behaviour = answering(TASKS_OF_MODERN)
            params = {"name": "now", "arguments": {}}
            answer = await h.modern("tools/call", params, path="/servers/time/mcp", **KNOWS)
            assert TASKS_OF_MODERN["tools/call"] in await answer.text()
            answer = await about(h, "tasks/get", "t", "/servers/time/mcp", {})
            assert TASKS_OF_MODERN["tasks/get"] in await answer.text()

    async def test_on_an_aggregate_the_only_caller_finds_the_server_again(self) -> None:
        async with house(MODERN) as h:
            for server in h.servers.values():
                server.behaviour = answering(TASKS_OF_MODERN)
            task = await made(h, name="docs__now", headers={})
            assert (await about(h, "tasks/get", task["taskId"], headers={})).status == 200
            assert [call.method for call in h.servers["docs"].calls] == ["tools/call", "tasks/get"]
            assert not h.servers["time"].calls

    @pytest.mark.point(36)
    @pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
    async def test_a_task_of_another_user_endpoint_or_server_is_unknown_and_its_server_hears_nothing(
        self, method: str
    ) -> None:
        async with house(MODERN, keys=RING) as h:
            h.servers["time"].behaviour = answering(TASKS_OF_MODERN)
            mine = (await made(h))["taskId"]
            here = (await made(h, "/servers/time/mcp", "now"))["taskId"]
            calls = len(h.servers["time"].calls)
            for task_id, path, headers in (
                (mine, "/mcp", AS_BOB),
                (mine, "/servers/time/mcp", AS_ALICE),
                (here, "/mcp", AS_ALICE),
                (here, "/servers/docs/mcp", AS_ALICE),
                (here, "/servers/time/mcp", AS_BOB),
                ("t", "/servers/time/mcp", AS_ALICE),
                ("", "/mcp", AS_ALICE),
            ):
                answer = await about(h, method, task_id, path, headers)
                assert (answer.status, (await answer.json())["error"]) == (400, UNKNOWN)
            assert len(h.servers["time"].calls) == calls
            assert not h.servers["docs"].calls

    @pytest.mark.point(36)
    async def test_a_client_without_the_extension_gets_no_task_but_what_it_lacks(self) -> None:
        required = {"requiredCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}}
        async with house(MODERN) as h:
            h.servers["time"].behaviour = answering(TASKS_OF_MODERN)
            for method, params in (
                ("tools/call", {"name": "time__now", "arguments": {}}),
                ("tasks/get", {"taskId": "x"}),
                ("tasks/update", {"taskId": "x"}),
                ("tasks/cancel", {"taskId": "x"}),
                ("subscriptions/listen", {"notifications": {"taskIds": ["x"]}}),
            ):
                answer = await h.modern(method, params)
                error = (await answer.json())["error"]
                assert (answer.status, error["code"], error["data"]) == (400, -32021, required), method
            closed = h.memory.closed[-1]
            assert (closed.outcome, closed.reason) == (Outcome.PROTOCOL_ERROR, "task")

    @pytest.mark.point(36)
    @pytest.mark.parametrize("method", ["tasks/list", "tasks/result"])
    async def test_what_the_extension_left_out_is_unknown(self, method: str) -> None:
        async with house(MODERN) as h:
            answer = await about(h, method, "t", "/servers/time/mcp", {})
            assert (answer.status, (await answer.json())["error"]["code"]) == (404, -32601)

    async def test_a_row_holds_a_tasks_name_and_never_the_servers_own(self) -> None:
        async with house(MODERN, keys=RING) as h:
            secret = "0d9f3a7c-server-own"
            results = {method: text.replace('"t"', f'"{secret}"') for method, text in TASKS_OF_MODERN.items()}
            h.servers["time"].behaviour = answering(results)
            name = (await made(h))["taskId"]
            await about(h, "tasks/get", name)
            opened, closed = h.memory.opened[-1], h.memory.closed[-1]
            assert (opened.method, opened.target) == ("tasks/get", None)
            assert json.loads(opened.request)["taskId"] == json.loads(closed.response or b"")["taskId"] == name
            assert secret not in repr((h.memory.opened, h.memory.closed, h.memory.facts))


class TestListening:
    async def listen(self, h: House, *names: str, headers: Any = AS_ALICE) -> Any:
        wanted = {"notifications": {"taskIds": list(names), "toolsListChanged": True}}
        return frames(await h.modern("subscriptions/listen", wanted, id="L", headers=headers, **KNOWS))

    def agreeing(self, *agreed: str) -> Callable[[Forward, Relaying], None]:
        def behaviour(call: Forward, relay: Relaying) -> None:
            if call.method != "subscriptions/listen":
                answering(TASKS_OF_MODERN)(call, relay)
                return
            honoured = jsonrpc.text({"notifications": {"taskIds": list(agreed)}, "_meta": {SUBSCRIPTION_ID: 5}})
            relay.notify("notifications/subscriptions/acknowledged", bytes(honoured))

        return behaviour

    @pytest.mark.point(36)
    async def test_a_client_hears_of_its_tasks_under_their_names_and_under_its_own_id(self) -> None:
        async with house(MODERN, keys=RING) as h:
            server = h.servers["time"]
            server.behaviour = self.agreeing("t")
            name = (await made(h))["taskId"]
            stream = await self.listen(h, name, "garbage")
            first = await anext(stream)
            assert first["params"]["notifications"] == {"toolsListChanged": True, "taskIds": [name]}
            call = server.calls[-1]
            assert json.loads(bytes(call.params["notifications"])) == {"taskIds": ["t"]}
            assert (call.lasting, call.scope.user_id) == (True, ALICE.user_id)
            assert b"io.modelcontextprotocol/tasks" in bytes(call.client.capabilities or b"")
            server.relays[-1].notify("notifications/message", b'{"level":"error","data":"x"}')
            server.relays[-1].notify("notifications/progress", b'{"progressToken":1,"progress":1}')
            for other in ('{"taskId":"other"}', "{}"):
                server.relays[-1].notify("notifications/tasks", other.encode())
            done = '{"taskId":"t","status":"completed","result":{"content":[{"type":"resource_link","uri":"a:/b"}]}}'
            server.relays[-1].notify("notifications/tasks", done.encode())
            told = (await anext(stream))["params"]
            assert (told["taskId"], told["_meta"]) == (name, {SUBSCRIPTION_ID: "L"})
            assert told["result"]["content"] == [{"type": "resource_link", "uri": "time+a:/b"}]

    async def test_a_server_that_does_not_agree_or_cannot_be_asked_is_not_in_the_acknowledgement(self) -> None:
        async with house(MODERN, keys=RING) as h:
            for server in h.servers.values():
                server.behaviour = self.agreeing()
            names = [(await made(h, name=f"{slug}__now"))["taskId"] for slug in h.servers]
            h.servers["docs"].behaviour = lambda call, relay: relay.error(b'{"code":-32601,"message":"no"}')
            stream = await self.listen(h, *names)
            assert (await anext(stream))["params"]["notifications"] == {"toolsListChanged": True}

    async def test_a_stream_ends_properly_when_the_server_tells_no_more(self) -> None:
        async with house(MODERN, keys=RING) as h:
            h.servers["time"].behaviour = self.agreeing("t")
            stream = await self.listen(h, (await made(h))["taskId"])
            await anext(stream)
            h.servers["time"].relays[-1].result(b'{"resultType":"complete"}')
            assert (await anext(stream))["result"]["resultType"] == "complete"

    async def test_a_client_that_leaves_takes_its_wish_along(self) -> None:
        async with house(MODERN, keys=RING) as h:
            h.servers["time"].behaviour = self.agreeing("t")
            name = (await made(h))["taskId"]
            wanted = {"notifications": {"taskIds": [name]}}
            answer = await h.modern("subscriptions/listen", wanted, headers=AS_ALICE, **KNOWS)
            await anext(frames(answer))
            answer.close()
            async with asyncio.timeout(5):
                await h.servers["time"].relays[-1].left.wait()
            await until(lambda: not len(h.subscriptions))

    async def test_nobody_listens_to_anothers_task(self) -> None:
        async with house(MODERN, keys=RING) as h:
            h.servers["time"].behaviour = self.agreeing("t")
            name = (await made(h))["taskId"]
            stream = await self.listen(h, name, headers=AS_BOB)
            assert (await anext(stream))["params"]["notifications"] == {"toolsListChanged": True}
            assert [call.method for call in h.servers["time"].calls] == ["tools/call"]


async def opened(h: House, path: str = "/mcp", headers: Any = AS_ALICE, capabilities: Any = None) -> str:
    """A legacy session."""
    params = {"protocolVersion": "2025-11-25", "capabilities": capabilities or {}, "clientInfo": {"name": "t"}}
    answer = await h.legacy(request("initialize", params), path=path, headers=headers)
    return str(answer.headers["Mcp-Session-Id"])


class TestLegacy:
    async def test_a_task_has_one_name_in_all_that_is_said_of_it(self) -> None:
        async with house(LEGACY, keys=RING) as h:
            h.servers["time"].behaviour = answering(TASKS_OF_LEGACY)
            session = await opened(h)

            async def ask(method: str, params: dict[str, Any]) -> dict[str, Any]:
                answer = await h.legacy(request(method, params), session=session, headers=AS_ALICE)
                return dict((await answer.json())["result"])

            task = (await ask("tools/call", {"name": "time__now", "task": {"ttl": 1e3}}))["task"]
            assert (task["ttl"], task["taskId"] != "t") == (1.0, True)
            name = task["taskId"]
            assert (await ask("tasks/get", {"taskId": name}))["taskId"] == name
            assert (await ask("tasks/cancel", {"taskId": name}))["taskId"] == name
            related = {RELATED_TASK: {"taskId": name}}
            assert (await ask("tasks/result", {"taskId": name, "_meta": related}))["_meta"] == related
            first, *others = h.servers["time"].calls
            assert bytes(first.params["task"]) == b'{"ttl":1000.0}'
            assert {bytes(call.params["taskId"]) for call in others} == {b'"t"'}
            assert bytes(others[-1].meta[RELATED_TASK]) == b'{"taskId":"t"}'
            assert [call.lasting for call in others] == [False, False, True]

    async def test_what_a_server_asks_and_tells_for_a_task_names_it_and_so_does_the_answer(self) -> None:
        told: list[bytes] = []
        related = {RELATED_TASK: {"taskId": "t"}}
        asked = {"message": "who?", "_meta": related}
        async with house(LEGACY, keys=RING) as h:
            session = await opened(h)
            h.servers["time"].behaviour = answering(TASKS_OF_LEGACY)
            call = request("tools/call", {"name": "time__now", "task": {}})
            answer = await h.legacy(call, session=session, headers=AS_ALICE)
            name = (await answer.json())["result"]["task"]["taskId"]
            ask = asking(("elicitation/create", asked), ("tasks/get", {"taskId": "mine"}), told=told)

            def result(call: Forward, relay: Relaying) -> Any:
                params = {"level": "info", "data": 1, "_meta": related}
                relay.notify("notifications/message", bytes(jsonrpc.text(params)))
                relay.notify("notifications/tasks/status", b'{"taskId":"t"}')
                return ask(call, relay)

            h.servers["time"].behaviour = result
            waiting = request("tasks/result", {"taskId": name}, 2)
            stream = frames(await h.legacy(waiting, session=session, headers=AS_ALICE))
            seen = [await anext(stream) for _ in range(3)]
            log, status, question = sorted(seen, key=lambda frame: "id" in frame)
            mapped = {RELATED_TASK: {"taskId": name}}
            assert (log["params"]["_meta"], status["params"]["taskId"]) == (mapped, name)
            assert question["params"]["_meta"] == mapped
            said = {"action": "decline", "_meta": mapped}
            await h.legacy({"jsonrpc": "2.0", "id": question["id"], "result": said}, session=session, headers=AS_ALICE)
            mine = await anext(stream)
            assert mine["params"] == {"taskId": "mine"}
            own = {"taskId": "mine", "_meta": {RELATED_TASK: {"taskId": "mine"}}}
            await h.legacy({"jsonrpc": "2.0", "id": mine["id"], "result": own}, session=session, headers=AS_ALICE)
            await anext(stream)
        assert [json.loads(one)["result"] for one in told] == [{"action": "decline", "_meta": related}, own]

    async def test_what_a_server_tells_of_a_task_outside_calls_names_it_alike(self) -> None:
        async with house(LEGACY, keys=RING) as h:
            session = await opened(h, "/servers/time/mcp")
            stream = await h.client.get(
                "/servers/time/mcp", headers={"Accept": "text/event-stream", "Mcp-Session-Id": session, **AS_ALICE}
            )
            sid = h.sessions.find(session, ALICE, "time").facts.sid
            server = h.live.table.servers["time"]
            voice = Voices(h, h.sessions, h.subscriptions, h.task_ids, h.overlays).of(server)
            status = Message(
                MessageKind.NOTIFICATION, method="notifications/tasks/status", params=Raw(b'{"taskId":"t"}')
            )
            voice.heard(session_key(sid), status)
            holder = h.live.table.endpoint("time").holder(ALICE.user_id, known=True)
            told = await anext(frames(stream))
            assert told["params"]["taskId"] == h.task_ids.seal(holder, server.id, "t")
            stream.close()

    async def test_a_clients_notification_names_the_servers_task(self) -> None:
        async with house(LEGACY, keys=RING) as h:
            session = await opened(h)
            holder = h.live.table.endpoint("").holder(ALICE.user_id, known=True)
            name = h.task_ids.seal(holder, 1, "t")
            params = {"taskId": "mine", "_meta": {RELATED_TASK: {"taskId": name}}}
            message = {"jsonrpc": "2.0", "method": "notifications/tasks/status", "params": params}
            await h.legacy(message, session=session, headers=AS_ALICE)
            await until(lambda: bool(h.servers["time"].notified))
            told = json.loads(bytes(h.servers["time"].notified[0][2] or b""))
            assert told == {"taskId": "mine", "_meta": {RELATED_TASK: {"taskId": "t"}}}

    async def test_the_only_caller_of_a_single_server_has_all_as_the_server_says_it(self) -> None:
        async with house(LEGACY) as h:
            h.servers["time"].behaviour = answering(TASKS_OF_LEGACY)
            session = await opened(h, "/servers/time/mcp", {})
            for method, params in (
                ("tools/call", {"name": "now", "task": {}}),
                ("tasks/get", {"taskId": "t"}),
                ("tasks/result", {"taskId": "t"}),
                ("tasks/list", {"cursor": "c"}),
                ("tasks/cancel", {"taskId": "t"}),
            ):
                answer = await h.legacy(request(method, params), session=session, path="/servers/time/mcp")
                assert TASKS_OF_LEGACY[method] in await answer.text()
            assert [call.lasting for call in h.servers["time"].calls] == [False, False, True, False, False]

    async def test_nobody_lists_the_tasks_of_several_servers_or_of_several_callers(self) -> None:
        said = {"tools": {}, "tasks": {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}}
        offers = {"time": {"capabilities": said}}
        async with house(LEGACY, keys=RING, offers=offers) as h:
            for path in ("/mcp", "/servers/time/mcp"):
                hello = request("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}})
                answer = await h.legacy(hello, path=path, headers=AS_ALICE)
                tasks = (await answer.json())["result"]["capabilities"]["tasks"]
                assert tasks == {"cancel": {}, "requests": {"tools": {"call": {}}}}
                session = answer.headers["Mcp-Session-Id"]
                answer = await h.legacy(request("tasks/list"), session=session, path=path, headers=AS_ALICE)
                assert '"code":-32601' in await answer.text()
        async with house(LEGACY, offers=offers) as h:
            answer = await h.legacy(hello, path="/servers/time/mcp")
            assert (await answer.json())["result"]["capabilities"]["tasks"] == said["tasks"]


class TestBetweenTheEras:
    @pytest.mark.parametrize("method", ["tasks/get", "tasks/cancel"])
    async def test_tasks_do_not_leave_their_era(self, method: str) -> None:
        async with house({"time": Era.LEGACY, "docs": Era.MODERN}) as h:
            answer = await about(h, method, "t", "/servers/time/mcp", {})
            assert (answer.status, (await answer.json())["error"]["code"]) == (404, -32601)
            session = await opened(h, "/servers/docs/mcp", {})
            for asked in (request(method, {"taskId": "t"}), request("tasks/list")):
                answer = await h.legacy(asked, session=session, path="/servers/docs/mcp")
                assert '"code":-32601' in await answer.text()
            call = request("tools/call", {"name": "now", "task": {}})
            answer = await h.legacy(call, session=session, path="/servers/docs/mcp")
            assert '"code":-32601' in await answer.text()
            assert not h.servers["time"].calls + h.servers["docs"].calls

    async def test_a_legacy_client_never_sees_a_modern_task(self) -> None:
        async with house({"docs": Era.MODERN}) as h:
            h.servers["docs"].behaviour = answering(TASKS_OF_MODERN)
            session = await opened(h, headers={})
            answer = await h.legacy(request("tools/call", {"name": "docs__now"}), session=session)
            text = await answer.text()
            assert '"isError":true' in text
            assert '"taskId"' not in text

    async def test_what_belongs_to_a_task_is_told_within_one_era_alone(self) -> None:
        async with house({"time": Era.LEGACY}) as h:
            h.servers["time"].behaviour = answering(TASKS_OF_LEGACY | {"tools/call": TASKS_OF_LEGACY["tasks/result"]})
            answer = await h.modern("tools/call", {"name": "time__now", "arguments": {}})
            assert RELATED_TASK not in await answer.text()
