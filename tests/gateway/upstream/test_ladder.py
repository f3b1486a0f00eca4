"""The probe ladder, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from gateway.errors import GatewayError
from gateway.protocol.versions import Era
from gateway.upstream.connection import client_session
from gateway.upstream.ladder import LIST_EVERY
from gateway.upstream.server import Upstream
from health.probe import Step
from health.settings import HealthSettings
from tests.support.mcp_http import Asked, McpServer
from tests.support.upstreams import Clock, answer, call, said, terms

BOTH = pytest.mark.parametrize("era", ["legacy", "modern"])
Build = Callable[..., Upstream]


@pytest.fixture
async def open_upstream() -> AsyncIterator[Build]:
    opened: list[Upstream] = []
    async with client_session() as http:

        def build(server: McpServer | str, *, clock: Clock | None = None, **settings: Any) -> Upstream:
            url = server if isinstance(server, str) else server.url
            opened.append(Upstream(terms(url=url, **settings), http, clock=clock or Clock()))
            return opened[-1]

        yield build
        for upstream in opened:
            await upstream.close()


@BOTH
async def test_a_first_climb_reaches_the_list_and_tells_what_it_saw(open_upstream: Build, era: str) -> None:
    async with McpServer(**{era: True}) as server:
        seen = await open_upstream(server).probe()
        assert (seen.ok, seen.step, seen.reason, seen.era, seen.tools) == (True, Step.LIST, None, era, 2)
        assert seen.protocol_version == {"legacy": "2025-11-25", "modern": "2026-07-28"}[era]
        assert len(seen.catalog_sha256 or b"") == 32
        assert seen.latency_us > 0


async def test_later_climbs_ping_until_the_list_is_due_again(open_upstream: Build) -> None:
    async with McpServer(legacy=True) as server:
        clock = Clock()
        upstream = open_upstream(server, clock=clock)
        steps = [(await upstream.probe()).step for _ in range(3)]
        clock.ahead += LIST_EVERY
        steps.append((await upstream.probe()).step)
        assert steps == [Step.LIST, Step.PING, Step.PING, Step.LIST]
    async with McpServer(modern=True) as server:
        upstream = open_upstream(server)
        assert [(await upstream.probe()).step for _ in range(2)] == [Step.LIST, Step.HANDSHAKE]


@pytest.mark.trap(37)
@BOTH
async def test_a_server_that_cannot_list_is_not_well_until_it_can(open_upstream: Build, era: str) -> None:
    async with McpServer(**{era: True}) as server:
        server.answers["tools/list"] = lambda asked: fail(asked)
        upstream = open_upstream(server)
        for _ in range(2):
            seen = await upstream.probe()
            assert (seen.ok, seen.step, seen.reason) == (False, Step.LIST, "protocol")
        del server.answers["tools/list"]
        assert (await upstream.probe()).ok
        await upstream.close()
        assert server.sessions == {}


@pytest.mark.trap(37)
async def test_no_tools_and_no_list_are_two_things(open_upstream: Build) -> None:
    async with McpServer(modern=True) as server:
        server.definitions = []
        seen = await open_upstream(server).probe()
        assert (seen.ok, seen.tools) == (True, 0)


@pytest.mark.trap(44)
@pytest.mark.parametrize("code", [-32601, -32600, -32603])
async def test_a_server_without_ping_is_alive(open_upstream: Build, code: int) -> None:
    async with McpServer(legacy=True) as server:
        server.answers["ping"] = lambda asked: fail(asked, code)
        upstream = open_upstream(server)
        assert all([(await upstream.probe()).ok for _ in range(2)])


@pytest.mark.trap(6)
async def test_a_thousand_probes_leave_no_session_behind(open_upstream: Build) -> None:
    async with McpServer(legacy=True) as server:
        upstream, most = open_upstream(server), 0
        await said(upstream, call("count"))
        for _ in range(1_000):
            assert (await upstream.probe()).ok
            most = max(most, len(server.sessions))
        await server.until(lambda: len(server.sessions) == 1)
        assert most <= 3
        assert await said(upstream, call("count")) == "2"


@pytest.mark.trap(46)
@pytest.mark.parametrize(
    ("code", "reason"),
    [(401, "unauthorized"), (403, "unauthorized"), (503, "status_503"), (500, "status_500"), (429, "status_429")],
)
async def test_a_refusal_is_told_by_its_reason(open_upstream: Build, code: int, reason: str) -> None:
    async with McpServer(legacy=True) as server:
        server.answers["server/discover"] = lambda asked: status(code)
        seen = await open_upstream(server).probe()
        assert (seen.ok, seen.step, seen.reason, seen.era) == (False, Step.HANDSHAKE, reason, None)


@pytest.mark.trap(46)
@pytest.mark.parametrize(("code", "reason"), [(401, "unauthorized"), (503, "status_503")])
@BOTH
async def test_a_refusal_with_a_json_rpc_error_is_told_by_its_status_too(
    open_upstream: Build, era: str, code: int, reason: str
) -> None:
    async with McpServer(**{era: True}) as server:
        for method in ("server/discover", "initialize"):
            server.answers[method] = lambda asked: fail(asked, -32001, code)
        upstream = open_upstream(server, era=era)
        assert (await upstream.probe()).reason == reason


async def test_a_closed_port_is_a_failure_to_connect(open_upstream: Build) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        seen = await open_upstream(f"http://127.0.0.1:{reserved.getsockname()[1]}/mcp").probe()
    assert (seen.ok, seen.step, seen.reason, seen.latency_us) == (False, Step.CONNECT, "refused", 0)


async def test_an_unknown_host_is_told_as_such(open_upstream: Build) -> None:
    seen = await open_upstream("http://no-such-host.invalid/mcp").probe()
    assert (seen.ok, seen.step, seen.reason) == (False, Step.CONNECT, "dns")


@pytest.mark.trap(43)
@pytest.mark.parametrize(
    ("method", "step"), [("server/discover", Step.HANDSHAKE), ("ping", Step.PING), ("tools/list", Step.LIST)]
)
async def test_a_hanging_server_costs_the_probe_its_timeout_and_no_more(
    open_upstream: Build, method: str, step: Step
) -> None:
    async with McpServer(legacy=True) as server:
        server.answers[method] = hang
        upstream = open_upstream(server, health=HealthSettings(timeout=0.2))
        async with asyncio.timeout(2):
            seen = await upstream.probe()
        assert (seen.ok, seen.step, seen.reason) == (False, step, "timeout")
        assert "0.2 s" in (seen.detail or "")
        await server.until(lambda: not server.sessions)


@pytest.mark.parametrize("page", ["<html>Welcome</html>", "not json", '{"jsonrpc":"2.0","id":99,"result":{}}'])
async def test_what_is_no_mcp_server_is_a_breach_of_protocol(open_upstream: Build, page: str) -> None:
    async with McpServer(legacy=True) as server:
        server.answers = {method: lambda asked: say(page) for method in ("server/discover", "initialize")}
        seen = await open_upstream(server).probe()
        assert (seen.ok, seen.step, seen.reason) == (False, Step.HANDSHAKE, "protocol")


async def test_a_server_of_an_unknown_version_is_named(open_upstream: Build) -> None:
    async with McpServer(legacy=True) as server:
        server.answers["initialize"] = lambda asked: reply(asked, {"protocolVersion": "2030-02-30"})
        seen = await open_upstream(server).probe()
        assert (seen.ok, seen.reason) == (False, "version")
        assert "2030-02-30" in (seen.detail or "")


async def test_a_legacy_server_that_also_became_modern_is_noticed_when_its_list_is_due(open_upstream: Build) -> None:
    async with McpServer(legacy=True) as server:
        clock = Clock()
        upstream = open_upstream(server, clock=clock)
        await upstream.probe()
        server.modern = True
        assert (await upstream.probe()).era == "legacy"
        clock.ahead += LIST_EVERY
        assert (await upstream.probe()).era == "modern"
        assert upstream.era is Era.MODERN


async def test_failing_to_say_whether_it_became_modern_is_no_illness(open_upstream: Build) -> None:
    async with McpServer(legacy=True) as server:
        clock = Clock()
        upstream = open_upstream(server, clock=clock)
        await upstream.probe()
        server.answers["server/discover"] = lambda asked: status(500)
        clock.ahead += LIST_EVERY
        seen = await upstream.probe()
        assert (seen.ok, seen.era, upstream.era) == (True, "legacy", Era.LEGACY)


async def test_a_modern_server_that_became_legacy_is_noticed_by_the_next_probe(open_upstream: Build) -> None:
    async with McpServer(legacy=True, modern=True) as server:
        upstream = open_upstream(server)
        assert (await upstream.probe()).era == "modern"
        server.modern = False
        assert (await upstream.probe()).era == "legacy"


@pytest.mark.trap(45)
async def test_a_failed_probe_stops_no_traffic(open_upstream: Build) -> None:
    async with McpServer(modern=True) as server:
        upstream = open_upstream(server)
        await upstream.probe()
        server.answers["server/discover"] = lambda asked: status(503)
        assert not (await upstream.probe()).ok
        assert (await answer(upstream, call("echo", {"x": 1})))["asked"]["arguments"] == {"x": 1}


async def test_probes_need_no_place_in_the_queue(open_upstream: Build) -> None:
    async with McpServer(modern=True) as server:
        server.tools["hang"] = hang
        upstream = open_upstream(server, concurrency=1, queue=0)
        async with asyncio.TaskGroup() as group:
            busy = group.create_task(answer(upstream, call("hang")))
            await server.saw("tools/call")
            assert (await upstream.probe()).ok
            busy.cancel()


async def test_a_probe_that_is_cancelled_stays_cancelled(open_upstream: Build) -> None:
    async with McpServer(legacy=True) as server:
        server.answers["ping"] = hang
        upstream = open_upstream(server)
        async with asyncio.TaskGroup() as group:
            probe = group.create_task(upstream.probe())
            await server.saw("ping")
            probe.cancel()
        assert probe.cancelled()
        await server.until(lambda: not server.sessions)


async def test_a_closed_server_is_observed_as_failing(open_upstream: Build) -> None:
    async with McpServer(legacy=True) as server:
        upstream = open_upstream(server)
        await upstream.close()
        assert not (await upstream.probe()).ok
        with pytest.raises(GatewayError):
            await upstream.discover()


async def fail(asked: Asked, code: int = -32603, http_status: int = 200) -> web.Response:
    return asked.error(code, "disk on fire", http_status)


async def status(code: int) -> web.Response:
    return web.Response(status=code)


async def reply(asked: Asked, result: Any) -> web.Response:
    return asked.result(result)


async def say(page: str) -> web.Response:
    return web.Response(text=page, content_type="text/html" if "<" in page else "application/json")


async def hang(asked: Asked) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError
