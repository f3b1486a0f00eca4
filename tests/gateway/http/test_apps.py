"""MCP Apps through the doors: pages keep their scheme, their tools are listed, and they reach the tools they know."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.protocol.versions import Era
from tests.gateway.http.test_interaction import request
from tests.support.doors import House, Relaying, house

UI = "io.modelcontextprotocol/ui"
EXTENSION = {UI: {"mimeTypes": ["text/html;profile=mcp-app"]}}
PAGE = "ui://charts/view.html"


def tool(name: str, **ui: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": {"type": "object"}, "_meta": {"ui": ui} if ui else {}}


SHOWN = tool("show", resourceUri=PAGE)
REFRESH = tool("refresh", resourceUri=PAGE, visibility=["app"])
FOR_MODELS = tool("think", resourceUri=PAGE, visibility=["model"])
FLAT = {"name": "old", "inputSchema": {}, "_meta": {"ui/resourceUri": PAGE, "x": 1}}
OFFER = {
    "tools": [SHOWN, REFRESH, FOR_MODELS, FLAT],
    "resources": [{"uri": "ui://charts/listed.html", "mimeType": "text/html;profile=mcp-app"}],
    "capabilities": {"tools": {}, "resources": {}, "extensions": EXTENSION},
}
PLAIN = {"tools": [tool("now")], "capabilities": {"tools": {}}}


async def result(h: House, era: Era, method: str, params: dict[str, Any], path: str) -> Any:
    if era is Era.MODERN:
        more = {"headers": {"Mcp-Name": params["uri"]}} if "uri" in params else {}
        answer = await h.modern(method, params, path=path, **more)
    else:
        answer = await h.legacy(request(method, params), session=await h.initialize(path), path=path)
    return await answer.json()


both = pytest.mark.parametrize("era", list(Era))


@both
class TestApps:
    async def test_on_its_own_endpoint_a_server_shows_its_tools_byte_for_byte(self, era: Era) -> None:
        async with house({"charts": era}, offers={"charts": OFFER}) as h:
            if era is Era.MODERN:
                text = await (await h.modern("tools/list", path="/servers/charts/mcp")).text()
            else:
                session = await h.initialize("/servers/charts/mcp")
                text = await (await h.legacy(request("tools/list"), session=session, path="/servers/charts/mcp")).text()
            for definition in OFFER["tools"]:
                assert msgspec.json.encode(definition).decode() in text

    @pytest.mark.point(35)
    async def test_on_an_aggregate_pages_are_named_by_their_server_under_their_own_scheme(self, era: Era) -> None:
        async with house({"charts": era}, offers={"charts": OFFER}) as h:
            tools = (await result(h, era, "tools/list", {}, "/mcp"))["result"]["tools"]
            page = "ui://charts/charts/view.html"
            assert [one["name"] for one in tools] == [f"charts__{one['name']}" for one in OFFER["tools"]]
            assert [one["_meta"] for one in tools] == [
                {"ui": {"resourceUri": page}},
                {"ui": {"resourceUri": page, "visibility": ["app"]}},
                {"ui": {"resourceUri": page, "visibility": ["model"]}},
                {"ui/resourceUri": page, "x": 1},
            ]
            listed = (await result(h, era, "resources/list", {}, "/mcp"))["result"]["resources"]
            assert listed[0]["uri"] == "ui://charts/charts/listed.html"

    @pytest.mark.point(35)
    @pytest.mark.parametrize(("path", "uri"), [("/mcp", "ui://charts/charts/view.html"), ("/servers/charts/mcp", PAGE)])
    async def test_a_page_that_stands_in_no_list_is_read(self, era: Era, path: str, uri: str) -> None:
        def page(call: Any, relay: Relaying) -> None:
            csp = '"_meta":{"ui":{"csp":{"connectDomains":["https://x"]},"n":1.10}}'
            complete = '"resultType":"complete",' if era is Era.MODERN else ""
            relay.result(f'{{{complete}"contents":[{{"uri":"{PAGE}","text":"<a href=\'{PAGE}\'>",{csp}}}]}}'.encode())

        async with house({"charts": era, "other": era}, offers={"charts": OFFER, "other": PLAIN}) as h:
            h.servers["charts"].behaviour = page
            contents = (await result(h, era, "resources/read", {"uri": uri}, path))["result"]["contents"]
            assert contents == [
                {
                    "uri": uri,
                    "text": f"<a href='{PAGE}'>",
                    "_meta": {"ui": {"csp": {"connectDomains": ["https://x"]}, "n": 1.1}},
                }
            ]
            assert h.servers["charts"].calls[0].target == PAGE

    @pytest.mark.point(35)
    @pytest.mark.parametrize("path", ["/mcp", "/servers/charts/mcp"])
    async def test_the_extension_and_its_settings_are_advertised(self, era: Era, path: str) -> None:
        async with house({"charts": era, "other": era}, offers={"charts": OFFER, "other": PLAIN}) as h:
            if era is Era.MODERN:
                said = (await result(h, era, "server/discover", {}, path))["result"]
            else:
                hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}}
                said = (await (await h.legacy(request("initialize", hello), path=path)).json())["result"]
            assert said["capabilities"]["extensions"] == EXTENSION

    @pytest.mark.parametrize(
        ("name", "reaches"),
        [("refresh", "refresh"), ("show", "show"), ("charts__refresh", "refresh"), ("think", None), ("old", None)],
    )
    async def test_a_page_calls_a_tool_of_its_server_by_the_name_it_knows(
        self, era: Era, name: str, reaches: str | None
    ) -> None:
        async with house({"charts": era, "other": era}, offers={"charts": OFFER, "other": PLAIN}) as h:
            answer = await result(h, era, "tools/call", {"name": name, "arguments": {}}, "/mcp")
            assert [call.target for call in h.servers["charts"].calls] == ([] if reaches is None else [reaches])
            if reaches is None:
                assert answer["error"]["message"] == f"Unknown tool: {name}"
            else:
                assert answer["result"]["content"] == []

    async def test_a_name_that_two_servers_have_for_pages_means_neither(self, era: Era) -> None:
        async with house({"a": era, "b": era}, offers={"a": {"tools": [REFRESH]}, "b": {"tools": [REFRESH]}}) as h:
            answer = await result(h, era, "tools/call", {"name": "refresh", "arguments": {}}, "/mcp")
            assert answer["error"]["code"] == -32602
            assert not h.servers["a"].calls + h.servers["b"].calls


async def test_a_result_names_its_page_under_the_endpoints_name() -> None:
    def shown(call: Any, relay: Relaying) -> None:
        relay.result(
            b'{"resultType":"complete","content":[],"_meta":{"ui":{"resourceUri":"%b"},"n":1.10}}' % PAGE.encode()
        )

    async with house({"charts": Era.MODERN}, offers={"charts": OFFER}) as h:
        h.servers["charts"].behaviour = shown
        params = {"name": "charts__show", "arguments": {}}
        text = await (await h.modern("tools/call", params)).text()
        assert '"_meta":{"ui":{"resourceUri":"ui://charts/charts/view.html"},"n":1.10}' in text
        text = await (await h.modern("tools/call", {**params, "name": "show"}, path="/servers/charts/mcp")).text()
        assert f'"_meta":{{"ui":{{"resourceUri":"{PAGE}"}},"n":1.10}}' in text


@pytest.mark.parametrize("visibility", [7, "app", [], ["model"], [7]], ids=lambda value: str(value))
async def test_a_tool_that_does_not_say_that_pages_may_call_it_is_called_by_its_exposed_name_alone(
    visibility: Any,
) -> None:
    async with house({"a": Era.MODERN}, offers={"a": {"tools": [tool("x", visibility=visibility)]}}) as h:
        answer = await h.modern("tools/call", {"name": "x", "arguments": {}})
        assert (await answer.json())["error"]["message"] == "Unknown tool: x"
