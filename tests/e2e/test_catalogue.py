"""Everything that servers list, through the whole gateway: every list, every door, both eras."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from storage.schema import server_catalogs
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.mcp_http import Asked, McpServer

LISTS = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
EVERYTHING = {"tools": {}, "prompts": {}, "resources": {"subscribe": True}, "completions": {}}
PAGE = "ui://board/index.html"
OFFERED: Mapping[str, list[dict[str, Any]]] = {
    "tools/list": [
        {"name": "echo", "inputSchema": {"$defs": {"a": {"$anchor": "b"}}, "if": {}, "then": {"x-own": 1}}},
        {"name": "show", "inputSchema": {}, "_meta": {"ui": {"resourceUri": PAGE, "visibility": ["app"]}}},
    ],
    "prompts/list": [{"name": "greet", "arguments": [{"name": "who"}], "x-own": None}],
    "resources/list": [{"uri": "file:///README.md", "name": "README"}, {"uri": "https://x.org/a", "name": "a"}],
    "resources/templates/list": [{"uriTemplate": "file:///{+path}", "name": "files"}],
}


def lister(entries: list[dict[str, Any]], member: str) -> Callable[[Asked], Awaitable[web.Response]]:
    async def answer(asked: Asked) -> web.Response:
        return asked.result({member: entries})

    return answer


async def told(asked: Asked) -> web.Response:
    """What the server was asked for, in a place where no URI is rewritten."""
    return asked.result({"contents": [], "messages": [], "completion": {"values": ["v"]}, "asked": asked.params})


def offering(server: McpServer, offered: Mapping[str, list[dict[str, Any]]] = OFFERED) -> McpServer:
    """Make `server` list all four kinds and answer what reads them."""
    server.capabilities = dict(EVERYTHING)
    server.served = {method: lister(offered[method], member) for method, member in LISTS.items()}
    server.served |= dict.fromkeys(("prompts/get", "resources/read", "completion/complete"), told)
    return server


async def listed(gateway: RunningGateway, method: str, path: str = "/mcp", **params: Any) -> dict[str, Any]:
    """The answer to a modern client."""
    answer = await gateway.modern(method, params, path=path)
    return json.loads(await answer.text())


async def seen(gateway: RunningGateway, path: str = "/mcp") -> dict[str, list[str]]:
    """The names and URIs of every list at one door."""
    found = {}
    for method, member in LISTS.items():
        entries = (await listed(gateway, method, path))["result"][member]
        found[member] = [entry.get("uriTemplate") or entry.get("uri") or entry["name"] for entry in entries]
    return found


class Legacy:
    """A legacy client with a session."""

    def __init__(self, gateway: RunningGateway, path: str) -> None:
        self._gateway = gateway
        self._url = gateway.root + path
        self._headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
        self.about: dict[str, Any] = {}

    async def begin(self) -> Legacy:
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        answer = await self._post("initialize", params)
        self._headers["Mcp-Session-Id"] = answer.headers["Mcp-Session-Id"]
        self.about = (await answer.json())["result"]
        return self

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        answer = await self._post(method, params)
        text = await answer.text()
        if answer.content_type == "text/event-stream":
            text = [line for line in text.splitlines() if line.startswith("data: {")][-1].removeprefix("data: ")
        return json.loads(text)

    async def _post(self, method: str, params: dict[str, Any]) -> Any:
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return await self._gateway.client.post(self._url, json=message, headers=self._headers)


async def read(gateway: RunningGateway, uri: str, path: str = "/mcp") -> dict[str, Any]:
    answer = await gateway.modern("resources/read", {"uri": uri}, path=path, headers={"Mcp-Name": uri})
    return json.loads(await answer.text())


@pytest.mark.point(46)
@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_all_four_lists_pass_to_clients_of_both_eras(tmp_path: Path, era: str) -> None:
    async with (
        McpServer(**{era: True}) as server,
        running_gateway({"servers": {"docs": {"url": offering(server).url}}}, tmp_path) as gateway,
    ):
        assert await seen(gateway) == {
            "tools": ["docs__echo", "docs__show"],
            "prompts": ["docs__greet"],
            "resources": ["docs+file:///README.md", "https://x.org/a"],
            "resourceTemplates": ["docs+file:///{+path}"],
        }
        client = await Legacy(gateway, "/servers/docs/mcp").begin()
        for method, member in LISTS.items():
            for path in ("/mcp", "/servers/docs/mcp"):
                result = (await listed(gateway, method, path))["result"]
                assert (result["resultType"], result["cacheScope"]) == ("complete", "private")
                assert isinstance(result["ttlMs"], int)
                assert "io.modelcontextprotocol/serverInfo" in result["_meta"]
            assert (await listed(gateway, method, "/servers/docs/mcp"))["result"][member] == OFFERED[method]
            answer = await client.ask(method)
            assert answer["result"] == {member: OFFERED[method]}, "what only modern clients know stays away"


@pytest.mark.point(15)
@pytest.mark.trap(15)
@pytest.mark.trap(40)
async def test_no_list_may_be_kept_for_another_user_and_legacy_clients_see_no_word_of_caching(tmp_path: Path) -> None:
    async with McpServer(modern=True) as server:

        async def public(asked: Asked) -> web.Response:
            found = {"prompts": OFFERED["prompts/list"]}
            return asked.result({**found, "resultType": "complete", "ttlMs": 3_600_000, "cacheScope": "public"})

        offering(server).served["prompts/list"] = public
        async with running_gateway({"servers": {"docs": {"url": server.url}}}, tmp_path) as gateway:
            result = (await listed(gateway, "prompts/list"))["result"]
            assert result["cacheScope"] == "private"
            assert result["ttlMs"] <= 5_000
            client = await Legacy(gateway, "/mcp").begin()
            assert set((await client.ask("prompts/list"))["result"]) == {"prompts"}


@pytest.mark.point(9)
async def test_what_is_advertised_is_what_works(tmp_path: Path) -> None:
    async with McpServer(modern=True) as plain, McpServer(legacy=True) as old, McpServer(modern=True) as full:
        offering(old)
        offering(full)
        servers = {"plain": plain, "old": old, "full": full}
        urls = {"servers": {name: {"url": server.url} for name, server in servers.items()}}
        groups = {"groups": {"some": {"servers": ["plain", "old"]}, "bare": {"servers": ["plain"]}}}
        async with running_gateway(urls | groups, tmp_path) as gateway:
            paths = ["/mcp", "/groups/some/mcp", "/groups/bare/mcp", *(f"/servers/{name}/mcp" for name in servers)]
            for path in paths:
                await listed(gateway, "tools/list", path)
            for path in paths:
                discovered = (await listed(gateway, "server/discover", path))["result"]["capabilities"]
                initialized = (await (client := Legacy(gateway, path)).begin()).about["capabilities"]
                for method in LISTS:
                    word = method.partition("/")[0]
                    for capabilities, answer in (
                        (discovered, await listed(gateway, method, path)),
                        (initialized, await client.ask(method)),
                    ):
                        assert ("result" in answer) == (word in capabilities), (path, method)
                        if word not in capabilities:
                            assert answer["error"]["code"] == -32601
                        else:
                            assert capabilities[word]["listChanged"] is True
            about = {path: (await listed(gateway, "server/discover", path))["result"]["capabilities"] for path in paths}
            assert about["/groups/bare/mcp"] == about["/servers/plain/mcp"] == {"tools": {"listChanged": True}}
            assert about["/mcp"]["resources"] == {"subscribe": True, "listChanged": True}
            assert about["/groups/some/mcp"]["resources"] == {"listChanged": True}, (
                "only a server of the other era does"
            )
            answer = await gateway.modern("prompts/list", path="/servers/plain/mcp")
            assert answer.status == 404


@pytest.mark.point(30)
@pytest.mark.trap(38)
async def test_whatever_two_servers_both_offer_is_reached_at_each_of_them(tmp_path: Path) -> None:
    async with McpServer(modern=True) as one, McpServer(legacy=True) as two:
        servers = {"a": {"url": offering(one).url}, "a-b": {"url": offering(two).url}}
        async with running_gateway({"servers": servers}, tmp_path) as gateway:
            names = await seen(gateway)
            assert [len(set(names[member])) for member in ("tools", "prompts", "resourceTemplates")] == [4, 2, 2]
            for slug, server in (("a", one), ("a-b", two)):
                before = {
                    method: len(server.named(method)) for method in ("tools/call", "prompts/get", "resources/read")
                }
                assert "result" in await gateway.call(f"{slug}__echo", {"x": 1})
                prompt = await listed(gateway, "prompts/get", name=f"{slug}__greet", arguments={"who": "é"})
                assert prompt["result"]["asked"]["name"] == "greet"
                for uri in ("file:///README.md", "file:///in/no/list?a=1#b"):
                    assert (await read(gateway, f"{slug}+{uri}"))["result"]["asked"]["uri"] == uri
                page = (await read(gateway, f"ui://{slug}/board/index.html"))["result"]["asked"]
                assert page["uri"] == PAGE
                after = {method: len(server.named(method)) - count for method, count in before.items()}
                assert after == {"tools/call": 1, "prompts/get": 1, "resources/read": 3}


@pytest.mark.point(35)
@pytest.mark.parametrize("naming", ["prefixed", "original"])
async def test_a_page_is_found_by_the_uri_that_its_tool_advertises(tmp_path: Path, naming: str) -> None:
    async with McpServer(modern=True) as apps, McpServer(modern=True) as other:
        other.capabilities = {"tools": {}, "resources": {}}
        other.served["resources/list"] = lister([{"uri": "file:///a", "name": "a"}], "resources")
        offering(apps).capabilities["extensions"] = {"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html"]}}
        servers = {"files": {"url": other.url}, "apps": {"url": apps.url}}
        async with running_gateway({"servers": servers, "aggregate": {"names": naming}}, tmp_path) as gateway:
            tools = {tool["name"]: tool for tool in (await listed(gateway, "tools/list"))["result"]["tools"]}
            shown = tools["apps__show" if naming == "prefixed" else "show"]
            assert shown["_meta"]["ui"]["visibility"] == ["app"], "who may see a tool is the client's affair"
            uri = shown["_meta"]["ui"]["resourceUri"]
            assert uri == (PAGE if naming == "original" else "ui://apps/board/index.html")
            assert (await read(gateway, uri))["result"]["asked"]["uri"] == PAGE
            about = (await listed(gateway, "server/discover"))["result"]["capabilities"]
            assert about["extensions"] == {"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html"]}}


@pytest.mark.point(37)
async def test_an_argument_is_completed_by_the_server_that_its_ref_names(tmp_path: Path) -> None:
    async with McpServer(modern=True) as one, McpServer(modern=True) as two:
        servers = {"one": {"url": offering(one).url}, "two": {"url": offering(two).url}}
        async with running_gateway({"servers": servers}, tmp_path) as gateway:
            await seen(gateway)
            argument = {"name": "who", "value": "a"}
            for ref, own in (
                ({"type": "ref/prompt", "name": "two__greet"}, {"type": "ref/prompt", "name": "greet"}),
                (
                    {"type": "ref/resource", "uri": "two+file:///{+path}"},
                    {"type": "ref/resource", "uri": "file:///{+path}"},
                ),
            ):
                found = await listed(gateway, "completion/complete", ref=ref, argument=argument)
                assert (found["result"]["completion"]["values"], found["result"]["asked"]["ref"]) == (["v"], own)
            for ref in ({"type": "ref/prompt", "name": "greet"}, {"type": "ref/resource", "uri": "nope:///{a}"}, {}):
                refused = await listed(gateway, "completion/complete", ref=ref, argument=argument)
                assert refused["error"]["code"] == -32602
            assert one.named("completion/complete") == []


async def test_a_resource_of_nobody_is_told_by_its_uri(tmp_path: Path) -> None:
    async with (
        McpServer(modern=True) as server,
        running_gateway({"servers": {"docs": {"url": offering(server).url}}}, tmp_path) as gateway,
    ):
        await seen(gateway)
        error = (await read(gateway, "file:///README.md"))["error"]
        assert (error["code"], error["data"]) == (-32602, {"uri": "file:///README.md"})


@pytest.mark.point(28)
async def test_cursors_of_one_list_are_no_cursors_of_another_and_garbage_is_refused(tmp_path: Path) -> None:
    many = {**OFFERED, "prompts/list": [{"name": f"p{number}"} for number in range(2_500)]}
    async with (
        McpServer(modern=True) as server,
        running_gateway({"servers": {"docs": {"url": offering(server, many).url}}}, tmp_path) as gateway,
    ):
        names: list[str] = []
        page = (await listed(gateway, "prompts/list"))["result"]
        first = page["nextCursor"]
        while True:
            names += [prompt["name"] for prompt in page["prompts"]]
            if "nextCursor" not in page:
                break
            page = (await listed(gateway, "prompts/list", cursor=page["nextCursor"]))["result"]
        assert names == [f"docs__p{number}" for number in range(2_500)]
        for method, cursor in (("tools/list", first), ("prompts/list", ""), ("prompts/list", "x"), ("tools/list", "é")):
            refused = await listed(gateway, method, cursor=cursor)
            assert refused["error"]["code"] == -32602, (method, cursor)


@pytest.mark.point(29)
@pytest.mark.trap(34)
@pytest.mark.trap(39)
async def test_a_list_that_cannot_be_had_hides_neither_other_lists_nor_other_servers(tmp_path: Path) -> None:
    """One server hangs, one lists nonsense, one refuses its prompts, and one is well."""

    async def hang(asked: Asked) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def nonsense(asked: Asked) -> web.Response:
        return asked.result({"prompts": 7, "resources": [None, {"uri": 7}, {}, {"uri": "file:///ok", "name": "n"}]})

    async def refuse(asked: Asked) -> web.Response:
        return asked.error(-32603, "disk on fire")

    async with (
        McpServer(modern=True) as hanging,
        McpServer(modern=True) as odd,
        McpServer(modern=True) as broken,
        McpServer(modern=True) as well,
    ):
        offering(hanging).served |= dict.fromkeys(LISTS, hang)
        offering(odd).served |= {"prompts/list": nonsense, "resources/list": nonsense}
        offering(broken).served["prompts/list"] = refuse
        peers = {"hanging": hanging, "odd": odd, "broken": broken, "well": offering(well)}
        servers = {name: {"url": server.url} for name, server in peers.items()}
        async with running_gateway({"servers": servers}, tmp_path) as gateway:
            async with asyncio.timeout(6):
                names = await seen(gateway)
            slugs = {
                member: {name.partition("_")[0].partition("+")[0] for name in found} for member, found in names.items()
            }
            assert slugs["tools"] == {"odd", "broken", "well"}
            assert slugs["prompts"] == {"well"}
            assert {"odd+file:///ok", "broken+file:///README.md", "well+file:///README.md"} <= set(names["resources"])


@pytest.mark.point(27)
async def test_a_list_that_fails_later_stays_as_it_was_and_is_had_again(tmp_path: Path) -> None:
    async def refuse(asked: Asked) -> web.Response:
        return asked.error(-32603, "disk on fire")

    async def change(asked: Asked) -> web.StreamResponse:
        await asked.say({"method": "notifications/tools/list_changed"})
        return await asked.end({"content": []})

    async with McpServer(modern=True) as server:
        offering(server).tools["echo"] = change
        config = {"servers": {"docs": {"url": server.url}}}
        async with running_gateway(config, tmp_path) as gateway:
            await gateway.until(lambda: has(gateway, "prompts/list", "docs__greet"))
            server.served["prompts/list"] = refuse
            server.served["tools/list"] = lister([{"name": "echo"}, {"name": "fresh"}], "tools")
            await gateway.call("docs__echo")
            await gateway.until(lambda: has(gateway, "tools/list", "docs__fresh"))
            assert await has(gateway, "prompts/list", "docs__greet")
            server.served["prompts/list"] = lister([{"name": "part"}], "prompts")
            await gateway.call("docs__echo")
            await gateway.until(lambda: has(gateway, "prompts/list", "docs__part"))
            await gateway.until(lambda: stored(gateway, b"part"))
    async with running_gateway({"servers": {"docs": {"url": server.url}}}, tmp_path) as reborn:
        assert (await seen(reborn))["prompts"] == ["docs__part"], "a restart knows every list, the server being gone"


async def has(gateway: RunningGateway, method: str, name: str) -> bool:
    result = (await listed(gateway, method)).get("result", {})
    return any(name == entry["name"] for entry in result.get(LISTS[method], ()))


async def stored(gateway: RunningGateway, word: bytes) -> bool:
    """Whether the database knows the catalog with `word` in it."""
    return any(word in row["prompts"] for row in await gateway.rows(server_catalogs))
