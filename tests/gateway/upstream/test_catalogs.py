"""All that a server offers, whatever it lists, over real sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
from aiohttp import ClientSession, web
from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol.listed import Listed
from gateway.protocol.versions import Era
from gateway.upstream import catalogs
from gateway.upstream.catalogs import Listing
from gateway.upstream.connection import client_session
from gateway.upstream.server import Upstream
from gateway.upstream.values import Discovery
from tests.support.mcp_http import Asked, McpServer
from tests.support.mcp_pipe import PipeChild, PipeServer
from tests.support.pipes import ScriptedProgram
from tests.support.upstreams import terms

Build = Callable[..., Upstream]


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with client_session() as session:
        yield session


@pytest.fixture
async def server() -> AsyncIterator[McpServer]:
    async with McpServer(modern=True) as server:
        yield server


@pytest.fixture
async def upstream(server: McpServer, http: ClientSession) -> AsyncIterator[Upstream]:
    upstream = Upstream(terms(url=server.url), http)
    yield upstream
    await upstream.close()


def tool(name: str) -> dict[str, Any]:
    return {"name": name, "inputSchema": {}}


def names(tools: tuple[Raw, ...]) -> list[str]:
    return [json.loads(bytes(definition))["name"] for definition in tools]


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_discovery_says_all_that_the_server_says(http: ClientSession, era: str) -> None:
    async with McpServer(**{era: True}) as server:
        upstream = Upstream(terms(url=server.url), http)
        found = await upstream.discover()
        assert (found.era, names(found.tools), found.flaws) == (Era(era), ["count", "echo"], ())
        assert found.protocol_version == {"legacy": "2025-11-25", "modern": "2026-07-28"}[era]
        assert json.loads(bytes(found.capabilities or b"")) == {"tools": {}}
        assert json.loads(bytes(found.server_info or b""))["name"] == "peer"
        await upstream.close()
        assert server.sessions == {}


@pytest.mark.trap(39)
async def test_every_page_is_fetched_with_the_servers_own_cursors(server: McpServer, upstream: Upstream) -> None:
    server.answers["tools/list"] = pages({None: (["a"], ""), "": (["b"], '"\u00e9"'), '"\u00e9"': (["c"], None)})
    assert names((await upstream.discover()).tools) == ["a", "b", "c"]


@pytest.mark.point(28)
@pytest.mark.trap(39)
async def test_a_list_that_runs_in_a_circle_is_cut(server: McpServer, upstream: Upstream) -> None:
    server.answers["tools/list"] = pages({None: (["a"], "1"), "1": (["b"], "2"), "2": (["c"], "1")})
    found = await upstream.discover()
    assert names(found.tools) == ["a", "b", "c"]
    assert found.flaws == ("the list leads back to a page that was seen before; it was cut there",)


@pytest.mark.point(28)
@pytest.mark.trap(39)
async def test_a_list_that_never_ends_is_cut(server: McpServer, upstream: Upstream) -> None:
    server.answers["tools/list"] = endless
    found = await upstream.discover()
    assert (len(found.tools), server.methods.count("tools/list")) == (catalogs.MOST_PAGES, catalogs.MOST_PAGES)
    assert found.flaws == ("the list has more than 1000 pages; it was cut there",)


@pytest.mark.trap(39)
async def test_ten_thousand_tools_arrive_in_order(server: McpServer, upstream: Upstream) -> None:
    server.definitions = [tool(f"t{number}") for number in range(10_000)]
    assert names((await upstream.discover()).tools) == [f"t{number}" for number in range(10_000)]


@pytest.mark.point(29)
@pytest.mark.trap(39)
async def test_a_bad_entry_costs_itself_alone(server: McpServer, upstream: Upstream) -> None:
    server.definitions = [tool("a"), None, 7, {"inputSchema": {}}, {"name": ""}, {"name": 3}, tool("a"), tool("b")]
    found = await upstream.discover()
    assert names(found.tools) == ["a", "b"]
    assert found.flaws == ("a tool without a name was left out", "the tool 'a' is listed twice; the first counts")


async def test_definitions_keep_their_bytes(server: McpServer, upstream: Upstream) -> None:
    exact = rb'{"name":"a", "x":1.10,"y":[1e2,"\u00e9","\ud800"],"z":null }'
    body = b'{"jsonrpc":"2.0","id":%d,"result":{"tools":[' + exact + b"]}}"
    server.answers["tools/list"] = lambda asked: raw(body % asked.message["id"])
    assert [bytes(definition) for definition in (await upstream.discover()).tools] == [exact]


async def test_a_server_without_tools_is_not_asked_for_them(server: McpServer, upstream: Upstream) -> None:
    server.capabilities = {"prompts": {}}
    assert (await upstream.discover()).tools == ()
    assert "tools/list" not in server.methods


LISTS: dict[str, Any] = {
    "prompts/list": {"prompts": [{"name": "greet"}, {"name": "part"}]},
    "resources/list": {"resources": [{"uri": "file:///a", "name": "a"}]},
    "resources/templates/list": {"resourceTemplates": [{"uriTemplate": "file:///{+path}", "name": "t"}]},
}


def serve(server: Any) -> None:
    server.capabilities = {"tools": {}, "prompts": {}, "resources": {}}
    for method, result in LISTS.items():
        server.served[method] = partial(reply, result=result)


def offered(found: Discovery) -> dict[Listed, list[Any]]:
    return {listed: [json.loads(bytes(one)) for one in entries] for listed, entries in found.offers.items()}


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_every_list_that_is_advertised_is_asked_for_and_kept_apart(http: ClientSession, era: str) -> None:
    async with McpServer(**{era: True}) as server:
        serve(server)
        upstream = Upstream(terms(url=server.url), http)
        found = await upstream.discover()
        assert found.flaws == ()
        assert [tool["name"] for tool in offered(found)[Listed.TOOLS]] == ["count", "echo"]
        for listed in (Listed.PROMPTS, Listed.RESOURCES, Listed.TEMPLATES):
            assert offered(found)[listed] == LISTS[listed.method][listed]
        await upstream.close()


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_the_lists_of_a_program_are_those_of_an_endpoint(http: ClientSession, era: str) -> None:
    program = PipeServer(**{era: True})
    program.capabilities = {"tools": {}, "prompts": {}, "resources": {}}
    for method, result in LISTS.items():
        program.served[method] = partial(said, result=result)
    async with ScriptedProgram(program) as scripted:
        upstream = Upstream(terms(**scripted.spec), http)
        found = await upstream.discover()
        assert found.flaws == ()
        for listed in (Listed.PROMPTS, Listed.RESOURCES, Listed.TEMPLATES):
            assert offered(found)[listed] == LISTS[listed.method][listed]
        await upstream.close()


@pytest.mark.trap(39)
@pytest.mark.parametrize("method", LISTS)
@pytest.mark.parametrize("failure", ["error", "no list"])
async def test_a_list_beside_the_tools_that_fails_costs_itself_alone(
    server: McpServer, upstream: Upstream, method: str, failure: str
) -> None:
    serve(server)
    answers = {"error": fail, "no list": partial(reply, result={"prompts": 7, "resources": 7})}
    server.served[method] = answers[failure]
    found = await upstream.discover()
    [flaw] = found.flaws
    assert flaw.startswith(f"{method} failed: ")
    assert [listed.method for listed in found.missing] == [method]
    for listed in set(Listed) - found.missing:
        assert offered(found)[listed] == LISTS.get(listed.method, {"tools": server.definitions})[listed]


async def test_prompts_and_resources_are_asked_for_page_by_page(server: McpServer, upstream: Upstream) -> None:
    serve(server)
    for method, result in LISTS.items():
        [name] = result
        server.served[method] = partial(two_pages, name=name, key="uri" if name == "resources" else "name")
    server.served["resources/templates/list"] = partial(two_pages, name="resourceTemplates", key="uriTemplate")
    found = offered(await upstream.discover())
    assert [one["name"] for one in found[Listed.PROMPTS]] == ["first", "second"]
    assert [one["uri"] for one in found[Listed.RESOURCES]] == ["first", "second"]
    assert [one["uriTemplate"] for one in found[Listed.TEMPLATES]] == ["first", "second"]


@pytest.mark.parametrize("result", [{"tools": 7}, {"tools": {"a": 1}}, {}, [1], "x"])
async def test_an_answer_that_is_no_list_is_the_servers_fault(
    server: McpServer, upstream: Upstream, result: Any
) -> None:
    server.answers["tools/list"] = lambda asked: reply(asked, result)
    with pytest.raises(GatewayError) as caught:
        await upstream.discover()
    assert (caught.value.kind, caught.value.reason) == (Kind.SERVER_PROTOCOL, "protocol")


async def test_all_that_is_advertised_is_asked_for_and_nothing_else(server: McpServer, upstream: Upstream) -> None:
    server.capabilities = {"prompts": {}, "resources": {}}
    server.served["prompts/list"] = lambda asked: reply(asked, {"prompts": [{"name": "p"}]})
    server.served["resources/list"] = lambda asked: reply(asked, {"resources": [{"uri": "a:b"}, {"name": "no uri"}]})
    found = await upstream.discover()
    assert {listed: len(entries) for listed, entries in found.offers.items()} == {
        Listed.PROMPTS: 1,
        Listed.RESOURCES: 1,
        Listed.TEMPLATES: 0,
    }
    assert (found.missing, found.flaws) == (frozenset(), ("a resource without a uri was left out",))
    assert "tools/list" not in server.methods


async def test_a_list_that_the_server_does_not_know_is_empty(server: McpServer, upstream: Upstream) -> None:
    server.capabilities = {"tools": {}, "prompts": {}}
    found = await upstream.discover()
    assert (found.offers[Listed.PROMPTS], found.missing) == ((), frozenset())
    assert found.flaws == ("the server advertises prompts and does not know prompts/list",)


@pytest.mark.trap(37)
@pytest.mark.parametrize("result", [None, {"prompts": 7}, [1]])
async def test_a_list_beside_the_tools_that_fails_is_missing_and_not_empty(
    server: McpServer, upstream: Upstream, result: Any
) -> None:
    server.capabilities = {"tools": {}, "prompts": {}}
    server.served["prompts/list"] = fail if result is None else lambda asked: reply(asked, result)
    found = await upstream.discover()
    assert names(found.tools) == ["count", "echo"]
    assert (found.missing, Listed.PROMPTS in found.offers) == ({Listed.PROMPTS}, False)
    assert len(found.flaws) == 1
    assert found.flaws[0].startswith("prompts/list failed: ")


@pytest.mark.point(54)
@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_tool_that_is_annotated_wrongly_is_left_out_where_arguments_travel_in_headers(
    http: ClientSession, era: str
) -> None:
    wrong = {"properties": {"a": {"type": "object", "x-mcp-header": "A"}}}
    async with McpServer(**{era: True}) as server:
        server.definitions = [{"name": "wrong", "inputSchema": wrong}, tool("right")]
        upstream = Upstream(terms(url=server.url), http)
        found = await upstream.discover()
        why = "x-mcp-header of 'a' needs the type string, integer or boolean"
        if era == "modern":
            assert (names(found.tools), found.flaws) == (["right"], (f"the tool 'wrong' was left out: {why}",))
        else:
            assert names(found.tools) == ["wrong", "right"]
            assert found.flaws == (f"the tool 'wrong' is shown without its annotations: {why}",)
        await upstream.close()


async def test_an_error_is_told_with_the_servers_words(server: McpServer, upstream: Upstream) -> None:
    server.answers["tools/list"] = lambda asked: fail(asked)
    with pytest.raises(GatewayError, match="the server refused: -32603 disk on fire"):
        await upstream.discover()


@pytest.mark.point(29)
def test_a_listing_is_bounded_in_tools_and_in_complaints() -> None:
    listing = Listing(Listed.TOOLS)
    for number in range(catalogs.MOST_ENTRIES + 2):
        listing.add(Raw(b'{"name":"t%d"}' % number), mirrored=False)
    assert len(listing.entries) == catalogs.MOST_ENTRIES
    assert listing.flaws == ("the server lists more than 20000 tools; the rest was left out",)
    for number in range(100):
        listing.complain(f"flaw {number}")
    assert len(listing.flaws) == catalogs.MOST_FLAWS


def pages(book: dict[str | None, tuple[list[str], str | None]]) -> Callable[[Asked], Any]:
    """Pages by cursor: their tools, and the cursor of the next page."""

    async def turn(asked: Asked) -> web.Response:
        listed, following = book[asked.params.get("cursor")]
        result = {"tools": [tool(name) for name in listed]}
        return asked.result(result if following is None else {**result, "nextCursor": following})

    return turn


async def endless(asked: Asked) -> web.Response:
    number = int(asked.params.get("cursor", 0))
    return asked.result({"tools": [tool(f"t{number}")], "nextCursor": str(number + 1)})


async def reply(asked: Asked, result: Any) -> web.Response:
    return asked.result(result)


async def said(child: PipeChild, asked: dict[str, Any], result: Any) -> None:
    await child.result(asked, result)


async def two_pages(asked: Asked, name: str, key: str) -> web.Response:
    if "cursor" in asked.params:
        return asked.result({name: [{key: "second", "name": "second"}]})
    return asked.result({name: [{key: "first", "name": "first"}], "nextCursor": "2"})


async def fail(asked: Asked) -> web.Response:
    return asked.error(-32603, "disk on fire")


async def raw(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
