"""Streams of sessions: what a legacy server says to one client outside any call, over real sockets and pipes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import Message
from gateway.settings import Timeouts
from gateway.upstream.connection import client_session
from gateway.upstream.loose import MOST_OPEN, MOST_UNSENT
from gateway.upstream.server import Upstream
from gateway.upstream.server_requests import PingOnly
from gateway.upstream.values import Scope
from tests.support.audience import Heard
from tests.support.mcp_http import Asked, McpServer
from tests.support.mcp_pipe import PipeServer
from tests.support.pipes import ScriptedProgram
from tests.support.streams import Stream, Streams
from tests.support.upstreams import Counted, answer, call, messages, terms
from tests.support.waiting import until

ALICE, BOB = Scope("a1", 1), Scope("b2", 2)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def events() -> Counted:
    return Counted()


class House:
    """A legacy server with streams, and an upstream to it."""

    def __init__(self, server: McpServer, streams: Streams, upstream: Upstream) -> None:
        self.server, self.streams, self.upstream = server, streams, upstream

    async def calls(self, scope: Scope) -> str:
        """Let the client of `scope` call once; its session at the server."""
        await answer(self.upstream, call("count", scope=scope))
        session = self.server.named("tools/call")[-1].session
        assert session is not None
        return session.id

    async def attended(self, scope: Scope) -> Stream:
        """The stream of a client that has called, and listens."""
        number = len(self.streams.all)
        self.upstream.attend(scope.session or "")
        await self.calls(scope)
        return await self.streams.opened(number)


@pytest.fixture
async def house(heard: Heard, events: Counted) -> AsyncIterator[House]:
    async with opened(heard, events) as house:
        yield house


@asynccontextmanager
async def opened(heard: Heard, events: Counted, **spec: Any) -> AsyncIterator[House]:
    async with client_session() as http, McpServer(legacy=True) as server:
        streams = Streams(server)
        upstream = Upstream(terms(url=server.url, **spec), http, audience=heard, events=events)
        try:
            yield House(server, streams, upstream)
        finally:
            await upstream.close()
            for stream in streams.all:
                stream.close()


class TestStreams:
    async def test_a_session_has_a_stream_while_its_client_listens(self, house: House, events: Counted) -> None:
        session = await house.calls(ALICE)
        assert house.streams.asked == 0
        house.upstream.attend("a1")
        stream = await house.streams.opened()
        assert stream.session == session
        await until(lambda: events["session opened"])
        house.upstream.unattend("a1")
        await stream.ended()
        assert session in house.server.sessions
        await until(lambda: events["session closed"])

    async def test_the_stream_opens_as_soon_as_there_is_a_session(self, house: House) -> None:
        house.upstream.attend("a1")
        assert house.streams.asked == 0
        session = await house.calls(ALICE)
        assert (await house.streams.opened()).session == session

    async def test_the_first_call_of_a_session_comes_when_the_server_can_speak(self, house: House) -> None:
        async def look(asked: Asked) -> web.StreamResponse:
            return asked.result({"streams": len(house.streams.all)})

        house.server.tools["look"] = look
        house.upstream.attend(ALICE.session or "")
        assert await answer(house.upstream, call("look", scope=ALICE)) == {"streams": 1}

    async def test_attending_twice_opens_one_stream(self, house: House) -> None:
        await house.attended(ALICE)
        house.upstream.attend("a1")
        await house.calls(ALICE)
        assert house.streams.asked == 1

    async def test_what_is_said_reaches_its_own_scope_alone(self, house: House, heard: Heard) -> None:
        alices, bobs = await house.attended(ALICE), await house.attended(BOB)
        await alices.say("notifications/message", {"level": "info", "data": "for alice"})
        await bobs.say("notifications/resources/updated", {"uri": "file:///b"})
        await heard.until(lambda: len(heard.all) == 2)
        assert heard.of("session:a1") == [("message", {"level": "info", "data": "for alice"})]
        assert heard.of("session:b2") == [("resources/updated", {"uri": "file:///b"})]

    async def test_the_stream_ends_with_the_session(self, house: House) -> None:
        stream = await house.attended(ALICE)
        await house.upstream.end_session("a1")
        await stream.ended()
        assert house.server.sessions == {}
        await house.calls(ALICE)
        assert house.streams.asked == 1

    async def test_a_session_that_is_listened_to_is_not_idle(self, house: House) -> None:
        stream = await house.attended(ALICE)
        await house.upstream.sweep(1e12)
        assert not stream.gone.is_set()
        assert len(house.server.sessions) == 1
        house.upstream.unattend("a1")
        await house.upstream.sweep(1e12)
        await house.server.until(lambda: not house.server.sessions)

    @pytest.mark.trap(3)
    async def test_a_session_that_was_opened_again_gets_the_stream(self, house: House) -> None:
        first = await house.attended(ALICE)
        house.server.sessions.clear()
        session = await house.calls(ALICE)
        assert (await house.streams.opened(1)).session == session
        await first.ended()

    @pytest.mark.trap(3)
    async def test_a_stream_that_names_a_lost_session_ends_that_session(self, house: House, events: Counted) -> None:
        first = await house.attended(ALICE)
        house.server.sessions.clear()
        house.streams.refuse = 404
        first.cut()
        await house.streams.requested(2)
        await until(partial(lost, house, events))
        house.streams.refuse = None
        session = await house.calls(ALICE)
        assert len(house.server.named("tools/call")) == 2
        assert (await house.streams.opened(1)).session == session

    @pytest.mark.trap(20)
    @pytest.mark.parametrize("status", [405, 404, 400, 501])
    async def test_a_server_without_streams_keeps_its_session_and_is_asked_once(
        self, house: House, status: int
    ) -> None:
        house.streams.refuse = status
        house.upstream.attend("a1")
        session = await house.calls(ALICE)
        await house.streams.requested(1)
        house.streams.refuse = None
        assert await house.calls(ALICE) == session
        assert await house.calls(ALICE) == session
        assert house.streams.asked == 1

    @pytest.mark.trap(25)
    async def test_a_server_that_knows_sessions_by_their_clients_headers_keeps_this_one(
        self, heard: Heard, events: Counted
    ) -> None:
        async with opened(heard, events, forward_headers=["X-Tenant"]) as house:

            async def ping(asked: Asked) -> web.Response:
                known = asked.http.headers.get("X-Tenant") == "acme"
                return asked.result({}) if known else asked.error(-32600, "Session terminated", 404)

            house.server.answers["ping"] = ping
            house.streams.refuse = 404
            house.upstream.attend("a1")
            call_of_acme = call("count", scope=ALICE, headers={"X-Tenant": "acme"})
            await answer(house.upstream, call_of_acme)
            await house.server.saw("ping")
            await answer(house.upstream, call_of_acme)
            first, second = house.server.named("tools/call")
            assert first.session is not None
            assert second.session is first.session
            assert len(house.server.named("ping")) == 1

    @pytest.mark.parametrize("status", [401, 409, 429, 503])
    async def test_a_passing_refusal_is_tried_again(self, house: House, status: int) -> None:
        house.streams.refuse = status
        house.upstream.attend("a1")
        await house.calls(ALICE)
        await house.streams.requested(1)
        house.streams.refuse = None
        await house.streams.opened()

    async def test_a_stream_is_opened_again_when_the_server_asks_for_that(self, house: House) -> None:
        first = await house.attended(ALICE)
        await first.prime(id="e1", retry=300)
        first.close()
        loop = asyncio.get_running_loop()
        closed = loop.time()
        assert (await house.streams.opened(1)).headers["Last-Event-ID"] == "e1"
        assert loop.time() - closed >= 0.3

    async def test_after_a_break_all_that_the_client_waits_for_counts_as_changed(
        self, house: House, heard: Heard
    ) -> None:
        house.server.capabilities = {"tools": {"listChanged": True}, "resources": {"subscribe": True}}

        async def agree(asked: Asked) -> web.Response:
            return asked.result({})

        house.server.answers["resources/subscribe"] = agree
        first = await house.attended(ALICE)
        uri = {"uri": Raw(b'"file:///a"')}
        await messages(house.upstream, replace(call("", scope=ALICE), method="resources/subscribe", params=uri))
        assert heard.all == []
        first.cut()
        await heard.until(lambda: len(heard.all) == 2)
        assert heard.of("session:a1") == [("tools/list_changed", None), ("resources/updated", {"uri": "file:///a"})]

    @pytest.mark.trap(3)
    async def test_a_client_that_only_waits_has_its_subscriptions_again_when_its_server_was_restarted(
        self, house: House, heard: Heard, events: Counted
    ) -> None:
        house.server.capabilities = {"tools": {}, "resources": {"subscribe": True}}

        async def agree(asked: Asked) -> web.Response:
            return asked.result({})

        house.server.served["resources/subscribe"] = agree
        first = await house.attended(ALICE)
        uri = {"uri": Raw(b'"file:///a"')}
        await messages(house.upstream, replace(call("", scope=ALICE), method="resources/subscribe", params=uri))
        house.server.sessions.clear()
        house.streams.refuse = 404
        first.cut()
        await house.streams.requested(2)
        house.streams.refuse = None
        stream = await house.streams.opened(1)
        again = await house.server.saw("resources/subscribe", 2)
        assert again.params["uri"] == "file:///a"
        assert again.session is not None
        assert again.session.id == stream.session
        await heard.until(lambda: heard.all)
        assert heard.of("session:a1") == [("resources/updated", {"uri": "file:///a"})]
        assert len(house.server.named("tools/call")) == 1
        await until(lambda: events["reinitialised stream"] == 1)

    @pytest.mark.trap(3)
    async def test_a_client_that_comes_back_while_its_server_is_away_has_its_subscriptions_again_as_well(
        self, house: House
    ) -> None:
        house.server.capabilities = {"tools": {}, "resources": {"subscribe": True}}

        async def agree(asked: Asked) -> web.Response:
            return asked.result({})

        house.server.served["resources/subscribe"] = agree
        first = await house.attended(ALICE)
        uri = {"uri": Raw(b'"file:///a"')}
        await messages(house.upstream, replace(call("", scope=ALICE), method="resources/subscribe", params=uri))
        away = asyncio.Event()

        async def refuse(asked: Asked) -> web.Response:
            away.set()
            return web.Response(status=503)

        house.server.answers["initialize"] = refuse
        house.server.sessions.clear()
        house.streams.refuse = 404
        first.cut()
        async with asyncio.timeout(5):
            await away.wait()
        house.upstream.unattend("a1")
        house.upstream.attend("a1")
        del house.server.answers["initialize"]
        house.streams.refuse = None
        again = await house.server.saw("resources/subscribe", 2)
        assert again.session is not None
        assert again.session.id == (await house.streams.opened(1)).session

    async def test_an_event_that_the_server_forgot_costs_no_stream(self, house: House) -> None:
        first = await house.attended(ALICE)
        await first.prime(id="e1", retry=10)
        house.streams.refuse = 400
        first.close()
        await house.streams.requested(2)
        house.streams.refuse = None
        assert "Last-Event-ID" not in (await house.streams.opened(1)).headers

    async def test_a_page_instead_of_a_stream_is_no_stream(self, house: House) -> None:
        async def page(request: web.Request) -> web.Response:
            house.streams.asked += 1
            return web.Response(text="<html>hello</html>", content_type="text/html")

        house.server.get = page
        house.upstream.attend("a1")
        await house.calls(ALICE)
        await until(lambda: house.streams.asked == 1)
        await house.calls(ALICE)
        assert house.streams.asked == 1

    async def test_the_end_of_the_upstream_ends_the_streams(self, house: House) -> None:
        stream = await house.attended(ALICE)
        async with asyncio.timeout(2):
            await house.upstream.close()
        await stream.ended()
        assert house.server.sessions == {}


async def lost(house: House, events: Counted) -> bool:
    """Whether it is known here that a session is no more."""
    await house.upstream.sweep(0.0)
    return events["ended"] > 0


class TestRequests:
    """Requests of a server's that belong to no call (protocol.md §8, 51)."""

    async def test_the_owner_of_the_session_is_asked_and_the_answer_goes_back(self, house: House, heard: Heard) -> None:
        stream = await house.attended(ALICE)
        await stream.say("roots/list", request="q1")
        reply = await house.server.saw("response")
        assert reply.message["id"] == "q1"
        assert reply.message["result"] == {"roots": []}
        assert reply.session is not None
        assert reply.session.id == stream.session
        assert [(scope, request.method) for scope, request in heard.questions] == [("session:a1", "roots/list")]

    async def test_pings_are_answered_here(self, house: House, heard: Heard) -> None:
        stream = await house.attended(ALICE)
        await stream.say("ping", request=1)
        assert (await house.server.saw("response")).message["result"] == {}
        assert heard.questions == []

    async def test_a_flood_of_requests_is_answered_as_fast_as_the_server_takes_answers(
        self, house: House, events: Counted
    ) -> None:
        taken = asyncio.Event()

        async def slowly(asked: Asked) -> web.StreamResponse:
            await taken.wait()
            return web.Response(status=202)

        house.server.answers["response"] = slowly
        stream = await house.attended(ALICE)
        for number in range(MOST_UNSENT + 100):
            await stream.say("ping", request=number)
        await until(lambda: events["dropped overflow"] == 100)
        taken.set()
        await house.server.saw("response", MOST_UNSENT)
        await stream.say("ping", request="last")
        assert (await house.server.saw("response", MOST_UNSENT + 1)).message["id"] == "last"

    async def test_an_error_of_the_owners_side_is_the_answer(self, house: House, heard: Heard) -> None:
        async def refuse(request: Message) -> bytes:
            raise GatewayError(Kind.METHOD_NOT_FOUND, "nobody can be asked")

        heard.answer = refuse
        stream = await house.attended(ALICE)
        await stream.say("roots/list", request=1)
        error = (await house.server.saw("response")).message["error"]
        assert (error["code"], error["message"]) == (-32601, "nobody can be asked")

    @pytest.mark.point(51)
    async def test_a_question_that_nobody_answers_times_out(self, heard: Heard, events: Counted) -> None:
        async def think(request: Message) -> bytes:
            return await asyncio.get_running_loop().create_future()

        heard.answer = think
        async with client_session() as http, McpServer(legacy=True) as server:
            streams = Streams(server)
            upstream = Upstream(terms(url=server.url, timeouts=Timeouts(answer=0.05)), http, audience=heard)
            house = House(server, streams, upstream)
            stream = await house.attended(ALICE)
            await stream.say("elicitation/create", {}, request=1)
            assert (await server.saw("response")).message["error"]["code"] == -32603
            await upstream.close()
            stream.close()

    async def test_a_call_waits_while_its_client_is_asked_on_the_stream(self, heard: Heard) -> None:
        impatient = Timeouts(first_byte=0.2, idle=0.2)
        longer = 3 * impatient.idle

        async def think(request: Message) -> bytes:
            await asyncio.sleep(longer)  # a person takes longer than a server may
            return jsonrpc.result(request.id, b'{"roots":[]}')

        heard.answer = think
        async with client_session() as http, McpServer(legacy=True) as server:
            streams = Streams(server)

            async def ask(asked: Asked) -> web.StreamResponse:
                await (await streams.opened(0)).say("roots/list", request="q1")
                return asked.result((await server.saw("response")).message["result"])

            server.tools["ask"] = ask
            upstream = Upstream(terms(url=server.url, timeouts=impatient), http, audience=heard)
            upstream.attend(ALICE.session or "")
            assert await answer(upstream, replace(call("ask", scope=ALICE), asks=PingOnly())) == {"roots": []}
            await upstream.close()
            streams.all[0].close()

    async def test_one_question_too_many_is_declined_at_once(self, house: House, heard: Heard) -> None:
        release = asyncio.Event()

        async def wait(request: Message) -> bytes:
            await release.wait()
            return jsonrpc.result(request.id, b"{}")

        heard.answer = wait
        stream = await house.attended(ALICE)
        for number in range(MOST_OPEN + 1):
            await stream.say("roots/list", request=number)
        first = (await house.server.saw("response")).message
        assert (first["id"], first["error"]["code"]) == (MOST_OPEN, -32603)
        release.set()
        await house.server.saw("response", MOST_OPEN + 1)

    async def test_a_question_that_is_taken_back_gets_no_answer(self, house: House, heard: Heard) -> None:
        stopped = asyncio.Event()

        async def wait(request: Message) -> bytes:
            try:
                return await asyncio.get_running_loop().create_future()
            finally:
                stopped.set()

        heard.answer = wait
        stream = await house.attended(ALICE)
        await stream.say("elicitation/create", {}, request=7)
        await heard.until(lambda: heard.questions)
        await stream.say("notifications/cancelled", {"requestId": 7})
        async with asyncio.timeout(5):
            await stopped.wait()
        await stream.say("ping", request=8)
        await house.server.saw("response")
        assert [asked.message["id"] for asked in house.server.named("response")] == [8]
        assert heard.all == []


class TestPipes:
    async def test_a_childs_loose_messages_reach_the_scope_that_it_serves(self, heard: Heard) -> None:
        server = PipeServer(legacy=True)
        async with client_session() as http, ScriptedProgram(server) as program:
            upstream = Upstream(terms(**program.spec), http, audience=heard)
            await answer(upstream, call("count", scope=ALICE))
            child = next(child for child in server.children if child.counter)
            await child.say({"method": "notifications/resources/updated", "params": {"uri": "file:///a"}})
            await heard.until(lambda: heard.all)
            assert heard.all == [("session:a1", "resources/updated", {"uri": "file:///a"})]
            await child.say({"id": "q", "method": "roots/list"})
            await server.until(lambda: "response" in child.methods)
            assert child.asked[-1] == {"jsonrpc": "2.0", "id": "q", "result": {"roots": []}}
            await upstream.close()

    @pytest.mark.point(51)
    async def test_a_child_that_serves_a_user_is_declined_at_once(self, heard: Heard) -> None:
        server = PipeServer(legacy=True)
        async with client_session() as http, ScriptedProgram(server) as program:
            upstream = Upstream(terms(**program.spec), http, audience=heard)
            await answer(upstream, call("count"))
            child = next(child for child in server.children if child.counter)
            await child.say({"id": "q", "method": "roots/list"})
            await server.until(lambda: "response" in child.methods)
            assert json.loads(json.dumps(child.asked[-1]))["error"]["code"] == -32601
            assert heard.questions == []
            await upstream.close()
