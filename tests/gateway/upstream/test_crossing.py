"""One forwarded request under way, over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.protocol.versions import Era
from gateway.settings import Timeouts
from gateway.upstream.connection import client_session
from gateway.upstream.server import Upstream
from gateway.upstream.values import Forward
from tests.support.mcp_http import Asked, McpServer, text
from tests.support.upstreams import (
    BOB,
    LEGACY_CLIENT,
    PATIENCE,
    answer,
    call,
    messages,
    params,
    said,
    terms,
)

BOTH = pytest.mark.parametrize("era", ["legacy", "modern"])
WITH_PROGRESS = replace(LEGACY_CLIENT, wants_progress=True)
Build = Callable[..., Upstream]


@pytest.fixture
async def open_upstream() -> AsyncIterator[Build]:
    opened: list[Upstream] = []
    async with client_session() as http:

        def build(server: McpServer | str, **settings: Any) -> Upstream:
            url = server if isinstance(server, str) else server.url
            opened.append(Upstream(terms(url=url, **settings), http))
            return opened[-1]

        yield build
        for upstream in opened:
            await upstream.close()


class Stage:
    """A tool that does what the test says, step by step."""

    def __init__(self, server: McpServer) -> None:
        self.asked: asyncio.Future[Asked] = asyncio.get_running_loop().create_future()
        self._go = asyncio.Event()
        server.tools["stage"] = self._play

    async def _play(self, asked: Asked) -> web.StreamResponse:
        self.asked.set_result(asked)
        await self._go.wait()
        return await asked.end(text("done"))

    def finish(self) -> None:
        self._go.set()


class TestRelay:
    @BOTH
    @pytest.mark.trap(16)
    async def test_messages_arrive_one_by_one_and_the_response_last(self, open_upstream: Build, era: str) -> None:
        async with McpServer(**{era: True}) as server, asyncio.timeout(PATIENCE):
            stage = Stage(server)
            async with open_upstream(server).forward(call("stage", client=WITH_PROGRESS)) as relay:
                stream = aiter(relay)
                first = asyncio.get_running_loop().create_task(anext(stream))
                asked = await stage.asked
                await asked.progress(0.5)
                assert params(await first) == {"progressToken": relay.progress_token, "progress": 0.5}
                await asked.say({"method": "notifications/message", "params": {"level": "info", "data": "hm"}})
                assert (await anext(stream)).method == "notifications/message"
                stage.finish()
                assert (await anext(stream)).kind is MessageKind.RESULT
                with pytest.raises(StopAsyncIteration):
                    await anext(stream)
            assert (relay.era, relay.attempts) == (Era(era), 1)
            assert relay.upstream_us > 0

    @pytest.mark.point(19)
    async def test_no_token_is_minted_for_a_client_without_one(self, open_upstream: Build) -> None:
        async with McpServer(modern=True) as server, open_upstream(server).forward(call("echo")) as relay:
            [message] = [message async for message in relay]
            assert "progressToken" not in json.loads(bytes(message.body))["asked"]["_meta"]
            assert relay.progress_token is None

    @pytest.mark.point(14)
    @BOTH
    @pytest.mark.trap(31)
    @pytest.mark.trap(32)
    async def test_ids_and_tokens_never_meet_at_the_server(self, open_upstream: Build, era: str) -> None:
        async with McpServer(**{era: True}) as server:
            upstream = open_upstream(server)
            same_token = {"progressToken": Raw(b'"p1"')}
            calls = [call("echo", {"n": n}, client=WITH_PROGRESS, meta=same_token) for n in range(20)]
            answers = await asyncio.gather(*(answer(upstream, each) for each in calls))
            assert [found["asked"]["arguments"]["n"] for found in answers] == list(range(20))
            ids = [asked.message["id"] for asked in server.named("tools/call")]
            tokens = [asked.params["_meta"]["progressToken"] for asked in server.named("tools/call")]
            assert len(set(ids)) == 20
            assert tokens == ids

    @BOTH
    @pytest.mark.trap(33)
    async def test_a_failed_call_leaves_the_server_usable(self, open_upstream: Build, era: str) -> None:
        async with McpServer(**{era: True}) as server:
            upstream = open_upstream(server)
            server.tools["broken"] = lambda asked: respond(500)
            assert (await answer(upstream, call("nonexistent")))["code"] == -32601
            with pytest.raises(GatewayError) as caught:
                await answer(upstream, call("broken"))
            assert caught.value.reason == "status_500"
            assert (await answer(upstream, call("echo", {"x": 1})))["asked"]["arguments"] == {"x": 1}


class TestLeaving:
    @pytest.mark.point(42)
    @pytest.mark.trap(28)
    @pytest.mark.parametrize("how", ["break", "cancel"])
    async def test_leaving_a_legacy_call_cancels_it_at_the_server_once(self, open_upstream: Build, how: str) -> None:
        async with McpServer(legacy=True) as server:
            stage, upstream = Stage(server), open_upstream(server)
            asked = await leave(upstream, stage, how)
            cancelled = await server.saw("notifications/cancelled")
            assert cancelled.params["requestId"] == asked.message["id"]
            assert cancelled.http.headers["Mcp-Session-Id"] == "s1"
            assert await said(upstream, call("count")) == "1"
            assert server.methods.count("notifications/cancelled") == 1

    @pytest.mark.point(17)
    @pytest.mark.trap(28)
    @pytest.mark.parametrize("how", ["break", "cancel"])
    async def test_leaving_a_modern_call_closes_its_stream_and_says_nothing(
        self, open_upstream: Build, how: str
    ) -> None:
        async with McpServer(modern=True) as server:
            stage, upstream = Stage(server), open_upstream(server)
            asked = await leave(upstream, stage, how)
            await server.until(asked.gone.is_set)
            await answer(upstream, call("echo"))
            assert "notifications/cancelled" not in server.methods

    @BOTH
    async def test_leaving_does_not_wait_for_the_server(self, open_upstream: Build, era: str) -> None:
        async with McpServer(**{era: True}) as server:
            stage, upstream, never = Stage(server), open_upstream(server), asyncio.Event()
            server.answers["notifications/cancelled"] = lambda asked: never.wait()
            async with asyncio.timeout(2):
                await leave(upstream, stage, "cancel")

    @BOTH
    async def test_nothing_is_cancelled_after_the_response(self, open_upstream: Build, era: str) -> None:
        async with McpServer(**{era: True}) as server:
            upstream = open_upstream(server)
            for _ in range(3):
                await messages(upstream, call("echo"))
            await upstream.close()
            assert "notifications/cancelled" not in server.methods

    async def test_a_call_cancelled_before_it_was_sent_cancels_nothing(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True) as server:
            upstream, hold = open_upstream(server), asyncio.Event()
            server.answers["initialize"] = lambda asked: wait_for(hold, lambda: server.initialize(asked))
            task = asyncio.get_running_loop().create_task(messages(upstream, call("count")))
            await server.saw("initialize")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            hold.set()
            assert await said(upstream, call("count")) == "1"
            assert "notifications/cancelled" not in server.methods


class TestTime:
    @BOTH
    @pytest.mark.trap(29)
    async def test_progress_outlives_the_idle_timeout_but_not_the_absolute_one(
        self, open_upstream: Build, era: str
    ) -> None:
        async with McpServer(**{era: True}) as server:
            server.tools["busy"] = keep_busy
            upstream = open_upstream(server, timeouts=Timeouts(idle=0.3, absolute=0.8))
            begun, heard = asyncio.get_running_loop().time(), list[Message]()
            with pytest.raises(GatewayError) as caught:
                await collect(upstream, call("busy", client=WITH_PROGRESS), heard)
            assert (caught.value.kind, caught.value.reason) == (Kind.TIMEOUT, "absolute")
            assert asyncio.get_running_loop().time() - begun >= 0.79
            assert len(heard) >= 3
            if era == "legacy":
                await server.saw("notifications/cancelled")

    async def test_a_silent_server_times_out_and_is_told_to_stop(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True) as server:
            Stage(server)
            upstream = open_upstream(server, timeouts=Timeouts(first_byte=0.2))
            with pytest.raises(GatewayError) as caught:
                await answer(upstream, call("stage"))
            assert (caught.value.kind, caught.value.reason) == (Kind.TIMEOUT, "first_byte")
            await server.saw("notifications/cancelled")
            assert server.methods.count("tools/call") == 1

    async def test_the_time_of_a_slow_reader_is_not_the_servers(self, open_upstream: Build) -> None:
        async with McpServer(modern=True) as server:
            stage = Stage(server)
            async with open_upstream(server).forward(call("stage", client=WITH_PROGRESS)) as relay:
                stream = aiter(relay)
                first = asyncio.get_running_loop().create_task(anext(stream))
                await (await stage.asked).progress(1)
                await first
                before = relay.upstream_us
                stage.finish()
                await asyncio.sleep(0.2)
                await anext(stream)
                assert relay.upstream_us - before < 150_000


class TestAgain:
    @pytest.mark.trap(30)
    @BOTH
    async def test_a_request_whose_answer_was_lost_is_not_sent_again(self, open_upstream: Build, era: str) -> None:
        async with McpServer(**{era: True}) as server:
            server.tools["drop"] = hang_up
            upstream = open_upstream(server)
            async with upstream.forward(call("drop")) as relay:
                with pytest.raises(GatewayError) as caught:
                    await anext(aiter(relay))
            assert (caught.value.kind, relay.attempts) == (Kind.SERVER_CLOSED, 1)
            assert server.methods.count("tools/call") == 1

    async def test_a_request_that_cannot_have_arrived_is_tried_twice_and_counts_as_unsent(
        self, open_upstream: Build
    ) -> None:
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))
            upstream = open_upstream(f"http://127.0.0.1:{reserved.getsockname()[1]}/mcp", era="modern")
            async with upstream.forward(call("echo")) as relay:
                with pytest.raises(GatewayError) as caught:
                    await anext(aiter(relay))
        assert (caught.value.reason, caught.value.unsent) == ("refused", True)
        assert (relay.attempts, relay.era) == (0, Era.MODERN)

    async def test_iterating_after_a_failure_sends_nothing(self, open_upstream: Build) -> None:
        async with McpServer(modern=True) as server:
            server.tools["drop"] = hang_up
            async with open_upstream(server).forward(call("drop")) as relay:
                with pytest.raises(GatewayError):
                    await anext(aiter(relay))
                assert [message async for message in relay] == []
            assert server.methods.count("tools/call") == 1


class TestServersRequests:
    @pytest.mark.point(43)
    async def test_a_ping_is_answered_and_the_call_goes_on(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True) as server:
            server.tools["ask"] = asking({"id": "srv-1", "method": "ping"}, server)
            assert (await answer(open_upstream(server), call("ask")))["said"] == {"id": "srv-1", "result": {}}

    @pytest.mark.point(16)
    @pytest.mark.parametrize("method", ["elicitation/create", "sampling/createMessage", "roots/list", "x/y"])
    async def test_other_requests_are_declined_at_once_and_never_reach_the_client(
        self, open_upstream: Build, method: str
    ) -> None:
        async with McpServer(legacy=True) as server:
            server.tools["ask"] = asking({"id": 7, "method": method, "params": {}}, server)
            [result] = await messages(open_upstream(server), call("ask"))
            heard = json.loads(bytes(result.body))["said"]
            assert (heard["id"], heard["error"]["code"]) == (7, -32601)
            assert method in heard["error"]["message"]

    async def test_a_modern_server_gets_no_responses(self, open_upstream: Build) -> None:
        async with McpServer(modern=True) as server:
            server.tools["ask"] = ask_and_end
            [result] = await messages(open_upstream(server), call("ask"))
            assert result.kind is MessageKind.RESULT
            await answer(open_upstream(server), call("echo"))
            assert "response" not in server.methods


class TestLimits:
    @BOTH
    async def test_calls_beyond_concurrency_and_queue_are_refused(self, open_upstream: Build, era: str) -> None:
        async with McpServer(**{era: True}) as server:
            stage = Stage(server)
            upstream = open_upstream(server, concurrency=1, queue=1)
            async with asyncio.TaskGroup() as group:
                running = group.create_task(said(upstream, call("stage")))
                await stage.asked
                waiting = group.create_task(answer(upstream, call("echo", scope=BOB)))
                await asyncio.sleep(0)
                assert "1 waiting" in repr(upstream)
                with pytest.raises(GatewayError) as caught:
                    await answer(upstream, call("echo"))
                assert (caught.value.kind, server.methods.count("tools/call")) == (Kind.BUSY, 1)
                stage.finish()
            assert running.result() == "done"
            assert "asked" in waiting.result()
            assert upstream.in_flight == 0

    async def test_closing_lets_calls_finish_within_the_grace(self, open_upstream: Build) -> None:
        async with McpServer(legacy=True) as server:
            stage, upstream = Stage(server), open_upstream(server)
            async with asyncio.TaskGroup() as group:
                running = group.create_task(said(upstream, call("stage")))
                await stage.asked
                closing = group.create_task(upstream.close(PATIENCE))
                stage.finish()
            assert (running.result(), closing.done(), server.deleted) == ("done", True, ["s1"])

    async def test_closing_ends_calls_that_take_longer(self, open_upstream: Build) -> None:
        async with McpServer(modern=True) as server:
            stage, upstream = Stage(server), open_upstream(server)
            async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
                running = group.create_task(refused(upstream))
                await stage.asked
                group.create_task(upstream.close(0))
            assert running.result() == (Kind.SERVER_CLOSED, "closed")


async def leave(upstream: Upstream, stage: Stage, how: str) -> Asked:
    """Begin a call of `stage`, hear one message of it, and leave in the way that is named."""
    heard = asyncio.Event()

    async def begin() -> None:
        async with upstream.forward(call("stage", client=WITH_PROGRESS)) as relay:
            async for _ in relay:
                heard.set()
                if how == "break":
                    break

    async with asyncio.timeout(PATIENCE):
        task = asyncio.get_running_loop().create_task(begin())
        asked = await stage.asked
        await asked.progress(1)
        await heard.wait()
        if how == "cancel":
            task.cancel()
        await asyncio.wait({task})
    return asked


async def collect(upstream: Upstream, forward: Forward, heard: list[Message]) -> None:
    async with asyncio.timeout(PATIENCE), upstream.forward(forward) as relay:
        async for message in relay:
            heard.append(message)  # noqa: PERF401 (what was heard before a failure counts)


async def refused(upstream: Upstream) -> tuple[Kind, str]:
    with pytest.raises(GatewayError) as caught:
        await answer(upstream, call("stage"))
    return caught.value.kind, caught.value.reason


async def respond(code: int) -> web.Response:
    return web.Response(status=code)


async def wait_for(event: asyncio.Event, then: Callable[[], web.Response]) -> web.Response:
    await event.wait()
    return then()


async def keep_busy(asked: Asked) -> web.StreamResponse:
    value = 0
    while True:
        await asked.progress(value := value + 1)
        await asyncio.sleep(0.1)


async def hang_up(asked: Asked) -> web.StreamResponse:
    asked.http.transport.abort()
    return web.Response()


async def ask_and_end(asked: Asked) -> web.StreamResponse:
    await asked.say({"id": 1, "method": "elicitation/create", "params": {}})
    return await asked.end(text("done"))


def asking(request: dict[str, Any], server: McpServer) -> Callable[[Asked], Any]:
    """A tool that sends `request` on its stream and answers with the response that it gets."""

    async def tool(asked: Asked) -> web.StreamResponse:
        await asked.say(request)
        heard = (await server.saw("response")).message
        return await asked.end({"said": {key: value for key, value in heard.items() if key != "jsonrpc"}})

    return tool
