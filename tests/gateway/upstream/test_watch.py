"""How the gateway hears of changes: the watch of a server, over real sockets and pipes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, web

from gateway.settings import Timeouts
from gateway.upstream import pace
from gateway.upstream.connection import client_session
from gateway.upstream.server import Upstream
from storage.tasks import Tasks
from tests.support.audience import Heard
from tests.support.mcp_http import Asked, McpServer
from tests.support.mcp_pipe import PipeServer
from tests.support.pipes import ScriptedProgram
from tests.support.streams import SUBSCRIPTION, Listens, Streams
from tests.support.upstreams import Counted, answer, call, messages, terms
from tests.support.waiting import until

TOOLS = {"tools": {"listChanged": True}}
ALL = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
}
HOUSE = "house"
CHANGED = ("tools/list_changed", None)


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with client_session() as session:
        yield session


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def events() -> Counted:
    return Counted()


@pytest.fixture
async def open_upstream(http: ClientSession, heard: Heard, events: Counted) -> AsyncIterator[Callable[..., Upstream]]:
    opened: list[Upstream] = []

    def build(**spec: Any) -> Upstream:
        opened.append(Upstream(terms(**spec), http, audience=heard, events=events))
        return opened[-1]

    yield build
    for upstream in opened:
        await upstream.close()


Build = Callable[..., Upstream]


async def watching(upstream: Upstream) -> Upstream:
    """The upstream, discovered and watched as a fleet does it."""
    upstream.watch(await upstream.discover())
    return upstream


@asynccontextmanager
async def legacy_server(**more: Any) -> AsyncIterator[tuple[McpServer, Streams]]:
    async with McpServer(legacy=True, **more) as server:
        server.capabilities = TOOLS
        streams = Streams(server)
        yield server, streams
        for stream in streams.all:
            stream.close()


@asynccontextmanager
async def modern_server() -> AsyncIterator[tuple[McpServer, Listens]]:
    async with McpServer(modern=True) as server:
        server.capabilities = ALL
        listens = Listens(server)
        yield server, listens
        for listen in listens.all:
            listen.close()


class TestLegacyServers:
    async def test_what_may_have_changed_before_the_watch_counts_as_changed(
        self, open_upstream: Build, heard: Heard
    ) -> None:
        async with legacy_server() as (server, _streams):
            await watching(open_upstream(url=server.url))
            await heard.until(lambda: heard.of(HOUSE) == [CHANGED])

    async def test_a_change_is_heard_in_the_house_scope(
        self, open_upstream: Build, heard: Heard, events: Counted
    ) -> None:
        async with legacy_server() as (server, streams):
            await watching(open_upstream(url=server.url))
            stream = await streams.opened()
            await stream.say("notifications/tools/list_changed")
            await heard.until(lambda: heard.of(HOUSE) == [CHANGED, CHANGED])
            assert (events["watch opened"], events["watch closed"]) == (1, 0)

    async def test_the_stream_is_that_of_the_house_session(self, open_upstream: Build) -> None:
        async with legacy_server() as (server, streams):
            await watching(open_upstream(url=server.url))
            stream = await streams.opened()
            assert stream.session in server.sessions
            assert stream.headers["Accept"] == "application/json, text/event-stream"
            assert stream.headers["MCP-Protocol-Version"] == "2025-11-25"
            assert "Last-Event-ID" not in stream.headers

    @pytest.mark.trap(6)
    async def test_probes_share_the_session_of_the_watch(self, open_upstream: Build) -> None:
        async with legacy_server() as (server, streams):
            upstream = await watching(open_upstream(url=server.url))
            await streams.opened()
            before = len(server.named("initialize"))
            for _ in range(30):
                assert (await upstream.probe()).ok
                assert len(server.sessions) == 1
            assert len(server.named("initialize")) == before
            assert streams.asked == 1

    @pytest.mark.trap(6)
    async def test_a_server_without_streams_is_left_to_the_probes(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True) as server:
            server.capabilities = TOOLS
            streams = Streams(server)
            streams.refuse = 405
            upstream = await watching(open_upstream(url=server.url))
            await server.until(lambda: len(server.deleted) == 2)
            for _ in range(3):
                await watching(upstream)
                assert (await upstream.probe()).ok
            await server.until(lambda: not server.sessions)
            assert streams.asked == 1

    async def test_a_server_that_advertises_no_changes_is_not_watched(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True) as server:
            streams = Streams(server)
            upstream = await watching(open_upstream(url=server.url))
            assert (await upstream.probe()).ok
            await server.until(lambda: not server.sessions)
            assert streams.asked == 0

    async def test_a_refusal_counts_until_the_server_says_something_else_of_itself(self, open_upstream: Build) -> None:
        async with legacy_server() as (server, streams):
            streams.refuse = 405
            upstream = await watching(open_upstream(url=server.url))
            await streams.requested(1)
            await server.until(lambda: not server.sessions)
            streams.refuse, server.capabilities = None, ALL
            await watching(upstream)
            await streams.opened()

    async def test_a_broken_stream_is_opened_again_and_everything_counts_as_changed(
        self, open_upstream: Build, heard: Heard, events: Counted
    ) -> None:
        async with legacy_server() as (server, streams):
            upstream = open_upstream(url=server.url)
            await watching(upstream)
            (await streams.opened()).cut()
            await streams.opened(1)
            await heard.until(lambda: heard.of(HOUSE) == [CHANGED, CHANGED])
            assert len(server.sessions) == 1
            upstream.unwatch()
            await until(lambda: events["watch closed"] == 2)
            assert events["watch broke"] == 1

    async def test_a_stream_with_event_ids_is_resumed_where_it_ended(self, open_upstream: Build, heard: Heard) -> None:
        async with legacy_server() as (server, streams):
            await watching(open_upstream(url=server.url))
            first = await streams.opened()
            await first.prime(id="e7", retry=10)
            first.close()
            assert (await streams.opened(1)).headers["Last-Event-ID"] == "e7"
            assert heard.of(HOUSE) == [CHANGED]

    @pytest.mark.trap(3)
    async def test_a_session_that_the_server_forgot_is_opened_anew(self, open_upstream: Build, heard: Heard) -> None:
        async with legacy_server() as (server, streams):
            await watching(open_upstream(url=server.url))
            first = await streams.opened()
            server.sessions.clear()
            streams.refuse = 404
            first.cut()
            await streams.requested(2)
            streams.refuse = None
            second = await streams.opened(1)
            assert second.session in server.sessions
            assert second.session != first.session
            await heard.until(lambda: len(heard.of(HOUSE)) == 2)

    @pytest.mark.trap(3)
    async def test_a_probe_in_a_forgotten_session_opens_another_and_finds_the_server_well(
        self, open_upstream: Build
    ) -> None:
        async with legacy_server() as (server, streams):
            upstream = await watching(open_upstream(url=server.url))
            first = await streams.opened()
            server.sessions.clear()
            assert (await upstream.probe()).ok
            await first.ended()
            await streams.opened(1)
            assert len(server.sessions) == 1

    async def test_a_discovery_in_a_forgotten_session_succeeds(self, open_upstream: Build) -> None:
        async with legacy_server() as (server, streams):
            upstream = await watching(open_upstream(url=server.url))
            await streams.opened()
            server.sessions.clear()
            assert len((await upstream.discover()).tools) == 2

    @pytest.mark.point(51)
    async def test_requests_in_the_house_scope_are_declined_at_once_and_pings_answered(
        self, open_upstream: Build, heard: Heard
    ) -> None:
        async with legacy_server() as (server, streams):
            await watching(open_upstream(url=server.url))
            stream = await streams.opened()
            await stream.say("roots/list", request=5)
            await stream.say("ping", request="p")
            await server.saw("response", 2)
            replies = {asked.message["id"]: asked.message for asked in server.named("response")}
            assert replies[5]["error"]["code"] == -32601
            assert replies["p"]["result"] == {}
            assert heard.questions == []

    async def test_a_watch_that_is_off_ends_its_stream_and_its_session(
        self, open_upstream: Build, events: Counted
    ) -> None:
        async with legacy_server() as (server, streams):
            upstream = await watching(open_upstream(url=server.url))
            stream = await streams.opened()
            await until(lambda: events["watch opened"])
            upstream.unwatch()
            await stream.ended()
            await server.until(lambda: not server.sessions)
            assert (events["watch opened"], events["watch closed"]) == (1, 1)
            await watching(upstream)
            await streams.opened(1)

    async def test_the_end_of_the_upstream_does_not_wait_for_the_stream(self, open_upstream: Build) -> None:
        async with legacy_server() as (server, streams):
            upstream = await watching(open_upstream(url=server.url))
            stream = await streams.opened()
            async with asyncio.timeout(1):
                await upstream.close()
            await stream.ended()
            assert server.sessions == {}

    async def test_a_malformed_event_costs_itself_alone(
        self, open_upstream: Build, heard: Heard, events: Counted
    ) -> None:
        async with legacy_server() as (server, streams):
            await watching(open_upstream(url=server.url))
            stream = await streams.opened()
            await stream.event("{nonsense")
            await stream.say("notifications/tools/list_changed")
            await heard.until(lambda: len(heard.of(HOUSE)) == 2)
            assert events["dropped not_json"] == 1


class TestModernServers:
    async def test_it_listens_to_the_lists_that_are_advertised(self, open_upstream: Build, events: Counted) -> None:
        async with modern_server() as (server, listens):
            server.capabilities = {"tools": {"listChanged": True}, "prompts": {"listChanged": False}, "resources": {}}
            await watching(open_upstream(url=server.url))
            listen = await listens.opened()
            assert listen.filter == {"toolsListChanged": True}
            assert listen.asked.http.headers["Mcp-Method"] == "subscriptions/listen"
            await until(lambda: events["watch opened"] == 1)

    async def test_a_change_is_heard_without_the_id_of_our_listen(self, open_upstream: Build, heard: Heard) -> None:
        async with modern_server() as (server, listens):
            await watching(open_upstream(url=server.url))
            listen = await listens.opened()
            await heard.until(lambda: len(heard.all) == 3)
            await listen.say("notifications/tools/list_changed")
            await heard.until(lambda: len(heard.all) == 4)
            assert heard.all[-1] == (HOUSE, "tools/list_changed", None)
            assert {method for method, _ in heard.of(HOUSE)[:3]} == {
                "tools/list_changed",
                "prompts/list_changed",
                "resources/list_changed",
            }

    @pytest.mark.parametrize("refusal", [(-32601, 404), (-32601, 200)])
    async def test_a_server_that_knows_no_listen_is_not_asked_again(
        self, open_upstream: Build, refusal: tuple[int, int]
    ) -> None:
        async with McpServer(modern=True) as server:
            server.capabilities = ALL

            async def refuse(asked: Asked) -> web.Response:
                return asked.error(refusal[0], "Method not found", refusal[1])

            server.answers["subscriptions/listen"] = refuse
            upstream = await watching(open_upstream(url=server.url))
            await server.saw("subscriptions/listen")
            assert await upstream.follow(frozenset({"file:///a"})) == frozenset()
            for _ in range(3):
                await watching(upstream)
            assert await upstream.follow(frozenset({"file:///b"})) == frozenset()
            assert len(server.named("subscriptions/listen")) == 1

    async def test_an_event_that_is_no_message_costs_itself_alone(
        self, open_upstream: Build, heard: Heard, events: Counted
    ) -> None:
        async with modern_server() as (server, listens):
            await watching(open_upstream(url=server.url))
            listen = await listens.opened()
            await heard.until(lambda: len(heard.all) == 3)
            assert listen.asked.stream is not None
            await listen.asked.stream.write(b"data: {\n\ndata: 7\n\n")
            await listen.say("notifications/tools/list_changed")
            await heard.until(lambda: len(heard.all) == 4)
            assert (events["watch broke"], len(listens.all)) == (0, 1)
            assert sum(number for name, number in events.events.items() if name.startswith("dropped")) == 2

    async def test_followed_resources_are_those_that_the_server_acknowledges(
        self, open_upstream: Build, heard: Heard
    ) -> None:
        async with modern_server() as (server, listens):
            listens.honour = lambda wanted: wanted | {"resourceSubscriptions": ["file:///a"]}
            upstream = await watching(open_upstream(url=server.url))
            assert await upstream.follow(frozenset({"file:///a", "file:///b"})) == {"file:///a"}
            listen = listens.all[-1]
            assert listen.filter["resourceSubscriptions"] == ["file:///a", "file:///b"]
            await listen.say("notifications/resources/updated", uri="file:///a/part")
            await heard.until(lambda: heard.times("resources/updated") == 1)
            assert heard.all[-1] == (HOUSE, "resources/updated", {"uri": "file:///a/part"})

    async def test_the_next_listen_is_acknowledged_before_the_last_is_closed(
        self, open_upstream: Build, heard: Heard
    ) -> None:
        tasks = Tasks("test")
        async with modern_server() as (server, listens):
            upstream = await watching(open_upstream(url=server.url))
            first = await listens.opened()
            await heard.until(lambda: len(heard.all) == 3)
            listens.honour = None
            following = tasks.spawn(upstream.follow(frozenset({"file:///a"})), "follow")
            second = await listens.opened(1)
            await first.say("notifications/tools/list_changed")
            await heard.until(lambda: len(heard.all) == 4)
            assert not first.asked.gone.is_set()
            assert not following.done()
            await second.acknowledge()
            assert await following == {"file:///a"}
            async with asyncio.timeout(5):
                await first.asked.gone.wait()
            assert len(listens.open) == 1
            assert len(heard.all) == 4

    async def test_a_burst_of_wishes_ends_in_one_listen_about_the_last(self, open_upstream: Build) -> None:
        async with modern_server() as (server, listens):
            upstream = await watching(open_upstream(url=server.url))
            await listens.opened()
            wishes = [frozenset({f"file:///{n}"}) for n in range(40)]
            followed = await asyncio.gather(*(upstream.follow(wish) for wish in wishes))
            assert followed[-1] == wishes[-1]
            await until(lambda: len(listens.open) == 1)
            assert listens.open[0].filter["resourceSubscriptions"] == ["file:///39"]
            assert len(listens.all) <= 3

    async def test_following_needs_no_lists_and_ends_with_the_last_resource(self, open_upstream: Build) -> None:
        async with modern_server() as (server, listens):
            server.capabilities = {"resources": {"subscribe": True}}
            upstream = open_upstream(url=server.url)
            assert await upstream.follow(frozenset({"file:///a"})) == {"file:///a"}
            listen = await listens.opened()
            assert listen.filter == {"resourceSubscriptions": ["file:///a"]}
            assert await upstream.follow(frozenset()) == frozenset()
            async with asyncio.timeout(5):
                await listen.asked.gone.wait()
            assert await upstream.follow(frozenset({"file:///b"})) == {"file:///b"}

    async def test_a_server_that_refuses_resources_is_still_watched(self, open_upstream: Build) -> None:
        async with modern_server() as (server, listens):
            serve = server.answers["subscriptions/listen"]

            async def picky(asked: Asked) -> web.StreamResponse:
                if "resourceSubscriptions" in asked.params["notifications"]:
                    return asked.error(-32602, "no resources here", 400)
                return await serve(asked)

            server.answers["subscriptions/listen"] = picky
            upstream = open_upstream(url=server.url)
            assert await upstream.follow(frozenset({"file:///a"})) == frozenset()
            assert "resourceSubscriptions" not in (await listens.opened()).filter
            assert await upstream.follow(frozenset({"file:///b"})) == frozenset()
            assert len(listens.open) == 1
            assert len(listens.all) == 1

    @pytest.mark.point(25)
    async def test_after_a_break_everything_counts_as_changed(self, open_upstream: Build, heard: Heard) -> None:
        async with modern_server() as (server, listens):
            upstream = await watching(open_upstream(url=server.url))
            await upstream.follow(frozenset({"file:///a"}))
            assert heard.times("resources/updated") == 0
            listens.open[-1].close()
            await heard.until(lambda: heard.times("tools/list_changed") == 2)
            assert heard.times("resources/updated") == 1
            assert len(listens.open) == 1
            assert listens.open[0].filter["resourceSubscriptions"] == ["file:///a"]

    async def test_a_legacy_server_agrees_to_follow_nothing(self, open_upstream: Build) -> None:
        async with legacy_server() as (server, _streams):
            upstream = await watching(open_upstream(url=server.url))
            assert await upstream.follow(frozenset({"file:///a"})) == frozenset()

    async def test_an_upstream_that_takes_anothers_place_follows_the_same(self, open_upstream: Build) -> None:
        async with modern_server() as (server, listens):
            before, after = open_upstream(url=server.url), open_upstream(url=server.url)
            await before.follow(frozenset({"file:///a"}))
            after.succeed(before)
            second = await listens.opened(1)
            assert second.filter["resourceSubscriptions"] == ["file:///a"]

    @pytest.mark.trap(19)
    async def test_a_silent_watch_outlives_the_timeouts_of_calls(self, open_upstream: Build, heard: Heard) -> None:
        async with modern_server() as (server, listens):
            short = Timeouts(first_byte=0.2, idle=0.05, absolute=0.3)
            upstream = open_upstream(url=server.url, timeouts=short)
            await watching(upstream)
            listen = await listens.opened()
            await asyncio.sleep(0.4)
            await listen.say("notifications/tools/list_changed")
            await heard.until(lambda: heard.times("tools/list_changed") == 2)
            assert len(listens.all) == 1


class TestDeadServers:
    async def test_an_attempt_is_made_ever_more_rarely(self, open_upstream: Build) -> None:
        async with McpServer(modern=True) as server:
            server.capabilities = ALL
            asked: list[float] = []

            async def fail(request: Asked) -> web.Response:
                asked.append(asyncio.get_running_loop().time())
                return web.Response(status=503)

            server.answers["subscriptions/listen"] = fail
            await watching(open_upstream(url=server.url))
            await until(lambda: len(asked) == 3)
            first, second = asked[1] - asked[0], asked[2] - asked[1]
            assert pace.FIRST_WAIT <= first <= 1.5 * pace.FIRST_WAIT + 0.5
            assert 2 * pace.FIRST_WAIT <= second <= 3 * pace.FIRST_WAIT + 0.5


@asynccontextmanager
async def pipe_server(http: ClientSession, heard: Heard, **eras: Any) -> AsyncIterator[tuple[PipeServer, Upstream]]:
    server = PipeServer(**eras)
    server.capabilities = ALL
    async with ScriptedProgram(server) as program:
        upstream = Upstream(terms(**program.spec, silence=0.5), http, audience=heard)
        try:
            yield server, upstream
        finally:
            await upstream.close()


class TestPipes:
    async def test_the_house_child_of_a_legacy_server_is_heard(self, http: ClientSession, heard: Heard) -> None:
        async with pipe_server(http, heard, legacy=True) as (server, upstream):
            await watching(upstream)
            await heard.until(lambda: heard.times("tools/list_changed") == 1)
            child = await server.child()
            await child.say({"method": "notifications/tools/list_changed"})
            await heard.until(lambda: heard.times("tools/list_changed") == 2)
            assert {scope for scope, _, _ in heard.all} == {HOUSE}

    async def test_news_is_heard_although_one_call_is_in_flight(self, http: ClientSession, heard: Heard) -> None:
        async with pipe_server(http, heard, legacy=True) as (server, upstream):

            async def grow(child: Any, asked: Any) -> None:
                await child.say({"method": "notifications/tools/list_changed"})
                await child.result(asked, {"content": []})

            server.tools["grow"] = grow
            assert await answer(upstream, call("grow")) == {"content": []}
            await heard.until(lambda: heard.times("tools/list_changed") == 1)
            assert heard.all[0][0] == "user:1"

    @pytest.mark.trap(36)
    async def test_a_house_child_that_ended_is_started_again_and_counts_as_changed(
        self, http: ClientSession, heard: Heard
    ) -> None:
        async with pipe_server(http, heard, legacy=True) as (server, upstream):
            await watching(upstream)
            await heard.until(lambda: heard.times("tools/list_changed") == 1)
            await (await server.child()).peer.exit(1)
            await server.child(1)
            await heard.until(lambda: heard.times("tools/list_changed") == 2)

    async def test_a_modern_child_is_listened_to_and_calls_go_on_beside_that(
        self, http: ClientSession, heard: Heard
    ) -> None:
        async with pipe_server(http, heard, modern=True) as (server, upstream):
            asked = serve_listens(server)
            await watching(upstream)
            child = await server.child()
            await heard.until(lambda: heard.times("tools/list_changed") == 1)
            assert asked[0]["params"]["notifications"]["toolsListChanged"] is True
            about = {SUBSCRIPTION: asked[0]["id"]}
            await child.say({"method": "notifications/prompts/list_changed", "params": {"_meta": about}})
            await heard.until(lambda: heard.times("prompts/list_changed") == 2)
            assert heard.all[-1] == (HOUSE, "prompts/list_changed", None)

            async def chatty(child: Any, asked: Any) -> None:
                await child.say({"method": "notifications/message", "params": {"level": "info", "data": "hello"}})
                await child.result(asked, {"content": []})

            server.tools["chatty"] = chatty
            found = await messages(upstream, call("chatty"))
            assert [message.method for message in found] == ["notifications/message", ""]

    async def test_a_listen_that_another_replaced_is_cancelled_at_the_child(
        self, http: ClientSession, heard: Heard
    ) -> None:
        async with pipe_server(http, heard, modern=True) as (server, upstream):
            asked = serve_listens(server)
            await watching(upstream)
            child = await server.child()
            await heard.until(lambda: heard.times("tools/list_changed") == 1)
            assert await upstream.follow(frozenset({"file:///a"})) == {"file:///a"}
            await server.until(lambda: "notifications/cancelled" in child.methods)
            told = next(m for m in child.asked if m.get("method") == "notifications/cancelled")
            assert told["params"]["requestId"] == asked[0]["id"]
            assert len(asked) == 2

    async def test_a_child_may_end_a_listen_with_a_cancellation(self, http: ClientSession, heard: Heard) -> None:
        async with pipe_server(http, heard, modern=True) as (server, upstream):
            asked = serve_listens(server)
            await watching(upstream)
            child = await server.child()
            await heard.until(lambda: heard.times("tools/list_changed") == 1)
            await child.say({"method": "notifications/cancelled", "params": {"requestId": asked[0]["id"]}})
            await heard.until(lambda: heard.times("tools/list_changed") == 2)
            assert len(asked) == 2
            assert len(server.children) == 1


def serve_listens(server: PipeServer) -> list[Any]:
    """The listens that a modern server on pipes has acknowledged."""
    asked: list[Any] = []

    async def listen(child: Any, request: Any) -> None:
        asked.append(request)
        params = {"notifications": request["params"]["notifications"], "_meta": {SUBSCRIPTION: request["id"]}}
        await child.say({"method": "notifications/subscriptions/acknowledged", "params": params})

    server.served["subscriptions/listen"] = listen
    return asked


@pytest.mark.trap(19)
async def test_the_system_finds_out_that_a_silent_server_has_gone(http: ClientSession) -> None:
    async with legacy_server() as (server, _), http.get(server.url) as response:
        assert response.connection is not None
        opened = response.connection.transport.get_extra_info("socket")
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
