"""Arguments that travel in headers as well: made anew from the body, and learnt anew once when the server disagrees."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from gateway.errors import GatewayError, Kind
from gateway.protocol.mirrors import Mirror
from gateway.upstream.connection import client_session
from gateway.upstream.server import Upstream
from gateway.upstream.values import Forward
from tests.support.mcp_http import Asked, McpServer
from tests.support.mcp_pipe import PipeServer
from tests.support.pipes import ScriptedProgram
from tests.support.upstreams import MODERN_CLIENT, answer, call, terms

REGION = Mirror("Mcp-Param-Region", ("region",), "string")
ARGUMENTS = {"region": "süd", "query": "x"}
pytestmark = pytest.mark.point(54)


class Relisting:
    """Who is asked for a tool's mirrors when its server disagrees."""

    def __init__(self, *found: Mirror, error: GatewayError | None = None) -> None:
        self.asked: list[str | None] = []
        self._found, self._error = found, error

    async def __call__(self, call: Forward) -> tuple[Mirror, ...]:
        self.asked.append(call.target)
        if self._error is not None:
            raise self._error
        return self._found


@asynccontextmanager
async def wanting(relist: Relisting) -> AsyncIterator[tuple[McpServer, Upstream]]:
    """A server that wants the region of every call in its header."""

    async def check(asked: Asked) -> web.StreamResponse:
        if "Mcp-Param-Region" not in asked.http.headers:
            return asked.error(-32020, "Mcp-Param-Region header is missing", 400)
        return asked.result({"resultType": "complete", "content": []})

    async with McpServer(modern=True) as server, client_session() as http:
        server.tools["query"] = check
        upstream = Upstream(terms(url=server.url), http, relist=relist)
        yield server, upstream
        await upstream.close()


def query(*mirrors: Mirror, **more: Any) -> Forward:
    return replace(call("query", ARGUMENTS, client=MODERN_CLIENT, **more), mirrors=mirrors)


async def test_a_header_is_made_from_its_argument_and_never_from_the_clients() -> None:
    async with wanting(Relisting()) as (server, upstream):
        assert "content" in await answer(upstream, query(REGION, headers={"Mcp-Param-Region": "forged"}))
        headers = (await server.saw("tools/call")).http.headers
        assert headers.getall("Mcp-Param-Region") == ["=?base64?c8O8ZA==?="]
        assert (headers["Mcp-Method"], headers["Mcp-Name"]) == ("tools/call", "query")


async def test_a_server_that_wants_other_headers_is_listed_again_once_and_called_again_once() -> None:
    relist = Relisting(REGION)
    async with wanting(relist) as (server, upstream):
        assert "content" in await answer(upstream, query())
        assert [relist.asked, server.methods.count("tools/call")] == [["query"], 2]


@pytest.mark.parametrize(
    ("relist", "times"),
    [
        (Relisting(), 1),
        (Relisting(error=GatewayError(Kind.SERVER_CLOSED, "gone")), 1),
        (Relisting(Mirror("Mcp-Param-Other", ("query",), "string")), 2),
    ],
)
async def test_a_server_that_goes_on_disagreeing_is_not_argued_with(relist: Relisting, times: int) -> None:
    async with wanting(relist) as (server, upstream):
        assert (await answer(upstream, query()))["code"] == -32020
        assert (len(relist.asked), server.methods.count("tools/call")) == (1, times)


async def test_what_has_no_arguments_is_not_sent_again() -> None:
    relist = Relisting(REGION)
    async with wanting(relist) as (server, upstream):

        async def refuse(asked: Asked) -> web.StreamResponse:
            return asked.error(-32020, "no", 400)

        server.served["prompts/get"] = refuse
        assert (await answer(upstream, replace(query(), method="prompts/get")))["code"] == -32020
        assert (relist.asked, server.methods.count("prompts/get")) == ([], 1)


async def test_a_program_has_no_headers_and_gets_the_argument_alone() -> None:
    server, relist = PipeServer(modern=True), Relisting(REGION)
    async with ScriptedProgram(server) as program, client_session() as http, asyncio.timeout(10):
        upstream = Upstream(terms(**program.spec), http, relist=relist)
        found = await answer(upstream, replace(call("echo", ARGUMENTS, client=MODERN_CLIENT), mirrors=(REGION,)))
        assert found["asked"]["arguments"] == ARGUMENTS
        assert relist.asked == []
        await upstream.close()
