"""What clients want legacy servers to remember: levels and subscriptions, kept for when a server forgets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from msgspec import Raw

from gateway.errors import GatewayError
from gateway.protocol.versions import Era
from gateway.upstream.connection import client_session
from gateway.upstream.scopes import session_key
from gateway.upstream.server import Upstream
from gateway.upstream.values import Forward, Scope, ScopeKey
from gateway.upstream.wishes import MOST, Memories, Wishes
from tests.support.mcp_http import Asked, McpServer
from tests.support.mcp_pipe import Message, PipeChild, PipeServer
from tests.support.pipes import ScriptedProgram
from tests.support.upstreams import ALICE, LEGACY_CLIENT, MODERN_CLIENT, Clock, Counted, answer, call, said, terms

SESSION, OTHER = Scope("s", 1), Scope("t", 1)
SET_LEVEL, SUBSCRIBE = "logging/setLevel", "resources/subscribe"


def at(level: str, name: str = "count", scope: Scope = SESSION, **headers: str) -> Forward:
    """A call of a client whose session has set `level`."""
    client = replace(LEGACY_CLIENT, log_level=Raw(f'"{level}"'.encode()))
    return call(name, client=client, scope=scope, headers=headers)


def about(method: str, uri: str, scope: Scope = SESSION) -> Forward:
    """A `resources/*` request."""
    return Forward(method, uri, {"uri": Raw(f'"{uri}"'.encode())}, {}, LEGACY_CLIENT, scope)


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[tuple[McpServer, Upstream, Counted]]:
    async with McpServer(legacy=True) as server, client_session() as http:
        server.capabilities = {"tools": {}, "logging": {}, "resources": {"subscribe": True}}
        server.served |= dict.fromkeys((SET_LEVEL, SUBSCRIBE, "resources/unsubscribe"), grant)
        events = Counted()
        upstream = Upstream(terms(url=server.url, **settings), http, events=events)
        yield server, upstream, events
        await upstream.close()


async def grant(asked: Asked) -> web.Response:
    return asked.result({})


async def grant_on_pipe(child: PipeChild, asked: Message) -> None:
    await child.result(asked, {})


def levels(server: McpServer) -> list[str]:
    return [asked.params["level"] for asked in server.named(SET_LEVEL)]


def uris(server: McpServer, method: str = SUBSCRIBE) -> list[str]:
    return [asked.params["uri"] for asked in server.named(method)]


class TestLevel:
    async def test_a_level_is_told_before_the_next_request_and_once(self) -> None:
        async with serving() as (server, upstream, _):
            await said(upstream, call("count", scope=SESSION))
            await asyncio.gather(*(said(upstream, at("debug")) for _ in range(10)))
            assert server.methods[3:5] == ["tools/call", SET_LEVEL]
            assert levels(server) == ["debug"]
            await said(upstream, at("error"))
            assert levels(server) == ["debug", "error"]
            assert server.methods[-2:] == [SET_LEVEL, "tools/call"]

    @pytest.mark.point(50)
    @pytest.mark.trap(9)
    async def test_concurrent_first_calls_open_one_session_and_tell_it_once(self) -> None:
        async with serving() as (server, upstream, events):
            counts = await asyncio.gather(*(said(upstream, at("debug")) for _ in range(20)))
            assert sorted(map(int, counts)) == list(range(1, 21))
            assert (server.methods.count("initialize"), levels(server), events["opened"]) == (1, ["debug"], 1)

    async def test_it_travels_in_the_clients_session_with_its_headers(self) -> None:
        async with serving() as (server, upstream, _):
            await said(upstream, at("debug", Tenant="acme"))
            headers = (await server.saw(SET_LEVEL)).http.headers
            assert (headers["Mcp-Session-Id"], headers["Tenant"]) == ("s1", "acme")

    async def test_a_refusal_is_not_argued_with(self) -> None:
        async with serving() as (server, upstream, _):
            server.served[SET_LEVEL] = refuse
            for _ in range(3):
                await said(upstream, at("debug"))
            assert levels(server) == ["debug"]

    async def test_a_server_that_does_not_log_is_not_told(self) -> None:
        async with serving() as (server, upstream, _):
            server.capabilities = {"tools": {}}
            await said(upstream, at("debug"))
            assert levels(server) == []

    async def test_the_level_of_a_modern_request_is_no_sessions(self) -> None:
        async with serving() as (server, upstream, _):
            await said(upstream, call("count", client=replace(MODERN_CLIENT, log_level=Raw(b'"debug"'))))
            assert levels(server) == []

    async def test_a_session_that_clients_share_only_becomes_more_talkative(self) -> None:
        async with serving(isolation="shared") as (server, upstream, _):
            for level in ("error", "info", "warning", "debug"):
                await said(upstream, at(level))
            assert levels(server) == ["error", "info", "debug"]

    async def test_an_open_session_can_be_told_at_once(self) -> None:
        async with serving() as (server, upstream, _):
            level = Raw(b'"info"')
            await upstream.set_level(SESSION, level)
            assert server.methods == []
            await said(upstream, call("count", scope=SESSION))
            for scope in (SESSION, OTHER, ALICE):
                await upstream.set_level(scope, level)
            assert levels(server) == ["info"]
            await said(upstream, at("info"))
            assert levels(server) == ["info"]


class TestLost:
    """Sessions that a server has forgotten."""

    @pytest.mark.point(50)
    @pytest.mark.trap(3)
    @pytest.mark.parametrize("lost", ["404", "410", "400", "400 text", "terminated"])
    async def test_level_and_subscriptions_are_told_again_once_and_others_are_left_alone(self, lost: str) -> None:
        async with serving() as (server, upstream, events):
            for scope in (SESSION, OTHER):
                await said(upstream, at("debug", scope=scope))
            for uri in ("a:1", "a:2", "a:3"):
                await answer(upstream, about(SUBSCRIBE, uri))
            await answer(upstream, about("resources/unsubscribe", "a:2"))
            server.lost = lost
            del server.sessions["s1"]
            begun = len(server.asked)
            counts = await asyncio.gather(*(said(upstream, at("debug")) for _ in range(5)))
            assert sorted(counts) == ["1", "2", "3", "4", "5"]
            again = [asked for asked in server.asked[begun:] if asked.method not in ("tools/call", "initialize")]
            assert [asked.method for asked in again] == [
                "notifications/initialized",
                SET_LEVEL,
                SUBSCRIBE,
                SUBSCRIBE,
            ]
            assert [asked.params["uri"] for asked in again[2:]] == ["a:1", "a:3"]
            assert {asked.http.headers["Mcp-Session-Id"] for asked in again} == {"s3"}
            assert server.methods.count("initialize") == 3
            assert await said(upstream, call("count", scope=OTHER)) == "2"
            assert sum(count for name, count in events.events.items() if "reinit" in name) >= 1

    async def test_what_was_refused_is_not_told_again(self) -> None:
        async with serving() as (server, upstream, _):
            server.served[SUBSCRIBE] = refuse
            await answer(upstream, about(SUBSCRIBE, "a:1"))
            server.sessions.clear()
            await said(upstream, call("count", scope=SESSION))
            assert uris(server) == ["a:1"]

    async def test_what_others_may_share_is_remembered_for_nobody(self) -> None:
        async with serving(isolation="caller") as (server, upstream, _):
            await answer(upstream, about(SUBSCRIBE, "a:1"))
            server.sessions.clear()
            await said(upstream, call("count", scope=SESSION))
            assert uris(server) == ["a:1"]

    async def test_a_client_session_that_ended_is_forgotten(self) -> None:
        async with serving() as (server, upstream, _):
            await answer(upstream, about(SUBSCRIBE, "a:1"))
            await upstream.end_session("s")
            await said(upstream, call("count", scope=SESSION))
            assert uris(server) == ["a:1"]

    async def test_a_session_that_waits_for_news_is_not_idle(self) -> None:
        async with serving() as (server, upstream, _):
            await answer(upstream, about(SUBSCRIBE, "a:1"))
            await said(upstream, call("count", scope=OTHER))
            await upstream.sweep(float("inf"))
            await server.until(lambda: server.deleted == ["s2"])
            await answer(upstream, about("resources/unsubscribe", "a:1"))
            await upstream.sweep(float("inf"))
            await server.until(lambda: server.deleted == ["s2", "s1"])

    async def test_a_child_that_crashed_is_told_again(self) -> None:
        server, clock = PipeServer(legacy=True), Clock()
        server.capabilities |= {"logging": {}}
        server.served |= dict.fromkeys((SET_LEVEL, SUBSCRIBE), grant_on_pipe)
        async with ScriptedProgram(server) as program, client_session() as http:
            upstream = Upstream(terms(**program.spec), http, known_era=Era.LEGACY, clock=clock)
            await said(upstream, at("debug"))
            await answer(upstream, about(SUBSCRIBE, "a:1"))
            clock.ahead += 60
            with pytest.raises(GatewayError):
                await answer(upstream, call("exit", scope=SESSION))
            assert await said(upstream, call("count", scope=SESSION)) == "1"
            shake = ["initialize", "notifications/initialized"]
            assert server.children[1].methods == [*shake, SET_LEVEL, SUBSCRIBE, "tools/call"]
            await upstream.close()


class TestNotify:
    @pytest.mark.point(43)
    async def test_a_notification_reaches_the_clients_own_open_session_alone(self) -> None:
        async with serving() as (server, upstream, _):
            changed = "notifications/roots/list_changed"
            await upstream.notify(SESSION, changed, None)
            assert server.methods == []
            for scope in (SESSION, OTHER, ALICE):
                await said(upstream, call("count", scope=scope, headers={"Tenant": "acme"}))
            await upstream.notify(ALICE, changed, None)
            await upstream.notify(SESSION, changed, Raw(b'{"x": 1.0}'))
            [asked] = server.named(changed)
            assert (asked.http.headers["Mcp-Session-Id"], asked.http.headers["Tenant"]) == ("s1", "acme")
            assert b'{"x": 1.0}' in await asked.http.read()

    async def test_a_server_that_refuses_it_troubles_nobody(self) -> None:
        async with serving() as (server, upstream, _):
            await said(upstream, call("count", scope=SESSION))
            server.sessions.clear()
            await upstream.notify(SESSION, "notifications/roots/list_changed", None)
            assert await said(upstream, call("count", scope=SESSION)) == "1"

    async def test_a_modern_server_is_told_nothing(self) -> None:
        async with McpServer(modern=True) as server, client_session() as http:
            upstream = Upstream(terms(url=server.url), http)
            await answer(upstream, call("echo", scope=SESSION))
            await upstream.notify(SESSION, "notifications/roots/list_changed", None)
            assert server.methods == ["server/discover", "tools/call"]
            await upstream.close()


class TestMemories:
    def test_only_lines_of_one_client_remember(self) -> None:
        memories = Memories()
        assert memories.of(session_key("s")) is memories.of(session_key("s"))
        assert memories.of(session_key("s")) is not memories.of(session_key("t"))
        assert [memories.of(ScopeKey(key)) for key in ("house", "user:1", "shared:")] == [None] * 3
        assert memories.of(ScopeKey("call:1")) is not memories.of(ScopeKey("call:1"))
        assert len(memories) == 2

    def test_subscriptions_are_bounded(self) -> None:
        wishes = Wishes()
        for number in range(MOST + 10):
            wishes.granted(about(SUBSCRIBE, f"a:{number}"))
        assert len(wishes.subscriptions) == MOST

    def test_what_is_kept_does_not_pin_the_request(self) -> None:
        wishes, body = Wishes(), b'{"uri":"a:1","x":[1.0]}'
        members = {"uri": Raw(memoryview(body)[7:12]), "x": Raw(memoryview(body)[17:22])}
        wishes.granted(replace(about(SUBSCRIBE, "a:1"), params=members))
        assert wishes.subscriptions == ({"uri": Raw(b'"a:1"'), "x": Raw(b"[1.0]")},)


async def refuse(asked: Asked) -> web.Response:
    return asked.error(-32603, "no")
