"""What an endpoint says of itself and lists, over real sockets, in both eras."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.paging import PAGE_SIZE
from gateway.protocol.listed import Listed
from gateway.protocol.versions import Era
from tests.support.doors import House, house

OFFERS: dict[str, Any] = {
    "tools": [{"name": "t", "inputSchema": {"type": "object"}, "x-vendor": 1.10}],
    "prompts": [{"name": "p", "arguments": [{"name": "a", "required": True}]}],
    "resources": [{"uri": "file:///a", "name": "a"}, {"uri": "ui://page", "name": "page"}],
    "resourceTemplates": [{"uriTemplate": "file:///{+path}", "name": "files"}],
}
SHOWN: dict[Listed, tuple[list[str], list[str]]] = {
    Listed.TOOLS: (["t"], ["docs__t"]),
    Listed.PROMPTS: (["p"], ["docs__p"]),
    Listed.RESOURCES: (["file:///a", "ui://page"], ["docs+file:///a", "ui://docs/page"]),
    Listed.TEMPLATES: (["file:///{+path}"], ["docs+file:///{+path}"]),
}
"""What a server's own endpoint lists, and what the aggregate does."""

OWN = "/servers/docs/mcp"
ERAS = pytest.mark.parametrize("era", list(Era))
KINDS = pytest.mark.parametrize("kind", list(Listed))
NEEDED = {
    "prompts/get": {"name": "p"},
    "resources/read": {"uri": "file:///a"},
    "completion/complete": {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "a", "value": ""}},
}


async def ask(h: House, era: Era, method: str, params: Any = None, path: str = OWN) -> tuple[int, dict[str, Any]]:
    """Status and body of the answer to a request of a client of that era."""
    if era is Era.MODERN:
        name = (params or {}).get("name", (params or {}).get("uri"))
        answer = await h.modern(method, params, path=path, headers={"Mcp-Name": name})
    else:
        session = await h.initialize(path)
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
        answer = await h.legacy(message, session=session, path=path)
    return answer.status, json.loads(await answer.text())


async def advertised(h: House, era: Era, path: str) -> dict[str, Any]:
    if era is Era.MODERN:
        return (await ask(h, era, "server/discover", path=path))[1]["result"]["capabilities"]
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    answer = await h.legacy({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}, path=path)
    return json.loads(await answer.text())["result"]["capabilities"]


@KINDS
@ERAS
@pytest.mark.parametrize("server_era", list(Era))
async def test_every_list_is_served_to_both_eras_from_servers_of_both(kind: Listed, era: Era, server_era: Era) -> None:
    async with house({"docs": server_era}, offers={"docs": OFFERS}) as h:
        for path, expected in zip((OWN, "/mcp"), SHOWN[kind], strict=True):
            status, body = await ask(h, era, kind.method, path=path)
            assert status == 200
            assert [one[kind.key] for one in body["result"][kind]] == expected
            first = body["result"][kind][0]
            assert first == {**OFFERS[kind][0], kind.key: expected[0]}


@pytest.mark.point(15)
@KINDS
async def test_only_modern_clients_are_told_how_long_a_list_holds(kind: Listed) -> None:
    async with house({"docs": Era.MODERN}, offers={"docs": OFFERS}) as h:
        modern = (await ask(h, Era.MODERN, kind.method))[1]["result"]
        legacy = (await ask(h, Era.LEGACY, kind.method))[1]["result"]
        assert set(modern) == {kind, "resultType", "ttlMs", "cacheScope", "_meta"}
        assert (modern["resultType"], modern["cacheScope"]) == ("complete", "private")
        assert modern["ttlMs"] > 0
        assert set(legacy) == {kind}


@pytest.mark.point(9)
@ERAS
@pytest.mark.parametrize("kind", [Listed.PROMPTS, Listed.RESOURCES, Listed.TEMPLATES])
@pytest.mark.parametrize("path", [OWN, "/mcp"])
async def test_a_list_of_what_is_not_advertised_is_no_method(era: Era, kind: Listed, path: str) -> None:
    async with house({"docs": Era.MODERN}) as h:
        status, body = await ask(h, era, kind.method, path=path)
        assert body["error"]["code"] == -32601
        assert status == (404 if era is Era.MODERN else 200)


@ERAS
@KINDS
async def test_a_list_that_is_advertised_may_be_empty(era: Era, kind: Listed) -> None:
    said = {"tools": {}, "prompts": {}, "resources": {}}
    async with house({"docs": Era.MODERN}, offers={"docs": {"tools": [], "capabilities": said}}) as h:
        status, body = await ask(h, era, kind.method)
        assert (status, body["result"][kind]) == (200, [])


@pytest.mark.point(9)
@ERAS
@pytest.mark.parametrize("path", [OWN, "/mcp"])
@pytest.mark.parametrize(
    "offers",
    [
        {},
        {"prompts": OFFERS["prompts"]},
        {"resources": OFFERS["resources"], "resourceTemplates": OFFERS["resourceTemplates"]},
        {**OFFERS, "capabilities": {"tools": {}, "prompts": {}, "resources": {}, "completions": {}}},
    ],
)
async def test_what_is_advertised_is_what_works(era: Era, path: str, offers: dict[str, Any]) -> None:
    async with house({"docs": era}, offers={"docs": offers}) as h:
        said = await advertised(h, era, path)
        for kind in Listed:
            _, body = await ask(h, era, kind.method, path=path)
            assert ("result" in body) is (kind.capability in said)
        for method, capability in (("prompts/get", "prompts"), ("completion/complete", "completions")):
            _, body = await ask(h, era, method, NEEDED[method], path)
            unknown = body.get("error", {}).get("code") == -32601
            assert unknown is (capability not in said)


@pytest.mark.point(28)
@ERAS
@KINDS
async def test_pages_follow_each_other_by_cursors_of_ours(era: Era, kind: Listed) -> None:
    entries = [{kind.key: f"a:{number}", "name": f"a:{number}"} for number in range(2 * PAGE_SIZE + 1)]
    offers = {kind.value: entries} if kind is not Listed.TEMPLATES else {"resources": [], kind.value: entries}
    async with house({"docs": era}, offers={"docs": offers}) as h:
        seen: list[str] = []
        cursor, pages = None, 0
        while pages == 0 or cursor is not None:
            params = {} if cursor is None else {"cursor": cursor}
            result = (await ask(h, era, kind.method, params))[1]["result"]
            seen += [one[kind.key] for one in result[kind]]
            cursor, pages = result.get("nextCursor"), pages + 1
        assert seen == [one[kind.key] for one in entries]
        assert pages == 3


@pytest.mark.point(28)
@ERAS
@KINDS
@pytest.mark.parametrize("cursor", ["", "garbage", "WyJ0b29scyIsIm5vcGUiXQ", 7])
async def test_a_cursor_that_is_not_ours_is_invalid_params(era: Era, kind: Listed, cursor: Any) -> None:
    async with house({"docs": era}, offers={"docs": OFFERS}) as h:
        _, body = await ask(h, era, kind.method, {"cursor": cursor})
        assert body["error"]["code"] == -32602
