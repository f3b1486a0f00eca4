"""Rules of both eras that clients and servers rely on, one by one, through the doors."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from msgspec import Raw

from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.protocol.versions import Era
from gateway.routing import Selection, Server, table
from gateway.settings import ServerSpec
from gateway.upstream.scopes import session_key
from gateway.voices import Voice
from storage.records import Outcome
from tests.gateway.http.test_interaction import OFFERS, frames, notification, request
from tests.support.doors import LOCAL, Relaying, house, shelf_of
from tests.support.waiting import until

PROMPTS = {"prompts": [{"name": "greet"}], "capabilities": {"tools": {}, "prompts": {}, "completions": {}}}
ELICITATION = "io.modelcontextprotocol/clientCapabilities"


def asks(**requests: Any) -> bytes:
    """An `input_required` of a modern server."""
    return json.dumps({"resultType": "input_required", "inputRequests": requests}).encode()


class TestNames:
    async def test_a_prompt_is_completed_under_the_servers_own_name(self) -> None:
        async with house({"docs": Era.MODERN}, offers={"docs": PROMPTS}) as h:
            params = {"ref": {"type": "ref/prompt", "name": "docs__greet"}, "argument": {"name": "a", "value": ""}}
            assert (await h.modern("completion/complete", params)).status == 200
            [forwarded] = h.servers["docs"].calls
            assert json.loads(bytes(forwarded.params["ref"])) == {"type": "ref/prompt", "name": "greet"}

    async def test_a_name_that_is_none_of_ours_arrives_as_it_was_sent(self) -> None:
        async with house({"docs": Era.MODERN}, offers=OFFERS) as h:
            await h.modern("vendor/thing", {"name": "x"}, path="/servers/docs/mcp", headers={"Mcp-Name": None})
            read = {"uri": "docs+file:///a", "name": "x"}
            await h.modern("resources/read", read, headers={"Mcp-Name": "docs+file:///a"})
            assert [bytes(call.params["name"]) for call in h.servers["docs"].calls] == [b'"x"', b'"x"']

    @pytest.mark.point(37)
    async def test_what_a_server_cannot_complete_has_no_values_where_others_can(self) -> None:
        mute = {"prompts": [{"name": "greet"}], "capabilities": {"prompts": {}}}
        async with house({"docs": Era.MODERN, "mute": Era.MODERN}, offers={"docs": PROMPTS, "mute": mute}) as h:
            params = {"ref": {"type": "ref/prompt", "name": "mute__greet"}, "argument": {"name": "a", "value": ""}}
            answer = await (await h.modern("completion/complete", params)).json()
            assert answer["result"]["completion"] == {"values": [], "hasMore": False}
            assert answer["result"]["resultType"] == "complete"
            assert h.servers["mute"].calls == []
            assert h.memory.opened == []

    async def test_a_tool_of_a_server_without_tools_is_an_unknown_method(self) -> None:
        offers = {"docs": {"tools": [], "prompts": [], "capabilities": {"prompts": {}}}}
        async with house({"docs": Era.MODERN}, offers=offers) as h:
            answer = await h.modern("tools/call", {"name": "x"}, path="/servers/docs/mcp")
            assert (answer.status, (await answer.json())["error"]["code"]) == (404, -32601)


class TestRequirements:
    @pytest.mark.point(23)
    @pytest.mark.parametrize(
        ("asked", "has", "needs"),
        [
            ({"method": "elicitation/create", "params": {"message": "?"}}, {}, {"elicitation": {"form": {}}}),
            (
                {"method": "elicitation/create", "params": {"mode": "url"}},
                {"elicitation": {}},
                {"elicitation": {"url": {}}},
            ),
            (
                {"method": "elicitation/create", "params": {"mode": "form"}},
                {"elicitation": {"url": {}}},
                {"elicitation": {"form": {}}},
            ),
            ({"method": "sampling/createMessage", "params": {"messages": []}}, {"roots": {}}, {"sampling": {}}),
            (
                {"method": "sampling/createMessage", "params": {"messages": [], "tools": []}},
                {"sampling": {}},
                {"sampling": {"tools": {}}},
            ),
            ({"method": "roots/list"}, {}, {"roots": {}}),
        ],
    )
    async def test_a_kind_of_question_that_the_client_did_not_declare_never_reaches_it(
        self, asked: Any, has: Any, needs: Any
    ) -> None:
        async with house() as h:
            h.servers["time"].behaviour = lambda call, relay: relay.result(asks(who=asked))
            answer = await h.modern("tools/call", {"name": "time__now"}, meta={ELICITATION: has})
            error = (await answer.json())["error"]
            assert (answer.status, error["code"]) == (400, -32021)
            assert error["data"] == {"requiredCapabilities": needs}
            [closed] = h.memory.closed
            assert (closed.outcome, closed.reason) == (Outcome.PROTOCOL_ERROR, "-32021")

    @pytest.mark.point(23)
    async def test_a_kind_that_it_declared_does(self) -> None:
        both = {
            "a": {"method": "elicitation/create", "params": {"mode": "url"}},
            "b": {"method": "sampling/createMessage", "params": {"tools": []}},
            "c": {"method": "vendor/ask"},
        }
        declared = {"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}}
        async with house() as h:
            h.servers["time"].behaviour = lambda call, relay: relay.result(asks(**both))
            answer = await h.modern("tools/call", {"name": "time__now"}, meta={ELICITATION: declared})
            assert (await answer.json())["result"]["inputRequests"] == both

    @pytest.mark.point(20)
    async def test_only_calls_gets_and_reads_may_ask_for_input(self) -> None:
        async with house({"docs": Era.MODERN}, offers={"docs": PROMPTS}) as h:
            h.servers["docs"].behaviour = lambda call, relay: relay.result(asks(who={"method": "roots/list"}))
            params = {"ref": {"type": "ref/prompt", "name": "docs__greet"}, "argument": {"name": "a", "value": ""}}
            answer = await h.modern("completion/complete", params, meta={ELICITATION: {"roots": {}}})
            assert (await answer.json())["error"]["code"] == -32603
            assert h.memory.closed[0].outcome is Outcome.UPSTREAM_ERROR


class TestWhoHears:
    async def test_modern_clients_do_not_hear_what_their_era_removed(self) -> None:
        def behaviour(call: Any, relay: Relaying) -> None:
            relay.notify("notifications/elicitation/complete", b'{"elicitationId":"x"}')
            relay.notify("notifications/vendor", b"{}")
            relay.result(b'{"content":[]}')

        async with house({"time": Era.LEGACY}) as h:
            h.servers["time"].behaviour = behaviour
            seen = [frame async for frame in frames(await h.modern("tools/call", {"name": "time__now"}))]
            assert [frame.get("method") for frame in seen] == ["notifications/vendor", None]

    async def test_a_voice_whose_endpoint_is_gone_is_heard_by_nobody(self) -> None:
        async with house({"docs": Era.LEGACY, "time": Era.LEGACY}, offers=OFFERS) as h:
            shelves = [shelf_of(1, "docs", Era.LEGACY, **OFFERS["docs"]), shelf_of(2, "time", Era.LEGACY)]
            group = Selection("groups/both", frozenset({"docs", "time"}))
            h.live = replace(h.live, table=table(shelves, (group,)))
            session = h.sessions.find(await h.initialize("/groups/both/mcp"), LOCAL, "groups/both")
            session.stand()
            voice = Voice(shelves[0].server, h, h.sessions, h.subscriptions, h.task_ids, h.overlays)
            key = session_key(session.facts.sid)
            said = Message(MessageKind.NOTIFICATION, method="notifications/vendor", params=Raw(b"{}"))
            voice.heard(key, said)
            size = session._standing.size
            h.live = replace(h.live, table=table(shelves, (Selection("groups/both", frozenset({"time"})),)))
            voice.heard(key, said)
            h.live = replace(h.live, table=table(shelves))
            voice.heard(key, said)
            assert session._standing.size == size > 0
            asked = Message(MessageKind.REQUEST, Raw(b"1"), "roots/list")
            assert json.loads(await voice.asked(key, asked))["error"]["code"] == -32601

    async def test_who_shares_a_servers_session_cannot_subscribe_in_it(self) -> None:
        async with house({"docs": Era.LEGACY}, offers=OFFERS) as h:
            one = shelf_of(1, "docs", Era.LEGACY, **OFFERS["docs"])
            spec = ServerSpec(name="docs", slug="docs", isolation="shared")
            h.live = replace(h.live, table=table([replace(one, server=Server(1, "docs", spec, b"r"))]))
            session = await h.initialize()
            asked = request("resources/subscribe", {"uri": "docs+file:///a"})
            answer = await (await h.legacy(asked, session=session)).json()
            assert answer["error"]["code"] == -32601
            assert h.servers["docs"].calls == []


class TestListens:
    async def test_a_resource_that_is_not_honoured_is_not_wanted_any_more(self) -> None:
        async with house({"docs": Era.MODERN}, offers=OFFERS) as h:
            h.servers["docs"].honoured = frozenset({"file:///a"})
            wanted = {"notifications": {"resourceSubscriptions": ["docs+file:///a", "docs+file:///b"]}}
            response = await h.modern("subscriptions/listen", wanted)
            await anext(frames(response))
            await until(lambda: h.servers["docs"].followed == {"file:///a"})
            response.close()
            await until(lambda: not h.servers["docs"].followed)

    async def test_a_listen_that_comes_while_the_gateway_shuts_down_ends_at_once(self) -> None:
        async with house() as h:
            h.subscriptions.end()
            stream = frames(await h.modern("subscriptions/listen", {"notifications": {}}))
            assert [frame.get("method", "the end") async for frame in stream] == [
                "notifications/subscriptions/acknowledged",
                "the end",
            ]

    async def test_a_server_that_comes_is_told_what_is_followed_and_who_stands(self) -> None:
        async with house({"docs": Era.MODERN}, offers=OFFERS) as h:
            docs = h.servers["docs"]
            docs.honoured = frozenset({"file:///a"})
            wanted = {"notifications": {"resourceSubscriptions": ["docs+file:///a"]}}
            listening = await h.modern("subscriptions/listen", wanted)
            await anext(frames(listening))
            token = await h.initialize()
            get = await h.client.get("/mcp", headers={"Mcp-Session-Id": token, "Accept": "text/event-stream"})
            sid = h.sessions.find(token, LOCAL, "").facts.sid
            docs.followed, docs.attended = frozenset(), set()
            before = replace(h.live, upstreams={})
            h.asides.swapped(before, h.live)
            h.listens.swapped(before, h.live)
            assert docs.attended == {sid}
            await until(lambda: docs.followed == {"file:///a"})
            h.live = replace(h.live, table=table([]))
            get.close()
            await until(lambda: not docs.attended)
            listening.close()


class TestBounds:
    async def test_a_server_that_takes_no_level_does_not_keep_its_client_waiting(self) -> None:
        offers = {"time": {"capabilities": {"tools": {}, "logging": {}}}}
        async with house({"time": Era.LEGACY}, offers=offers) as h:
            stuck = asyncio.Event()

            async def set_level(scope: Any, level: Raw) -> None:
                await stuck.wait()

            h.servers["time"].set_level = set_level  # type: ignore[method-assign]
            session = await h.initialize()
            async with asyncio.timeout(5):
                answer = await h.legacy(request("logging/setLevel", {"level": "info"}), session=session)
                assert (await answer.json())["result"] == {}

    async def test_a_flood_of_notifications_waits_in_no_queue_without_end(self) -> None:
        async with house({"time": Era.LEGACY}) as h:
            stuck = asyncio.Event()
            begun = 0

            async def notify(scope: Any, method: str, params: Raw | None) -> None:
                nonlocal begun
                begun += 1
                await stuck.wait()

            h.servers["time"].notify = notify  # type: ignore[method-assign]
            session = await h.initialize()
            for _ in range(40):
                flood = notification("notifications/roots/list_changed")
                assert (await h.legacy(flood, session=session)).status == 202
            assert 1 <= begun <= 16
            stuck.set()
            await until(lambda: not h.asides.telling)

    async def test_sessions_that_made_room_are_ended_at_their_servers(self) -> None:
        async with house({"time": Era.LEGACY}) as h:
            h.sessions._most = 1
            gone = h.sessions.find(await h.initialize(), LOCAL, "")
            stays = h.sessions.find(await h.initialize(), LOCAL, "")
            assert h.sessions.sweep(1_000) == []
            stays.last_used += 10
            assert h.sessions.sweep(-1) == [gone.facts.sid]
            assert h.sessions.sweep(-1) == []
            assert h.sessions.alive(stays.facts.sid) is stays


async def test_news_of_a_resource_are_bounded_in_bytes_for_a_slow_reader() -> None:
    async with house({"docs": Era.MODERN}) as h:
        listen = h.subscriptions.open(Raw(b"1"), "", frozenset())
        for number in range(100):
            listen.updated(f"file:///{number}", {"x": jsonrpc.text("y" * 100_000)})
        assert listen.size <= 2_000_000
        h.subscriptions.close(listen)
