"""Eras and children of stdio servers, with real processes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import OUTCOME, GatewayError, Kind
from gateway.protocol.jsonrpc import MessageKind
from gateway.protocol.versions import Era
from gateway.settings import Timeouts
from gateway.upstream.connection import client_session
from gateway.upstream.server import Upstream
from gateway.upstream.values import Scope
from health.probe import Step
from storage.records import Outcome
from tests.support.mcp_http import VERSION_KEY
from tests.support.mcp_pipe import Message, PipeChild, PipeServer
from tests.support.pipes import ScriptedProgram
from tests.support.upstreams import (
    ALICE,
    BOB,
    LEGACY_CLIENT,
    MODERN_CLIENT,
    Clock,
    Counted,
    answer,
    call,
    messages,
    said,
    terms,
)
from tests.support.waiting import until

BOTH = pytest.mark.parametrize("era", ["legacy", "modern"])
SHAKE = ["initialize", "notifications/initialized"]


@pytest.fixture
def events() -> Counted:
    return Counted()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def run(events: Counted, clock: Clock) -> Callable[..., Any]:
    @asynccontextmanager
    async def run(server: PipeServer, *, known_era: Era | None = None, **settings: Any) -> AsyncIterator[Upstream]:
        async with ScriptedProgram(server) as program, client_session() as http:
            upstream = Upstream(
                terms(**program.spec, **settings), http, known_era=known_era, events=events, clock=clock
            )
            yield upstream
            await upstream.close()
            assert events["gone"] == events["started"]

    return run


Run = Callable[..., Any]


class TestEras:
    @BOTH
    @pytest.mark.parametrize("client", [LEGACY_CLIENT, MODERN_CLIENT])
    async def test_the_era_is_found_and_the_call_goes_through(self, run: Run, era: str, client: Any) -> None:
        async with run(PipeServer(**{era: True})) as upstream:
            asked = (await answer(upstream, call("echo", {"x": 1}, client=client)))["asked"]
            assert (upstream.era, asked["name"], asked["arguments"]) == (Era(era), "echo", {"x": 1})

    async def test_a_server_of_both_eras_is_modern(self, run: Run) -> None:
        async with run(server := PipeServer(legacy=True, modern=True)) as upstream:
            await answer(upstream, call("echo"))
            assert upstream.era is Era.MODERN
            assert [child.methods for child in server.children] == [["server/discover", "tools/call"]]

    @pytest.mark.point(49)
    @pytest.mark.parametrize("known", [None, Era.MODERN])
    async def test_a_silent_legacy_server_gets_a_handshake_after_a_while(self, run: Run, known: Era | None) -> None:
        server = PipeServer(legacy=True, on_unknown="silence")
        async with run(server, known_era=known, silence=0.1, isolation="shared") as upstream:
            assert await said(upstream, call("count")) == "1"
            assert upstream.era is Era.LEGACY
            assert [child.methods for child in server.children] == [["server/discover", *SHAKE, "tools/call"]]

    async def test_a_modern_server_that_starts_slowly_is_not_taken_for_a_legacy_one(self, run: Run) -> None:
        server = PipeServer(legacy=True, modern=True)
        server.read_ahead = 2
        async with run(server, silence=0.1) as upstream:
            await answer(upstream, call("echo"))
            assert upstream.era is Era.MODERN
            assert server.children[0].methods[:2] == ["server/discover", "initialize"]
            assert VERSION_KEY in server.children[0].asked[-1]["params"]["_meta"]

    async def test_a_server_that_ends_at_an_unknown_method_is_started_again_as_a_legacy_one(
        self, run: Run, events: Counted
    ) -> None:
        server = PipeServer(legacy=True, on_unknown="exit")
        async with run(server, isolation="shared") as upstream:
            assert await said(upstream, call("count")) == "1"
            assert upstream.era is Era.LEGACY
            assert [child.methods for child in server.children] == [["server/discover"], [*SHAKE, "tools/call"]]
            assert events["started"] == 2

    async def test_a_modern_server_that_became_such_a_legacy_one_is_found_out(self, run: Run, clock: Clock) -> None:
        async with run(PipeServer(legacy=True, on_unknown="exit"), known_era=Era.MODERN) as upstream:
            with pytest.raises(GatewayError, match="exited"):
                await answer(upstream, call("echo"))
            assert upstream.era is None
            clock.ahead += 1
            await answer(upstream, call("echo"))
            assert upstream.era is Era.LEGACY

    async def test_a_known_legacy_server_is_greeted_at_once(self, run: Run) -> None:
        async with run(server := PipeServer(legacy=True, on_unknown="exit"), known_era=Era.LEGACY) as upstream:
            await answer(upstream, call("echo"))
            assert [child.methods for child in server.children] == [[*SHAKE, "tools/call"]]

    async def test_a_server_that_is_no_longer_legacy_is_asked_on_the_same_child(self, run: Run) -> None:
        async with run(server := PipeServer(modern=True), known_era=Era.LEGACY) as upstream:
            await answer(upstream, call("echo"))
            assert upstream.era is Era.MODERN
            assert [child.methods for child in server.children] == [["initialize", "server/discover", "tools/call"]]

    async def test_pinned_eras_are_kept(self, run: Run) -> None:
        async with run(server := PipeServer(legacy=True, modern=True), era="legacy") as upstream:
            await answer(upstream, call("echo"))
            assert server.children[0].methods == [*SHAKE, "tools/call"]
        async with run(server := PipeServer(legacy=True), era="modern") as upstream:
            with pytest.raises(GatewayError):
                await answer(upstream, call("echo"))
            assert [child.methods for child in server.children] == [["server/discover"]]


class TestChildren:
    async def test_a_modern_server_has_one_child_for_everybody(self, run: Run, events: Counted) -> None:
        async with run(server := PipeServer(modern=True)) as upstream:
            scopes = [ALICE, BOB, Scope("s", 1)]
            counts = await asyncio.gather(*(said(upstream, call("count", scope=scope)) for scope in scopes))
            assert (sorted(counts), events["started"], len(server.children)) == (["1", "2", "3"], 1, 1)

    @pytest.mark.trap(5)
    async def test_a_legacy_server_has_a_child_for_each_scope(self, run: Run, events: Counted) -> None:
        async with run(PipeServer(legacy=True), known_era=Era.LEGACY) as upstream:
            scopes = [ALICE, BOB, Scope("s", 1)]
            first = await asyncio.gather(*(said(upstream, call("count", scope=scope)) for scope in scopes))
            second = [await said(upstream, call("count", scope=scope)) for scope in scopes]
            assert (first, second, events["started"]) == (["1"] * 3, ["2"] * 3, 3)

    async def test_a_shared_legacy_server_has_one_child(self, run: Run, events: Counted) -> None:
        async with run(PipeServer(legacy=True), isolation="shared") as upstream:
            counts = [await said(upstream, call("count", scope=scope)) for scope in (ALICE, BOB)]
            assert (await upstream.probe()).ok
            assert (counts, events["started"]) == (["1", "2"], 1)

    @pytest.mark.trap(9)
    @BOTH
    async def test_concurrent_first_calls_start_one_child(self, run: Run, events: Counted, era: str) -> None:
        async with run(PipeServer(**{era: True}), known_era=Era(era)) as upstream:
            await asyncio.gather(*(answer(upstream, call("echo")) for _ in range(10)))
            assert events["started"] == 1

    async def test_a_server_with_all_children_taken_says_what_to_do(self, run: Run) -> None:
        async with run(PipeServer(legacy=True), known_era=Era.LEGACY, max_children=2) as upstream:
            for sid in ("a", "b"):
                await answer(upstream, call("echo", scope=Scope(sid, 1)))
            with pytest.raises(GatewayError, match=r"all 2 processes of this server .* try again later") as caught:
                await answer(upstream, call("echo", scope=Scope("c", 1)))
            assert (caught.value.kind, caught.value.reason) == (Kind.BUSY, "max_children")
            assert (await upstream.probe()).ok
            await upstream.end_session("a")
            await answer(upstream, call("echo", scope=Scope("c", 1)))

    @pytest.mark.trap(1)
    async def test_idle_children_are_stopped_and_the_house_child_is_not(self, run: Run, events: Counted) -> None:
        async with run(server := PipeServer(legacy=True)) as upstream:
            await said(upstream, call("count"))
            assert len(server.children) == 2
            await upstream.sweep(float("inf"))
            await until(lambda: events["gone"] == 1)
            assert await said(upstream, call("count")) == "1"
            await upstream.probe()
            assert len(server.children) == 3

    async def test_a_child_that_ended_is_replaced_and_its_calls_hear_of_it(
        self, run: Run, clock: Clock, events: Counted
    ) -> None:
        async with run(PipeServer(modern=True)) as upstream:
            await said(upstream, call("count"))
            clock.ahead += 60
            ends = await asyncio.gather(
                *(answer(upstream, call(name)) for name in ("hang", "exit")), return_exceptions=True
            )
            assert [(e.kind, e.reason) for e in ends if isinstance(e, GatewayError)] == [
                (Kind.SERVER_CLOSED, "exited")
            ] * 2
            assert await said(upstream, call("count")) == "1"
            assert events["started"] == 2

    @pytest.mark.point(52)
    @pytest.mark.trap(42)
    async def test_a_crash_loop_is_refused_at_once_until_its_time(
        self, run: Run, clock: Clock, events: Counted
    ) -> None:
        async with run(PipeServer(modern=True)) as upstream:
            for wait in (1, 2, 4):
                with pytest.raises(GatewayError, match="exited"):
                    await answer(upstream, call("exit"))
                with pytest.raises(GatewayError, match="keeps ending") as caught:
                    await answer(upstream, call("echo"))
                assert (caught.value.kind, caught.value.reason) == (Kind.SERVER_DOWN, "crash_loop")
                assert OUTCOME[caught.value.kind] is Outcome.REFUSED
                assert caught.value.data == {"reason": "crash_loop", "retryAfter": wait}
                seen = await upstream.probe()
                assert (seen.ok, seen.step, seen.reason) == (False, Step.CONNECT, "crash_loop")
                clock.ahead += wait
            await answer(upstream, call("echo"))
            assert events["started"] == 4

    @pytest.mark.trap(42)
    async def test_the_crashing_child_of_one_user_delays_nobody_else(self, run: Run) -> None:
        async with run(PipeServer(legacy=True), known_era=Era.LEGACY) as upstream:
            with pytest.raises(GatewayError, match="exited"):
                await answer(upstream, call("exit", scope=ALICE))
            with pytest.raises(GatewayError, match="keeps ending"):
                await answer(upstream, call("echo", scope=ALICE))
            await answer(upstream, call("echo", scope=BOB))
            assert (await upstream.probe()).ok

    async def test_a_program_that_cannot_be_started_is_told_as_such(self, run: Run) -> None:
        async with client_session() as http:
            upstream = Upstream(terms(command="no-such-program-anywhere"), http)
            seen = await upstream.probe()
            assert (seen.ok, seen.step, seen.reason) == (False, Step.CONNECT, "not_found")
            assert "no-such-program-anywhere" in (seen.detail or "")
            await upstream.close()

    async def test_a_program_that_speaks_no_protocol_is_stopped_and_not_started_in_a_storm(
        self, run: Run, events: Counted
    ) -> None:
        async with run(PipeServer()) as upstream:
            seen = [await upstream.probe() for _ in range(3)]
            assert [one.reason for one in seen] == ["protocol", "crash_loop", "crash_loop"]
            assert (events["started"], upstream.era) == (1, None)


class TestCalls:
    @pytest.mark.trap(28)
    @BOTH
    async def test_leaving_a_call_cancels_it_once_and_leaves_the_child_alone(
        self, run: Run, era: str, events: Counted
    ) -> None:
        async with run(server := PipeServer(**{era: True}), known_era=Era(era)) as upstream:
            task = asyncio.get_running_loop().create_task(messages(upstream, call("hang")))
            child = await server.child()
            await server.until(lambda: "tools/call" in child.methods)
            task.cancel()
            await server.until(lambda: "notifications/cancelled" in child.methods)
            [asked] = [m for m in child.asked if m["method"] == "tools/call"]
            [cancelled] = [m for m in child.asked if m["method"] == "notifications/cancelled"]
            assert cancelled["params"]["requestId"] == asked["id"]
            assert await said(upstream, call("count")) == "1"
            assert (child.methods.count("notifications/cancelled"), events["started"]) == (1, 1)

    @pytest.mark.trap(32)
    @BOTH
    async def test_progress_reaches_the_call_that_it_belongs_to(self, run: Run, era: str) -> None:
        server = PipeServer(**{era: True})
        server.tools["step"] = step
        async with run(server, known_era=Era(era), isolation="shared") as upstream:
            client = replace(LEGACY_CLIENT, wants_progress=True)
            calls = [messages(upstream, call("step", {"n": n}, client=client)) for n in range(5)]
            for n, (progress, result) in enumerate(await asyncio.gather(*calls)):
                assert json.loads(bytes(progress.params or b""))["progress"] == n
                assert result.kind is MessageKind.RESULT

    @pytest.mark.trap(29)
    async def test_a_silent_child_times_out_and_is_told_to_stop(self, run: Run) -> None:
        server = PipeServer(legacy=True)
        async with run(server, known_era=Era.LEGACY, timeouts=Timeouts(first_byte=0.3)) as upstream:
            with pytest.raises(GatewayError) as caught:
                await answer(upstream, call("hang"))
            assert caught.value.kind is Kind.TIMEOUT
            await server.until(lambda: "notifications/cancelled" in server.children[0].methods)
            assert await said(upstream, call("count")) == "1"

    async def test_a_servers_requests_are_answered_with_and_without_a_call(self, run: Run) -> None:
        server = PipeServer(legacy=True)
        server.tools["ask"] = ask
        async with run(server, known_era=Era.LEGACY, isolation="shared") as upstream:
            heard = await asyncio.gather(*(answer(upstream, call("ask", {"n": n})) for n in range(3)))
            assert [one["ping"] for one in heard] == [{"result": {}}] * 3
            assert [one["other"]["error"]["code"] for one in heard] == [-32601] * 3

    async def test_a_probe_pings_the_house_child_and_starts_no_other(self, run: Run, events: Counted) -> None:
        async with run(server := PipeServer(legacy=True)) as upstream:
            steps = [(await upstream.probe()).step for _ in range(5)]
            assert steps == [Step.LIST, *[Step.PING] * 4]
            assert (events["started"], server.children[0].methods.count("ping")) == (1, 5)

    async def test_a_probe_of_a_modern_child_asks_it_again(self, run: Run, events: Counted) -> None:
        async with run(server := PipeServer(modern=True)) as upstream:
            assert all([(await upstream.probe()).ok for _ in range(3)])
            assert (events["started"], server.children[0].methods.count("server/discover")) == (1, 4)

    @BOTH
    async def test_discovery_lists_what_the_child_offers(self, run: Run, era: str) -> None:
        async with run(PipeServer(**{era: True})) as upstream:
            found = await upstream.discover()
            assert (found.era, len(found.tools)) == (Era(era), 4)


async def step(child: PipeChild, asked: Message) -> None:
    """Report the progress of the fifth caller first."""
    number = asked["params"]["arguments"]["n"]
    token = asked["params"]["_meta"]["progressToken"]
    await child.say({"method": "notifications/progress", "params": {"progressToken": token, "progress": number}})
    await child.result(asked, {})


async def ask(child: PipeChild, asked: Message) -> None:
    """Ask the client two things; answer once both were answered."""
    number = asked["id"]
    await child.say({"id": f"ping-{number}", "method": "ping"})
    await child.say({"id": f"other-{number}", "method": "sampling/createMessage", "params": {}})
    child.when({f"ping-{number}", f"other-{number}"}, asked)


@pytest.mark.trap(5)
async def test_a_log_message_that_names_no_call_reaches_nobody_once_two_users_share_the_child(run: Run) -> None:
    note = {"method": "notifications/message", "params": {"level": "error", "data": "about somebody"}}

    async def chatty(child: PipeChild, asked: Message) -> None:
        await child.say(note)
        await child.result(asked, {"resultType": "complete", "content": []})

    server = PipeServer(modern=True)
    server.tools["chatty"] = chatty
    async with run(server) as upstream:
        alone = await messages(upstream, call("chatty", scope=ALICE))
        assert [message.method for message in alone[:-1]] == ["notifications/message"]
        shared = await messages(upstream, call("chatty", scope=BOB))
        assert shared[:-1] == []
