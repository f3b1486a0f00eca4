"""What modern servers see of calls, and what comes back, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol.mirrors import Mirror, mirrors_of
from gateway.protocol.versions import Era
from gateway.settings import Timeouts
from gateway.upstream.connection import client_session
from gateway.upstream.server import Upstream
from gateway.upstream.values import Forward, Relist
from tests.support.mcp_http import Asked, McpServer, text
from tests.support.mcp_pipe import Message, PipeChild, PipeServer
from tests.support.pipes import ScriptedProgram
from tests.support.upstreams import ALICE, MODERN_CLIENT, PATIENCE, answer, body, call, messages, said, terms

REGION = {"properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
ZONE = {"properties": {"zone": {"type": "string", "x-mcp-header": "Zone"}}}


def mirrors(schema: dict[str, Any]) -> tuple[Mirror, ...]:
    return mirrors_of(Raw(json.dumps({"name": "x", "inputSchema": schema}).encode()))


@asynccontextmanager
async def serving(relist: Relist | None = None, **settings: Any) -> AsyncIterator[tuple[McpServer, Upstream]]:
    async with McpServer(modern=True) as server, client_session() as http:
        extra = {} if relist is None else {"relist": relist}
        upstream = Upstream(terms(url=server.url, **settings), http, known_era=Era.MODERN, **extra)
        yield server, upstream
        await upstream.close()


def request(method: str, target: str | None = None, **params: str) -> Forward:
    members = {name: Raw(raw.encode()) for name, raw in params.items()}
    return Forward(method, target, members, {}, MODERN_CLIENT, ALICE)


class Owner:
    """Lists again, as the test says."""

    def __init__(self, found: tuple[Mirror, ...] | GatewayError) -> None:
        self.asked: list[Forward] = []
        self._found = found

    async def __call__(self, call: Forward) -> tuple[Mirror, ...]:
        self.asked.append(call)
        if isinstance(self._found, GatewayError):
            raise self._found
        return self._found


async def wants_zone(asked: Asked) -> web.Response:
    if asked.http.headers.get("Mcp-Param-Zone") != asked.params["arguments"].get("zone"):
        return asked.error(-32020, "Mcp-Param-Zone header is missing", 400)
    return asked.result(text("done"))


class TestRouting:
    @pytest.mark.parametrize(
        ("method", "member"),
        [
            ("tools/call", "name"),
            ("prompts/get", "name"),
            ("resources/read", "uri"),
            ("tasks/get", "taskId"),
            ("tasks/update", "taskId"),
            ("tasks/cancel", "taskId"),
        ],
    )
    async def test_what_a_request_names_stands_in_its_header(self, method: str, member: str) -> None:
        async with serving() as (server, upstream):
            await messages(upstream, request(method, "file:///ä b", **{member: '"file:///ä b"'}))
            headers = (await server.saw(method)).http.headers
            assert headers["Mcp-Name"] == "=?base64?ZmlsZTovLy/DpCBi?="
            assert headers["Mcp-Method"] == method

    @pytest.mark.parametrize("method", ["completion/complete", "vendor/x.y", "skills/list"])
    async def test_methods_that_we_do_not_know_pass_as_they_are(self, method: str) -> None:
        async with serving() as (server, upstream):
            server.served[method] = reflect
            found = await answer(upstream, request(method, None, q="1.0", name='"n"'))
            headers = server.asked[-1].http.headers
            assert (headers["Mcp-Method"], "Mcp-Name" in headers) == (method, False)
            assert {"q", "name", "_meta"} == set(found["params"])
            assert b'"q":1.0' in await server.asked[-1].http.read()

    async def test_a_legacy_server_gets_them_too(self) -> None:
        async with McpServer(legacy=True) as server, client_session() as http:
            upstream = Upstream(terms(url=server.url), http)
            server.served["vendor/x"] = reflect
            assert (await answer(upstream, request("vendor/x", None, q="1")))["params"] == {"q": 1}
            await upstream.close()


class TestMirrors:
    async def test_headers_are_made_from_the_arguments(self) -> None:
        async with serving() as (server, upstream):
            forward = replace(call("echo", {"region": "ü"}), mirrors=mirrors(REGION), headers={"mcp-param-region": "x"})
            await answer(upstream, forward)
            assert (await server.saw("tools/call")).http.headers.getall("Mcp-Param-Region") == ["=?base64?w7w=?="]

    @pytest.mark.parametrize("arguments", [{}, {"region": None}])
    async def test_an_argument_that_is_not_there_has_none(self, arguments: dict[str, Any]) -> None:
        async with serving() as (server, upstream):
            await answer(upstream, replace(call("echo", arguments), mirrors=mirrors(REGION)))
            assert "Mcp-Param-Region" not in (await server.saw("tools/call")).http.headers

    async def test_legacy_servers_and_pipes_get_none(self) -> None:
        async with McpServer(legacy=True) as server, client_session() as http:
            upstream = Upstream(terms(url=server.url), http)
            await answer(upstream, replace(call("echo", {"region": "x"}), mirrors=mirrors(REGION)))
            assert "Mcp-Param-Region" not in (await server.saw("tools/call")).http.headers
            await upstream.close()

    async def test_a_server_with_another_schema_is_listed_again_once_and_the_call_repeated(self) -> None:
        owner = Owner(mirrors(ZONE))
        async with serving(owner) as (server, upstream):
            server.tools["zoned"] = wants_zone
            forward = replace(call("zoned", {"zone": "z", "region": "r"}), mirrors=mirrors(REGION))
            async with upstream.forward(forward) as relay:
                [message] = [message async for message in relay]
            assert body(message)["content"][0]["text"] == "done"
            assert (relay.attempts, relay.status, owner.asked) == (2, 200, [forward])
            first, second = (asked.http.headers for asked in server.named("tools/call"))
            assert ("Mcp-Param-Region" in first, "Mcp-Param-Region" in second) == (True, False)

    @pytest.mark.parametrize("found", [(), mirrors(REGION), GatewayError(Kind.TIMEOUT, "late")])
    async def test_a_call_that_would_be_refused_again_is_not_repeated(self, found: Any) -> None:
        owner = Owner(found)
        async with serving(owner) as (server, upstream):
            server.tools["zoned"] = wants_zone
            forward = replace(call("zoned", {"zone": "z"}), mirrors=found if isinstance(found, tuple) else ())
            assert (await answer(upstream, forward))["code"] == -32020
            assert (len(owner.asked), server.methods.count("tools/call")) == (1, 1)

    async def test_nobody_is_asked_a_second_time(self) -> None:
        owner = Owner(mirrors(REGION))
        async with serving(owner) as (server, upstream):
            server.tools["zoned"] = wants_zone
            assert (await answer(upstream, call("zoned", {"zone": "z"})))["code"] == -32020
            assert (len(owner.asked), server.methods.count("tools/call")) == (1, 2)


class TestStatus:
    @pytest.mark.parametrize(("code", "status"), [(-32602, 400), (-32602, 200), (-32021, 400), (-32601, 404), (7, 422)])
    async def test_an_error_keeps_its_code_its_data_and_its_status(self, code: int, status: int) -> None:
        async with serving() as (server, upstream):

            async def refuse(asked: Asked) -> web.Response:
                return asked.error(code, "no", status, {"x": 1})

            server.tools["no"] = refuse
            async with upstream.forward(call("no")) as relay:
                assert relay.status is None
                [message] = [message async for message in relay]
            assert body(message) == {"code": code, "message": "no", "data": {"x": 1}}
            assert relay.status == status

    async def test_a_refusal_without_a_message_has_a_status_too(self) -> None:
        async with serving() as (server, upstream):
            server.tools["no"] = busy
            async with upstream.forward(call("no")) as relay:
                with pytest.raises(GatewayError):
                    await anext(aiter(relay))
            assert relay.status == 503

    @pytest.mark.parametrize("result", [{"resultType": "input_required", "requestState": "é\u2028"}, {"x": 1}])
    async def test_rounds_of_an_interaction_pass_as_they_are(self, result: dict[str, Any]) -> None:
        async with serving() as (server, upstream):

            async def more(asked: Asked) -> web.Response:
                return asked.result({**result, "asked": asked.params})

            server.tools["more"] = more
            forward = call("more")
            forward = replace(
                forward, params={**forward.params, "requestState": Raw(b'"\\u00e9"'), "inputResponses": Raw(b"{}")}
            )
            found = await answer(upstream, forward)
            assert {**found, "asked": None} == {**result, "asked": None}
            assert b'"requestState":"\\u00e9","inputResponses":{}' in await server.asked[-1].http.read()


class TestLasting:
    SHORT = Timeouts(first_byte=0.1, idle=0.1, absolute=0.2)

    async def test_a_lasting_request_has_no_limit_of_time_over_http(self) -> None:
        async with serving(timeouts=self.SHORT) as (server, upstream):
            server.served["subscriptions/listen"] = listen
            forward = replace(request("subscriptions/listen"), lasting=True)
            found = [message.method for message in await messages(upstream, forward)]
            assert found == ["notifications/subscriptions/acknowledged", ""]

    async def test_nor_on_pipes(self) -> None:
        server = PipeServer(modern=True)
        server.served["subscriptions/listen"] = listen_on_pipe
        async with ScriptedProgram(server) as program, client_session() as http:
            upstream = Upstream(terms(**program.spec, timeouts=Timeouts(first_byte=0.4, idle=0.1, absolute=0.2)), http)
            forward = replace(request("subscriptions/listen"), lasting=True)
            assert (await answer(upstream, forward)) == {"resultType": "complete"}
            await upstream.close()

    async def test_it_takes_no_place_from_the_others(self) -> None:
        async with serving(concurrency=1, queue=0) as (server, upstream), asyncio.TaskGroup() as group:
            server.served["subscriptions/listen"] = hold
            listening = group.create_task(messages(upstream, replace(request("subscriptions/listen"), lasting=True)))
            asked = await server.saw("subscriptions/listen")
            assert await said(upstream, call("count")) == "stateless"
            assert upstream.in_flight == 0
            listening.cancel()
            await server.until(asked.gone.is_set)

    async def test_closing_the_server_ends_it_and_lets_none_begin(self) -> None:
        async with serving() as (server, upstream):
            server.served["subscriptions/listen"] = hold
            forward = replace(request("subscriptions/listen"), lasting=True)
            listening = asyncio.get_running_loop().create_task(messages(upstream, forward))
            await server.saw("subscriptions/listen")
            async with asyncio.timeout(PATIENCE):
                await upstream.close(PATIENCE)
            with pytest.raises(GatewayError) as caught:
                await listening
            assert caught.value.kind is Kind.SERVER_CLOSED
            with pytest.raises(GatewayError) as caught:
                await messages(upstream, forward)
            assert caught.value.kind is Kind.DRAINING


async def reflect(asked: Asked) -> web.Response:
    return asked.result({"params": asked.params})


async def busy(asked: Asked) -> web.Response:
    return web.Response(status=503, text="busy")


async def hold(asked: Asked) -> web.StreamResponse:
    response = await asked.say({"method": "notifications/subscriptions/acknowledged", "params": {}})
    await asyncio.Event().wait()
    return response


async def listen(asked: Asked) -> web.StreamResponse:
    """Take longer than every timeout before each message."""
    await asyncio.sleep(0.3)
    await asked.say({"method": "notifications/subscriptions/acknowledged", "params": {}})
    await asyncio.sleep(0.3)
    return await asked.end({"resultType": "complete"})


async def listen_on_pipe(child: PipeChild, asked: Message) -> None:
    await asyncio.sleep(0.6)
    await child.result(asked, {"resultType": "complete"})
