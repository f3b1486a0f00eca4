"""Eras and sessions of servers behind a URL, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientSession, web
from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol.meta import LOG_LEVEL, RELATED_TASK
from gateway.protocol.versions import Era
from gateway.upstream.connection import client_session
from gateway.upstream.server import Upstream
from gateway.upstream.values import Scope
from tests.support.mcp_http import MODERN, Asked, McpServer, text
from tests.support.upstreams import ALICE, BOB, LEGACY_CLIENT, MODERN_CLIENT, Counted, answer, call, said, terms


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with client_session() as session:
        yield session


@pytest.fixture
def events() -> Counted:
    return Counted()


@pytest.fixture
async def open_upstream(http: ClientSession, events: Counted) -> AsyncIterator[Callable[..., Upstream]]:
    opened: list[Upstream] = []

    def build(server: McpServer, *, known_era: Era | None = None, **settings: Any) -> Upstream:
        opened.append(Upstream(terms(url=server.url, **settings), http, known_era=known_era, events=events))
        return opened[-1]

    yield build
    for upstream in opened:
        await upstream.close()


Build = Callable[..., Upstream]


async def status(code: int, body: str = "") -> web.Response:
    return web.Response(status=code, text=body)


def always(code: int, body: str = "") -> Callable[[Asked], Any]:
    return lambda asked: status(code, body)


class TestEras:
    """Which era a server speaks (protocol.md §5.2)."""

    @pytest.mark.point(49)
    @pytest.mark.parametrize("era", ["legacy", "modern"])
    @pytest.mark.parametrize("client", [LEGACY_CLIENT, MODERN_CLIENT])
    async def test_the_era_is_found_and_the_call_goes_through(
        self, open_upstream: Build, era: str, client: Any
    ) -> None:
        async with McpServer(**{era: True}) as server:
            upstream = open_upstream(server)
            assert upstream.era is None
            asked = (await answer(upstream, call("echo", {"x": 1}, client=client)))["asked"]
            assert (upstream.era, asked["name"], asked["arguments"]) == (Era(era), "echo", {"x": 1})

    @pytest.mark.point(49)
    async def test_a_server_of_both_eras_is_modern(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True, modern=True) as server:
            upstream = open_upstream(server)
            await answer(upstream, call("echo"))
            assert upstream.era is Era.MODERN
            assert server.methods == ["server/discover", "tools/call"]

    @pytest.mark.point(49)
    async def test_a_known_era_is_not_asked_for_again(self, open_upstream: Build) -> None:
        async with McpServer(modern=True) as server:
            await answer(open_upstream(server, known_era=Era.MODERN), call("echo"))
            assert server.methods == ["tools/call"]
        async with McpServer(legacy=True) as server:
            await answer(open_upstream(server, known_era=Era.LEGACY), call("echo"))
            assert server.methods == ["initialize", "notifications/initialized", "tools/call"]

    async def test_many_who_want_to_know_ask_once(self, open_upstream: Build) -> None:
        async with McpServer(modern=True) as server:
            upstream = open_upstream(server)
            await asyncio.gather(*(answer(upstream, call("echo")) for _ in range(10)))
            assert server.methods.count("server/discover") == 1

    @pytest.mark.trap(13)
    @pytest.mark.parametrize("versions", [["2025-11-25"], [], ["2031-01-01"], "2026-07-28"])
    async def test_a_server_that_discovers_without_our_version_stays_legacy(
        self, open_upstream: Build, versions: Any
    ) -> None:
        async with McpServer(legacy=True) as server:
            server.answers["server/discover"] = lambda asked: reply(asked, {"supportedVersions": versions})
            upstream = open_upstream(server)
            await answer(upstream, call("echo"))
            assert upstream.era is Era.LEGACY

    @pytest.mark.parametrize("code", [400, 404, 405, 406, 415])
    async def test_a_plain_refusal_of_discovery_leads_to_a_handshake(self, open_upstream: Build, code: int) -> None:
        async with McpServer(legacy=True) as server:
            server.answers["server/discover"] = always(code, "<html>no</html>")
            upstream = open_upstream(server)
            await answer(upstream, call("echo"))
            assert upstream.era is Era.LEGACY

    async def test_a_modern_server_of_another_revision_may_offer_a_handshake(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True) as server:
            server.answers["server/discover"] = lambda asked: refuse(asked, -32022, 400, {"supported": ["2025-11-25"]})
            upstream = open_upstream(server)
            await answer(upstream, call("echo"))
            assert upstream.era is Era.LEGACY

    async def test_a_server_that_refuses_a_version_and_names_it_is_asked_again_once(self, open_upstream: Build) -> None:
        async with McpServer(modern=True) as server:
            refused = iter([{"supported": [MODERN]}])

            async def grumble(asked: Asked) -> web.Response:
                data = next(refused, None)
                return server.discovered(asked) if data is None else asked.error(-32022, "?", 400, data)

            server.answers["server/discover"] = grumble
            upstream = open_upstream(server)
            await answer(upstream, call("echo"))
            assert (upstream.era, server.methods) == (Era.MODERN, ["server/discover"] * 2 + ["tools/call"])

    @pytest.mark.parametrize("data", [None, {}, {"supported": "x"}, {"supported": [7]}, {"supported": [MODERN]}])
    async def test_a_server_that_goes_on_refusing_is_legacy(self, open_upstream: Build, data: Any) -> None:
        async with McpServer(legacy=True) as server:
            server.answers["server/discover"] = lambda asked: refuse(asked, -32022, 400, data)
            upstream = open_upstream(server)
            await answer(upstream, call("echo"))
            assert upstream.era is Era.LEGACY
            assert server.methods.count("server/discover") == (2 if data == {"supported": [MODERN]} else 1)

    @pytest.mark.point(49)
    @pytest.mark.trap(13)
    @pytest.mark.parametrize("code", [401, 403, 429, 500, 502, 503])
    async def test_a_failing_server_has_no_era_until_it_answers(self, open_upstream: Build, code: int) -> None:
        async with McpServer(legacy=True, modern=True) as server:
            server.answers["server/discover"] = always(code)
            upstream = open_upstream(server)
            with pytest.raises(GatewayError) as caught:
                await answer(upstream, call("echo"))
            assert (caught.value.kind, caught.value.reason) == (Kind.SERVER_STATUS, f"status_{code}")
            assert (upstream.era, server.methods) == (None, ["server/discover"])
            del server.answers["server/discover"]
            await answer(upstream, call("echo"))
            assert upstream.era is Era.MODERN

    @pytest.mark.trap(13)
    async def test_a_handshake_that_fails_proves_nothing(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True, modern=True) as server:
            server.answers["server/discover"] = always(404)
            server.answers["initialize"] = always(503)
            upstream = open_upstream(server)
            with pytest.raises(GatewayError):
                await answer(upstream, call("echo"))
            assert upstream.era is None
            server.answers.clear()
            await answer(upstream, call("echo"))
            assert upstream.era is Era.MODERN

    async def test_pinned_eras_are_not_asked_about_and_not_left(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True, modern=True) as server:
            await answer(open_upstream(server, era="legacy"), call("echo"))
            assert "server/discover" not in server.methods
        async with McpServer(legacy=True) as server:
            upstream = open_upstream(server, era="modern")
            with pytest.raises(GatewayError):
                await upstream.discover()
            assert (upstream.era, server.methods) == (Era.MODERN, ["server/discover"])

    @pytest.mark.point(49)
    async def test_a_modern_server_that_became_legacy_is_noticed_by_a_call(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True) as server:
            upstream = open_upstream(server, known_era=Era.MODERN)
            server.lost = "400"
            assert await said(upstream, call("count")) == "1"
            assert upstream.era is Era.LEGACY

    @pytest.mark.point(49)
    async def test_a_legacy_server_that_became_modern_is_noticed_by_a_handshake(self, open_upstream: Build) -> None:
        async with McpServer(modern=True) as server:
            upstream = open_upstream(server, known_era=Era.LEGACY)
            await answer(upstream, call("echo"))
            assert upstream.era is Era.MODERN
            assert server.methods == ["initialize", "server/discover", "tools/call"]

    async def test_a_legacy_server_that_became_modern_is_noticed_within_a_session(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True) as server:
            upstream = open_upstream(server)
            await answer(upstream, call("echo"))
            server.legacy, server.modern = False, True
            await answer(upstream, call("echo"))
            assert upstream.era is Era.MODERN

    async def test_a_server_that_denies_both_eras_has_none_until_it_answers(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True, modern=True) as server:
            server.answers = {method: always(404) for method in ("server/discover", "initialize")}
            upstream = open_upstream(server, known_era=Era.LEGACY)
            with pytest.raises(GatewayError, match="denies initialize"):
                await answer(upstream, call("echo"))
            assert upstream.era is None
            server.answers.clear()
            await answer(upstream, call("echo"))
            assert upstream.era is Era.MODERN

    async def test_an_error_that_is_no_contradiction_after_all_reaches_the_caller(self, open_upstream: Build) -> None:
        async with McpServer(modern=True) as server:
            server.tools["odd"] = lambda asked: refuse(asked, -32000, 400)
            upstream = open_upstream(server)
            found = await answer(upstream, call("odd"))
            assert (found["code"], upstream.era) == (-32000, Era.MODERN)
            assert server.methods == ["server/discover", "tools/call", "server/discover"]

    @pytest.mark.point(47)
    @pytest.mark.point(49)
    async def test_a_server_of_2024_is_named_as_such(self, open_upstream: Build, http: ClientSession) -> None:
        async with old_server() as url:
            upstream = Upstream(terms(url=url), http)
            with pytest.raises(GatewayError, match=r"HTTP\+SSE transport of 2024-11-05") as caught:
                await answer(upstream, call("echo"))
            assert caught.value.reason == "transport"
            await upstream.close()

    async def test_a_pinned_old_transport_is_refused_without_a_connection(self, http: ClientSession) -> None:
        upstream = Upstream(terms(url="http://127.0.0.1:9/sse", transport="sse"), http)
        with pytest.raises(GatewayError, match=r"peer speaks the HTTP\+SSE transport"):
            await answer(upstream, call("echo"))
        await upstream.close()


class TestSessions:
    """Sessions of legacy servers."""

    @pytest.mark.point(50)
    @pytest.mark.trap(9)
    async def test_concurrent_first_calls_open_one_session(self, open_upstream: Build, events: Counted) -> None:
        async with McpServer(legacy=True) as server:
            upstream = open_upstream(server)
            counts = await asyncio.gather(*(said(upstream, call("count")) for _ in range(20)))
            assert sorted(map(int, counts)) == list(range(1, 21))
            assert (server.methods.count("initialize"), events["opened"]) == (1, 1)

    @pytest.mark.trap(9)
    async def test_a_caller_who_leaves_while_a_session_opens_does_not_spoil_it(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True) as server:
            upstream, hold = open_upstream(server), asyncio.Event()
            server.answers["initialize"] = lambda asked: held(hold, lambda: server.initialize(asked))
            async with asyncio.TaskGroup() as group:
                impatient = group.create_task(said(upstream, call("count")))
                patient = group.create_task(said(upstream, call("count")))
                await server.saw("initialize")
                impatient.cancel()
                hold.set()
            assert patient.result() == "1"
            assert server.methods.count("initialize") == 1

    @pytest.mark.trap(5)
    async def test_users_and_client_sessions_never_share_a_session(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True) as server:
            upstream = open_upstream(server)
            scopes = [ALICE, BOB, Scope("s", 1), Scope("t", 1)]
            first = [await said(upstream, call("count", scope=scope)) for scope in scopes]
            second = [await said(upstream, call("count", scope=scope)) for scope in scopes]
            assert (first, second) == (["1"] * 4, ["2"] * 4)

    @pytest.mark.trap(7)
    async def test_a_server_without_session_ids_works_beside_one_with_them(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True, stateful=False) as stateless, McpServer(legacy=True) as stateful:
            one, other = open_upstream(stateless), open_upstream(stateful)
            for expected in ("1", "2"):
                assert await said(one, call("count")) == "stateless"
                assert await said(other, call("count")) == expected
            assert stateless.methods.count("initialize") == 1
            assert all("Mcp-Session-Id" not in asked.http.headers for asked in stateless.asked)

    @pytest.mark.parametrize(
        ("isolation", "expected"),
        [
            ("shared", ["1", "2", "3", "4"]),
            ("caller", ["1", "2", "3", "1"]),
            ("call", ["1"] * 4),
            ("session", ["1"] * 4),
        ],
    )
    async def test_isolation_is_as_the_admin_says(
        self, open_upstream: Build, isolation: str, expected: list[str]
    ) -> None:
        async with McpServer(legacy=True) as server:
            upstream = open_upstream(server, isolation=isolation)
            scopes = [Scope("s", 1), Scope("t", 1), ALICE, BOB]
            assert [await said(upstream, call("count", scope=scope)) for scope in scopes] == expected

    async def test_a_session_for_one_call_is_ended_after_it(self, open_upstream: Build, events: Counted) -> None:
        async with McpServer(legacy=True) as server:
            upstream = open_upstream(server, isolation="call")
            await said(upstream, call("count"))
            await server.until(lambda: server.deleted == ["s1"])
            assert server.sessions == {}

    async def test_shared_sessions_are_not_shared_between_credentials(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True) as server:
            upstream = open_upstream(server, isolation="shared")
            tokens = [{"Authorization": "a"}, {"Authorization": "b"}, {"Authorization": "a"}]
            assert [await said(upstream, call("count", headers=headers)) for headers in tokens] == ["1", "1", "2"]

    @pytest.mark.point(50)
    @pytest.mark.trap(3)
    @pytest.mark.parametrize(
        ("lost", "reason"),
        [
            ("404", "status_404"),
            ("410", "status_410"),
            ("400", "status_400"),
            ("400 text", "status_400"),
            ("terminated", "terminated"),
        ],
    )
    async def test_a_lost_session_is_opened_again_once_and_others_are_left_alone(
        self, open_upstream: Build, events: Counted, lost: str, reason: str
    ) -> None:
        async with McpServer(legacy=True) as server, McpServer(legacy=True) as other:
            upstream, bystander = open_upstream(server), open_upstream(other)
            for scope in (ALICE, BOB):
                await said(upstream, call("count", scope=scope))
            await said(bystander, call("count"))
            server.lost = lost
            del server.sessions["s1"]
            counts = await asyncio.gather(*(said(upstream, call("count")) for _ in range(5)))
            assert sorted(counts) == ["1", "2", "3", "4", "5"]
            assert await said(upstream, call("count", scope=BOB)) == "2"
            assert await said(bystander, call("count")) == "2"
            assert server.methods.count("initialize") == 3
            assert events[f"reinitialised {reason}"] >= 1

    @pytest.mark.trap(3)
    async def test_a_session_that_is_lost_again_at_once_is_an_error(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True) as server:
            upstream = open_upstream(server)
            server.answers["tools/call"] = always(404, "no such session")
            with pytest.raises(GatewayError) as caught:
                await said(upstream, call("count"))
            assert caught.value.reason == "status_404"
            assert server.methods.count("initialize") == 2

    @pytest.mark.parametrize("code", [401, 403, 429, 500, 503])
    async def test_other_failures_cost_no_session_and_are_not_repeated(self, open_upstream: Build, code: int) -> None:
        async with McpServer(legacy=True) as server:
            upstream = open_upstream(server)
            server.answers["tools/call"] = always(code, "session store is down")
            with pytest.raises(GatewayError):
                await said(upstream, call("count"))
            assert (server.methods.count("tools/call"), server.methods.count("initialize")) == (1, 1)

    async def test_a_client_session_that_ended_ends_its_upstream_session_alone(
        self, open_upstream: Build, events: Counted
    ) -> None:
        async with McpServer(legacy=True) as server:
            upstream = open_upstream(server)
            for scope in (Scope("s", 1), Scope("t", 1)):
                await said(upstream, call("count", scope=scope))
            await upstream.end_session("s")
            assert (server.deleted, list(server.sessions)) == (["s1"], ["s2"])
            assert (events["opened"], events["ended"]) == (2, 1)

    @pytest.mark.trap(1)
    async def test_idle_sessions_are_ended_and_others_are_not(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True) as server:
            upstream, hold = open_upstream(server), asyncio.Event()
            server.tools["wait"] = lambda asked: held(hold, lambda: asked.result(text("done")))
            await said(upstream, call("count"))
            async with asyncio.TaskGroup() as group:
                busy = group.create_task(said(upstream, call("wait", scope=BOB)))
                await server.saw("tools/call", 2)
                await upstream.sweep(0.0)
                assert server.deleted == []
                await upstream.sweep(float("inf"))
                await server.until(lambda: server.deleted == ["s1"])
                hold.set()
            assert busy.result() == "done"

    async def test_closing_ends_every_session_and_opens_none(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True) as server:
            upstream = open_upstream(server)
            for scope in (ALICE, BOB):
                await said(upstream, call("count", scope=scope))
            await upstream.close()
            assert sorted(server.deleted) == ["s1", "s2"]
            with pytest.raises(GatewayError) as caught:
                await said(upstream, call("count"))
            assert caught.value.kind is Kind.DRAINING
            with pytest.raises(GatewayError):
                await upstream.discover()
            assert len(server.sessions) == 0

    async def test_a_server_that_refuses_delete_is_left_in_peace(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True) as server:
            upstream = open_upstream(server)
            await said(upstream, call("count", scope=Scope("s", 1)))
            server.sessions.clear()
            await upstream.end_session("s")
            assert server.deleted == ["s1"]


class TestWire:
    """What servers see (protocol.md §2.1, §3.1, §3.2)."""

    @pytest.mark.point(54)
    async def test_a_modern_request_carries_its_envelope_and_routing_headers(self, open_upstream: Build) -> None:
        async with McpServer(modern=True) as server:
            foreign = {
                "traceparent": Raw(b'"00-aa-bb-01"'),
                "io.modelcontextprotocol/protocolVersion": Raw(b'"forged"'),
            }
            await answer(open_upstream(server), call("echo", client=MODERN_CLIENT, meta=foreign))
            asked = await server.saw("tools/call")
            headers, meta = asked.http.headers, asked.params["_meta"]
            assert headers["MCP-Protocol-Version"] == MODERN
            assert (headers["Mcp-Method"], headers["Mcp-Name"]) == ("tools/call", "echo")
            assert meta == {
                "traceparent": "00-aa-bb-01",
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
                "io.modelcontextprotocol/clientInfo": {"name": "new", "version": "2"},
            }

    async def test_a_legacy_client_declares_nothing_to_a_modern_server(self, open_upstream: Build) -> None:
        async with McpServer(modern=True) as server:
            await answer(open_upstream(server), call("echo", client=LEGACY_CLIENT))
            meta = (await server.saw("tools/call")).params["_meta"]
            assert meta["io.modelcontextprotocol/clientCapabilities"] == {}
            assert meta["io.modelcontextprotocol/clientInfo"] == {"name": "old", "version": "1"}

    async def test_a_log_level_passes_between_modern_peers_alone(self, open_upstream: Build) -> None:
        async with McpServer(modern=True) as server:
            upstream, level = open_upstream(server), Raw(b'"debug"')
            for client in (MODERN_CLIENT, LEGACY_CLIENT):
                await answer(upstream, call("echo", client=replace(client, log_level=level)))
            levels = [asked.params["_meta"].get(LOG_LEVEL) for asked in server.named("tools/call")]
            assert levels == ["debug", None]

    @pytest.mark.point(30)
    async def test_a_name_that_is_no_header_is_encoded(self, open_upstream: Build) -> None:
        async with McpServer(modern=True) as server:
            await answer(open_upstream(server), call("日程"))
            assert (await server.saw("tools/call")).http.headers["Mcp-Name"] == "=?base64?5pel56iL?="

    async def test_a_session_carries_its_id_its_version_and_its_cookies(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True) as server:
            await answer(open_upstream(server), call("echo"))
            hello, ready, asked = server.asked[-3:]
            assert "Mcp-Session-Id" not in hello.http.headers
            assert "MCP-Protocol-Version" not in hello.http.headers
            assert hello.params == {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "old", "version": "1"},
            }
            for later in (ready, asked):
                assert later.http.headers["Mcp-Session-Id"] == "s1"
                assert later.http.headers["MCP-Protocol-Version"] == "2025-11-25"
                assert later.http.headers["Cookie"] == "lb=s1"
            assert "_meta" not in asked.params

    @pytest.mark.trap(14)
    async def test_what_belongs_to_a_task_passes_between_legacy_peers_alone(self, open_upstream: Build) -> None:
        related, task = {RELATED_TASK: Raw(b'{"taskId":"t"}')}, Raw(b'{"ttl":1}')
        for client, wanted in ((LEGACY_CLIENT, {RELATED_TASK: {"taskId": "t"}}), (MODERN_CLIENT, None)):
            async with McpServer(legacy=True) as server:
                plain = call("echo", client=client, meta=related)
                await answer(open_upstream(server), replace(plain, params={**plain.params, "task": task}))
                asked = await server.saw("tools/call")
                assert asked.params.get("_meta") == wanted
                assert asked.params.get("task") == (None if wanted is None else {"ttl": 1})
        async with McpServer(modern=True) as server:
            await answer(open_upstream(server), call("echo", client=LEGACY_CLIENT, meta=related))
            assert RELATED_TASK not in (await server.saw("tools/call")).params["_meta"]

    @pytest.mark.point(54)
    @pytest.mark.trap(27)
    async def test_a_client_cannot_forge_what_the_protocol_owns(self, open_upstream: Build) -> None:
        forged = {
            "mcp-session-id": "s9",
            "Cookie": "lb=s9",
            "mcp-protocol-version": "1999-01-01",
            "Mcp-Param-Region": "us",
            "Mcp-Method": "tools/list",
            "Host": "evil",
            "X-Tenant": "acme",
        }
        async with McpServer(legacy=True) as legacy, McpServer(modern=True) as modern:
            for server in (legacy, modern):
                await answer(open_upstream(server), call("echo", headers=forged))
                headers = (await server.saw("tools/call")).http.headers
                assert headers["X-Tenant"] == "acme"
                assert headers.getall("Mcp-Session-Id", []) == (["s1"] if server.legacy else [])
                assert headers.getall("Cookie", []) == (["lb=s1"] if server.legacy else [])
                assert "us" not in headers.getall("Mcp-Param-Region", [])
                assert headers["Host"].startswith("127.0.0.1")
                assert headers["MCP-Protocol-Version"] in ("2025-11-25", MODERN)

    async def test_allow_listed_headers_go_with_every_message_of_a_call(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True) as server:
            upstream = open_upstream(server, headers={"X-Static": "1"})
            await answer(upstream, call("echo", headers={"X-Tenant": "acme"}, scope=Scope("s", 1)))
            for asked in server.asked[-3:]:
                assert (asked.http.headers["X-Tenant"], asked.http.headers["X-Static"]) == ("acme", "1")


async def reply(asked: Asked, result: Any) -> web.Response:
    return asked.result(result)


async def refuse(asked: Asked, code: int, http_status: int, data: Any = None) -> web.Response:
    return asked.error(code, "refused", http_status, data)


async def held(until: asyncio.Event, then: Callable[[], web.Response]) -> web.Response:
    await until.wait()
    return then()


@asynccontextmanager
async def old_server() -> AsyncIterator[str]:
    """A server of 2024-11-05: GET opens a stream whose first event names the endpoint for POST."""

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"event: endpoint\r\ndata: /messages?sessionId=1\r\n\r\n")
        await asyncio.Event().wait()
        return response

    app = web.Application()
    app.router.add_get("/sse", stream)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/sse"
    await runner.cleanup()
