"""What a legacy server asks while it serves a call, over real sockets and pipes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol import jsonrpc
from gateway.protocol.versions import Era
from gateway.settings import Timeouts
from gateway.upstream.answer import FRUITLESS_RESUMES
from gateway.upstream.connection import client_session
from gateway.upstream.exchange import Dropped
from gateway.upstream.pause import Pause
from gateway.upstream.questions import MOST_UNSENT, Questions
from gateway.upstream.server import Upstream
from gateway.upstream.values import ClientFacts, Forward, Scope
from storage.tasks import Tasks
from tests.support.asking import PATIENCE, Person
from tests.support.mcp_http import Asked, McpServer, text
from tests.support.mcp_pipe import Message, PipeChild, PipeServer
from tests.support.pipes import ScriptedProgram
from tests.support.scripted import Call, ScriptedServer
from tests.support.scripted import answer as of
from tests.support.upstreams import ALICE, LEGACY_CLIENT, answer, call, messages, said, terms

CAPABILITIES = b'{"roots":{"listChanged":true},"elicitation":{"form":{},"url":{}},"x-odd":1.10}'
ANNE = ClientFacts(Era.LEGACY, "2025-06-18", capabilities=Raw(CAPABILITIES), info=Raw(b'{"name":"a","version":"1"}'))
SESSION, OTHER = Scope("s", 1), Scope("t", 1)
ELICIT = {"method": "elicitation/create", "params": {"message": "Who?", "requestedSchema": {"type": "object"}}}
ACCEPT = {"action": "accept", "content": {"name": "octocat"}}


def asking(
    name: str, person: Person | None, *, scope: Scope = SESSION, client: ClientFacts = ANNE, **arguments: Any
) -> Forward:
    return replace(call(name, arguments, client=client, scope=scope), asks=person)


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[tuple[McpServer, Upstream]]:
    async with McpServer(legacy=True) as server, client_session() as http:
        server.tools |= {
            "ask": partial(ask, server),
            "forget": forget,
            "hear": hear,
            "take_back": partial(take_back, server),
        }
        upstream = Upstream(terms(url=server.url, **settings), http)
        yield server, upstream
        await upstream.close()


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[tuple[PipeServer, Upstream]]:
    server = PipeServer(legacy=True)
    server.tools |= {"ask": ask_on_pipe, "take_back": take_back_on_pipe}
    async with ScriptedProgram(server) as program, client_session() as http:
        upstream = Upstream(terms(**program.spec, **settings), http, known_era=Era.LEGACY)
        yield server, upstream
        await upstream.close()


async def ask(server: McpServer, asked: Asked) -> web.StreamResponse:
    """Ask as the arguments say, once for each id, and answer with what was said."""
    arguments = asked.params["arguments"]
    for own_id in arguments.get("ids", ["q"]):
        await asked.say({"id": own_id, **arguments.get("request", ELICIT)})
    wanted = arguments.get("ids", ["q"])
    await server.until(lambda: len(responses(server, wanted)) == len(wanted))
    return await asked.end({"said": responses(server, wanted)})


async def forget(asked: Asked) -> web.StreamResponse:
    """Ask, and answer without waiting."""
    await asked.say({"id": "q", **ELICIT})
    return await asked.end(text("done"))


async def hear(asked: Asked) -> web.StreamResponse:
    """Ask, and say nothing more."""
    response = await asked.say({"id": "q", **ELICIT})
    await asyncio.Event().wait()
    return response


async def take_back(server: McpServer, asked: Asked) -> web.StreamResponse:
    """Ask, take it back when told to, and answer when told to."""
    await asked.say({"id": "q", **ELICIT})
    await server.saw("notifications/go")
    await asked.say({"method": "notifications/cancelled", "params": {"requestId": "q"}})
    await server.saw("notifications/go", 2)
    return await asked.end(text("done"))


def responses(server: McpServer, ids: list[Any]) -> dict[str, Any]:
    found = [asked.message for asked in server.named("response") if asked.message["id"] in ids]
    return {str(message["id"]): message.get("result", message.get("error")) for message in found}


async def ask_on_pipe(child: PipeChild, asked: Message) -> None:
    """Ask for each caller; answer once it was answered."""
    own_id = f"q-{asked['id']}"
    await child.say({"id": own_id, **ELICIT})
    child.when({own_id}, asked)


async def take_back_on_pipe(child: PipeChild, asked: Message) -> None:
    await child.say({"id": "q", **ELICIT})
    await child.say({"method": "notifications/cancelled", "params": {"requestId": "q"}})
    await child.result(asked, text("done"))


class TestHttp:
    @pytest.mark.point(44)
    async def test_a_question_reaches_the_client_of_its_call_and_the_answer_its_server(self) -> None:
        async with serving() as (server, upstream):
            person = Person(ACCEPT)
            found = await answer(upstream, asking("ask", person, ids=[7]))
            assert found["said"] == {"7": ACCEPT}
            request, forward = await person.asked()
            assert (request.method, bytes(request.id or b"")) == ("elicitation/create", b"7")
            assert json.loads(bytes(request.params or b"")) == ELICIT["params"]
            assert forward is not None
            assert forward.asks is person
            [response] = server.named("response")
            assert response.http.headers["Mcp-Session-Id"] == "s1"

    @pytest.mark.point(44)
    @pytest.mark.trap(5)
    async def test_two_clients_of_one_tool_get_their_own_questions_alone(self) -> None:
        async with serving() as (_, upstream):
            people = [Person({"action": "decline"}), Person(ACCEPT)]
            calls = [
                answer(upstream, asking("ask", person, scope=scope, ids=[own_id]))
                for person, scope, own_id in zip(people, (SESSION, OTHER), ("a", "b"), strict=True)
            ]
            assert [found["said"] for found in await asyncio.gather(*calls)] == [
                {"a": {"action": "decline"}},
                {"b": ACCEPT},
            ]
            assert [len(person.heard) for person in people] == [1, 1]

    async def test_many_questions_are_open_at_once_and_answered_in_any_order(self) -> None:
        async with serving() as (_, upstream), asyncio.TaskGroup() as group:
            person = Person()
            calling = group.create_task(answer(upstream, asking("ask", person, ids=["a", "b", 3])))
            await person.asked(3)
            for own_id in (b"3", b'"b"', b'"a"'):
                person.say(own_id, {"for": own_id.decode()})
            assert (await calling)["said"] == {"a": {"for": '"a"'}, "b": {"for": '"b"'}, "3": {"for": "3"}}

    @pytest.mark.point(43)
    async def test_pings_are_answered_here(self) -> None:
        async with serving() as (_, upstream):
            person = Person()
            found = await answer(upstream, asking("ask", person, request={"method": "ping"}))
            assert (found["said"], person.heard) == ({"q": {}}, [])

    @pytest.mark.point(51)
    async def test_a_call_without_anybody_to_ask_declines_at_once(self) -> None:
        async with serving() as (_, upstream):
            found = await answer(upstream, asking("ask", None))
            assert found["said"]["q"]["code"] == -32601

    async def test_an_error_of_the_answering_side_is_told_to_the_server(self) -> None:
        class Refusing(Person):
            async def answer(self, request: Any, call: Any) -> bytes:
                raise GatewayError(Kind.INVALID_PARAMS, "mode url was not declared")

        async with serving() as (_, upstream):
            found = await answer(upstream, asking("ask", Refusing()))
            assert found["said"]["q"] == {"code": -32602, "message": "mode url was not declared"}

    async def test_a_question_that_the_server_takes_back_gets_no_answer(self) -> None:
        async with serving() as (server, upstream), asyncio.TaskGroup() as group:
            person = Person()
            calling = group.create_task(messages(upstream, asking("take_back", person)))
            await person.asked()
            await upstream.notify(SESSION, "notifications/go", None)
            await person.until(lambda: person.gave_up == [b'"q"'])
            await upstream.notify(SESSION, "notifications/go", None)
            [result] = await calling
            assert json.loads(bytes(result.body or b""))["content"][0]["text"] == "done"
            await upstream.close()
            assert "response" not in server.methods

    async def test_a_question_of_an_answered_call_is_dropped_and_declined(self) -> None:
        async with serving() as (server, upstream):
            person = Person()
            assert await said(upstream, asking("forget", person)) == "done"
            declined = (await server.saw("response")).message
            assert (declined["id"], declined["error"]["code"]) == ("q", -32603)
            assert person.gave_up in ([], [b'"q"'])

    @pytest.mark.trap(28)
    async def test_a_call_that_is_cancelled_takes_its_questions_along(self) -> None:
        async with serving() as (server, upstream):
            person = Person()
            calling = asyncio.get_running_loop().create_task(answer(upstream, asking("ask", person)))
            await person.asked()
            calling.cancel()
            await person.until(lambda: person.gave_up == [b'"q"'])
            await server.saw("notifications/cancelled")
            assert "error" in (await server.saw("response")).message
            assert server.methods.count("notifications/cancelled") == 1

    async def test_questions_beyond_the_limit_are_declined(self) -> None:
        async with serving() as (_, upstream), asyncio.TaskGroup() as group:
            person = Person()
            calling = group.create_task(answer(upstream, asking("ask", person, ids=list(range(65)))))
            await person.asked(64)
            for own_id in range(64):
                person.say(str(own_id).encode(), {})
            found = (await calling)["said"]
            assert len(person.heard) == 64
            assert found["64"]["message"] == "64 requests are waiting for the client already"


class TestTime:
    """Who thinks is not late."""

    @pytest.mark.parametrize("opened", [serving, running])
    async def test_an_open_question_stops_the_idle_timeout_and_an_answer_starts_it_anew(self, opened: Any) -> None:
        short = Timeouts(idle=0.2, first_byte=0.2, absolute=0.4)
        async with opened(timeouts=short) as (_, upstream), asyncio.TaskGroup() as group:
            person = Person()
            calling = group.create_task(answer(upstream, asking("ask", person)))
            request, _ = await person.asked()
            await asyncio.wait({calling}, timeout=0.8)
            assert not calling.done()
            person.say(bytes(request.id or b""), ACCEPT)
            assert str(ACCEPT) in str(await calling)

    async def test_others_may_have_the_place_of_a_call_whose_client_thinks(self) -> None:
        async with serving(concurrency=1, queue=0) as (_, upstream), asyncio.TaskGroup() as group:
            person = Person()
            calling = group.create_task(answer(upstream, asking("ask", person)))
            await person.asked()
            assert await said(upstream, asking("count", None, scope=OTHER)) == "1"
            person.say(b'"q"', ACCEPT)
            assert (await calling)["said"] == {"q": ACCEPT}
            assert await said(upstream, asking("count", None)) == "1"

    @pytest.mark.slow
    async def test_a_stream_that_the_server_closes_meanwhile_is_fetched_until_it_goes_on(self) -> None:
        polled = Polled()
        async with ScriptedServer(polled) as server, client_session() as http, asyncio.TaskGroup() as group:
            upstream = Upstream(terms(url=server.url, timeouts=Timeouts(idle=0.5)), http, known_era=Era.LEGACY)
            person = Person()
            calling = group.create_task(answer(upstream, asking("ask", person)))
            await person.asked()
            async with asyncio.timeout(3 * PATIENCE):
                await server.called(3 + FRUITLESS_RESUMES + 3)
            person.say(b'"q"', ACCEPT)
            assert await calling == {"content": []}
            await upstream.close()

    async def test_a_server_that_falls_silent_after_the_answer_is_late(self) -> None:
        async with serving(timeouts=Timeouts(idle=0.2)) as (server, upstream):
            with pytest.raises(GatewayError) as caught:
                await answer(upstream, asking("hear", Person(ACCEPT)))
            assert (caught.value.kind, caught.value.reason) == (Kind.TIMEOUT, "idle")
            assert responses(server, ["q"]) == {"q": ACCEPT}

    @pytest.mark.point(51)
    async def test_the_answer_has_a_limit_of_its_own(self) -> None:
        short = Timeouts(idle=0.1, absolute=0.2, answer=0.3)
        async with serving(timeouts=short) as (server, upstream):
            person, begun = Person(), asyncio.get_running_loop().time()
            with pytest.raises(GatewayError, match=r"timeouts\.answer") as caught:
                await answer(upstream, asking("ask", person))
            assert (caught.value.kind, caught.value.reason) == (Kind.TIMEOUT, "answer")
            assert 0.45 <= asyncio.get_running_loop().time() - begun < 5
            await person.until(lambda: person.gave_up == [b'"q"'])
            await server.saw("notifications/cancelled")


class TestPipes:
    @pytest.mark.point(44)
    async def test_a_question_reaches_the_session_that_owns_the_child(self) -> None:
        async with running() as (server, upstream):
            person = Person(ACCEPT)
            found = await answer(upstream, asking("ask", person))
            assert found == {"q": {"result": ACCEPT}}
            assert len(server.children) == 1

    async def test_questions_of_many_calls_in_flight_reach_the_one_client_that_they_share(self) -> None:
        async with running() as (server, upstream):
            person = Person(ACCEPT)
            await said(upstream, asking("count", person))
            server.read_ahead = 6
            found = await asyncio.gather(*(answer(upstream, asking("ask", person)) for _ in range(3)))
            assert found == [{"q": {"result": ACCEPT}}] * 3
            assert len({bytes(request.id or b"") for request, _ in person.heard}) == 3

    async def test_sessions_have_children_of_their_own_and_never_see_each_others_questions(self) -> None:
        async with running() as (server, upstream):
            people = [Person(ACCEPT), Person({"action": "decline"})]
            calls = (asking("ask", who, scope=scope) for who, scope in zip(people, (SESSION, OTHER), strict=True))
            found = await asyncio.gather(*(answer(upstream, each) for each in calls))
            assert [one["q"]["result"] for one in found] == [ACCEPT, {"action": "decline"}]
            assert len(server.children) == 2

    @pytest.mark.trap(5)
    @pytest.mark.parametrize("isolation", ["shared", "caller"])
    @pytest.mark.parametrize("together", [True, False])
    async def test_a_child_that_several_sessions_share_asks_nobody(self, isolation: str, together: bool) -> None:
        async with running(isolation=isolation) as (server, upstream):
            people = [Person(ACCEPT), Person(ACCEPT)]
            await said(upstream, asking("count", people[0]))
            calls = [asking("ask", who, scope=scope) for who, scope in zip(people, (SESSION, OTHER), strict=True)]
            if together:
                server.read_ahead = 5
                found = await asyncio.gather(*(answer(upstream, each) for each in calls))
            else:
                found = [await answer(upstream, each) for each in calls]
            assert [one["q"]["error"]["code"] for one in found] == [-32601] * 2
            assert [person.heard for person in people] == [[], []]

    async def test_a_question_that_the_child_takes_back_is_dropped(self) -> None:
        async with running() as (server, upstream):
            person = Person()
            assert await said(upstream, asking("take_back", person)) == "done"
            assert await said(upstream, asking("count", person)) == "1"
            assert "response" not in server.children[0].methods


class TestDeclarations:
    """What `initialize` says for whom."""

    @pytest.mark.parametrize("isolation", ["auto", "session"])
    async def test_a_session_declares_its_clients_capabilities_and_version_as_they_are(self, isolation: str) -> None:
        async with serving(isolation=isolation) as (server, upstream):
            await answer(upstream, asking("echo", Person()))
            hello = server.named("initialize")[0]
            assert CAPABILITIES in await raw_body(hello)
            assert hello.params["protocolVersion"] == "2025-06-18"

    @pytest.mark.parametrize(
        ("isolation", "scope", "client"),
        [
            ("auto", ALICE, ANNE),
            ("caller", SESSION, ANNE),
            ("shared", SESSION, ANNE),
            ("auto", SESSION, LEGACY_CLIENT),
            ("auto", SESSION, replace(ANNE, era=Era.MODERN, protocol_version="2026-07-28")),
        ],
    )
    async def test_nothing_is_declared_where_others_may_come_or_nobody_can_be_asked(
        self, isolation: str, scope: Scope, client: ClientFacts
    ) -> None:
        async with serving(isolation=isolation) as (server, upstream):
            await answer(upstream, asking("echo", Person(), scope=scope, client=client))
            assert server.named("initialize")[0].params["capabilities"] == {}

    async def test_a_server_that_answers_an_older_version_is_spoken_to_in_it(self) -> None:
        async with serving() as (server, upstream):
            server.answers["initialize"] = older(server)
            await answer(upstream, asking("echo", Person()))
            assert server.named("tools/call")[0].http.headers["MCP-Protocol-Version"] == "2025-03-26"

    async def test_a_probe_declares_nothing(self) -> None:
        async with serving() as (server, upstream):
            assert (await upstream.probe()).ok
            hello = server.named("initialize")[0].params
            assert (hello["capabilities"], hello["protocolVersion"]) == ({}, "2025-11-25")


class FakeHost:
    """A call under way that nobody serves."""

    def __init__(self, pause: Pause | None) -> None:
        self.call = asking("ask", None)
        self.pause = pause

    async def reply(self, body: bytes) -> None:
        """There is no server."""


async def test_a_server_that_takes_no_answers_fills_no_memory_with_them() -> None:
    class Deaf(FakeHost):
        async def reply(self, body: bytes) -> None:
            await taking.wait()

    taking, dropped, tasks = asyncio.Event(), list[Dropped](), Tasks("test")
    questions = Questions(Person({}), tasks, certain=True, on_dropped=dropped.append)
    host = Deaf(None)
    for number in range(10 * MOST_UNSENT):
        questions.put(jsonrpc.parse(b'{"jsonrpc":"2.0","id":%d,"method":"ping"}' % number), host)
    assert (len(tasks), dropped) == (MOST_UNSENT, [Dropped.OVERFLOW] * 9 * MOST_UNSENT)
    taking.set()
    async with asyncio.timeout(PATIENCE):
        await tasks.close(PATIENCE)
    questions.put(jsonrpc.parse(b'{"jsonrpc":"2.0","id":0,"method":"ping"}'), host)
    assert len(tasks) == 1
    await tasks.close(PATIENCE)


async def test_a_question_outside_any_call_stops_the_clocks_of_those_under_way() -> None:
    tasks = Tasks("test")
    questions = Questions(Person(), tasks, certain=True)
    early, late, nobody = FakeHost(Pause()), FakeHost(Pause()), FakeHost(None)
    for host in (early, nobody):
        questions.admit(host)
    with questions.elsewhere():
        questions.admit(late)
        assert [host.pause.held for host in (early, late)] == [True, False]
        questions.dismiss(early)
    assert not early.pause.held
    await tasks.close()


class Polled:
    """A server that closes its stream after a question, and goes on in another once it was answered."""

    def __init__(self) -> None:
        self.request = b""
        self.answered = False

    async def __call__(self, call: Call) -> None:
        if call.method == "GET":
            return await self._go_on(call)
        method = json.loads(call.body).get("method")
        if method == "initialize":
            about = b'{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"p","version":"1"}}'
            return await call.answer(of(call.body, about))
        if method != "tools/call":
            self.answered = self.answered or method is None
            return await call.answer(status=202)
        self.request = call.body
        await call.stream()
        await call.event(b"", id="0", retry=1)
        await call.event(json.dumps({"jsonrpc": "2.0", "id": "q", **ELICIT}).encode(), id="1", retry=1)
        return await call.end()

    async def _go_on(self, call: Call) -> None:
        await call.stream()
        if self.answered:
            await call.event(of(self.request, b'{"content":[]}'), id="2")
        else:
            await call.chunk(b": nothing new\n\n")
        await call.end()


async def raw_body(asked: Asked) -> bytes:
    """The bytes of a message, which aiohttp keeps once they were read."""
    return await asked.http.read()


def older(server: McpServer) -> Callable[[Asked], Awaitable[web.StreamResponse]]:
    async def initialize(asked: Asked) -> web.StreamResponse:
        response = server.initialize(asked)
        response.text = str(response.text).replace("2025-11-25", "2025-03-26")
        return response

    return initialize
