from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.cli import parser_for
from gateway.cli.call import default_url, url_of
from gateway.cli.failures import Failed, Misused
from gateway.config import ConfigErrors
from gateway.settings import Listen
from tests.gateway.cli.endpoint import Stream, serving, text

MODERN = "2026-07-28"
PROGRESS = {"method": "notifications/progress", "params": {"progressToken": 1, "progress": 1, "total": 2}}
LOG = {"method": "notifications/message", "params": {"level": "info", "data": "half way"}}


async def call(*words: str) -> int:
    arguments = parser_for(["call"]).parse_args(["call", *words])
    return int(await arguments.handler(arguments))


def offered(*names: str) -> Any:
    return lambda _: {"result": {"tools": [{"name": name} for name in names]}}


def unknown(_: Any) -> Any:
    return {"error": {"code": -32602, "message": "Unknown tool"}}


class TestTheAnswer:
    async def test_text_goes_to_stdout(self, capsys: pytest.CaptureFixture[str]) -> None:
        async with serving(tools__call=lambda _: text("hello", "world")) as endpoint:
            assert await call("a__b", "--url", endpoint.url) == 0
        assert capsys.readouterr() == ("hello\nworld\n", "")

    async def test_a_tools_error_goes_to_stderr_and_fails_the_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        async with serving(tools__call=lambda _: text("no such zone", isError=True)) as endpoint:
            assert await call("a__b", "--url", endpoint.url) == 1
        assert capsys.readouterr() == ("", "no such zone\n")

    async def test_json_is_printed_as_it_arrived(self, capsys: pytest.CaptureFixture[str]) -> None:
        result = '{"content":[],"structuredContent":{"z":1.10,"a":1e2,"s":"\\u00e9\\ud800"},"isError":true}'
        body = f'{{"jsonrpc":"2.0","id":1,"result":{result}}}'
        answer = lambda _: web.Response(text=body, content_type="application/json")  # noqa: E731
        async with serving(tools__call=answer) as endpoint:
            assert await call("a__b", "--url", endpoint.url, "--json") == 1
        assert capsys.readouterr() == (f"{result}\n", "")

    @pytest.mark.parametrize("era", ["modern", "legacy"])
    async def test_progress_and_log_messages_go_to_stderr(self, era: str, capsys: pytest.CaptureFixture[str]) -> None:
        def answer(message: dict[str, Any]) -> Stream:
            return Stream((PROGRESS, LOG, {"id": message["id"], **text("done")}))

        async with serving(initialize=initialized, tools__call=answer, DELETE=ended) as endpoint:
            assert await call("a__b", "--url", endpoint.url, "--era", era) == 0
        assert capsys.readouterr() == ("done\n", "progress 1/2\n[info] half way\n")


class TestTheModernWire:
    async def test_every_header_and_reserved_key_is_sent(self) -> None:
        async with serving(tools__call=lambda _: text()) as endpoint:
            await call("zeit__now", "--url", endpoint.url, "--key", "k1")
        (seen,) = endpoint.seen
        expected = {
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
            "MCP-Protocol-Version": MODERN,
            "Mcp-Method": "tools/call",
            "Mcp-Name": "zeit__now",
            "Authorization": "Bearer k1",
        }
        assert expected.items() <= dict(seen.headers).items()
        meta = seen.message["params"]["_meta"]
        assert meta["io.modelcontextprotocol/protocolVersion"] == MODERN
        assert meta["io.modelcontextprotocol/clientCapabilities"] == {}
        assert meta["io.modelcontextprotocol/clientInfo"]["name"] == "mcp-gateway-call"
        assert meta["progressToken"] == seen.message["id"]

    async def test_a_name_beyond_ascii_is_encoded_in_its_header(self) -> None:
        async with serving(tools__call=lambda _: text()) as endpoint:
            await call("zeit__jetzt_ü", "--url", endpoint.url)
        assert endpoint.seen[0].headers["Mcp-Name"] == "=?base64?emVpdF9famV0enRfw7w=?="
        assert endpoint.seen[0].message["params"]["name"] == "zeit__jetzt_ü"

    async def test_without_a_key_no_authorization_is_sent(self) -> None:
        async with serving(tools__call=lambda _: text()) as endpoint:
            await call("a__b", "--url", endpoint.url)
        assert "Authorization" not in endpoint.seen[0].headers

    async def test_arguments_that_the_tool_wants_in_headers_are_sent_in_headers_too(self) -> None:
        region = {"type": "string", "x-mcp-header": "Region"}
        tool = {"name": "a__b", "inputSchema": {"type": "object", "properties": {"region": region}}}
        refusal = {"error": {"code": -32020, "message": "Mcp-Param-Region is missing"}}

        def answer(_: dict[str, Any]) -> dict[str, Any]:
            return text("done") if "Mcp-Param-Region" in endpoint.seen[-1].headers else refusal

        async with serving(tools__call=answer, tools__list=lambda _: {"result": {"tools": [tool]}}) as endpoint:
            assert await call("a__b", "--url", endpoint.url, "--input", '{"region": "süd"}') == 0
        assert endpoint.seen[-1].headers["Mcp-Param-Region"] == "=?base64?c8O8ZA==?="

    async def test_a_mismatch_without_a_remedy_is_told(self) -> None:
        refuse = lambda _: {"error": {"code": -32020, "message": "Header mismatch"}}  # noqa: E731
        async with serving(tools__call=refuse, tools__list=offered("a__b")) as endpoint:
            with pytest.raises(Failed, match="Header mismatch"):
                await call("a__b", "--url", endpoint.url)
        assert len(endpoint.called("tools/call")) == 1

    async def test_a_request_for_input_fails_with_what_was_asked(self) -> None:
        asked = {"resultType": "input_required", "inputRequests": {"who": {"method": "elicitation/create"}}}
        async with serving(tools__call=lambda _: {"result": asked}) as endpoint:
            with pytest.raises(Failed, match=r"asks for input .elicitation/create."):
                await call("a__b", "--url", endpoint.url)


class TestTheLegacyWire:
    async def test_a_session_is_opened_used_and_ended(self, capsys: pytest.CaptureFixture[str]) -> None:
        async with serving(initialize=initialized, tools__call=lambda _: text("hi"), DELETE=ended) as endpoint:
            assert await call("a__b", "--url", endpoint.url, "--era", "legacy") == 0
        assert capsys.readouterr().out == "hi\n"
        methods = [one.message["method"] if one.text else one.verb for one in endpoint.seen]
        assert methods == ["initialize", "notifications/initialized", "tools/call", "DELETE"]
        for one in endpoint.seen[1:]:
            assert one.headers["Mcp-Session-Id"] == "s-1"
            assert one.headers["MCP-Protocol-Version"] == "2025-06-18"

    async def test_the_session_is_ended_after_a_failure_too(self) -> None:
        broken = lambda _: {"error": {"code": -32603, "message": "broken"}}  # noqa: E731
        async with serving(initialize=initialized, tools__call=broken, DELETE=ended) as endpoint:
            with pytest.raises(Failed, match="broken"):
                await call("a__b", "--url", endpoint.url, "--era", "legacy")
        assert endpoint.seen[-1].verb == "DELETE"

    async def test_a_session_that_cannot_be_ended_does_not_spoil_the_answer(self) -> None:
        gone = lambda _: web.Response(status=500)  # noqa: E731
        async with serving(initialize=initialized, tools__call=lambda _: text("hi"), DELETE=gone) as endpoint:
            assert await call("a__b", "--url", endpoint.url, "--era", "legacy") == 0

    async def test_a_version_that_is_not_spoken_here_is_told(self) -> None:
        old = lambda _: {"result": {"protocolVersion": "2023-01-01"}}  # noqa: E731
        async with serving(initialize=old) as endpoint:
            with pytest.raises(Failed, match=r"speaks version 2023-01-01 of the protocol, this command 2025-11-25"):
                await call("a__b", "--url", endpoint.url, "--era", "legacy")

    async def test_a_servers_ping_is_answered_and_its_other_requests_are_refused(self) -> None:
        def answer(message: dict[str, Any]) -> Stream:
            asks = ({"id": 7, "method": "ping"}, {"id": "8", "method": "roots/list"})
            return Stream((*asks, {"id": message["id"], **text()}))

        async with serving(initialize=initialized, tools__call=answer, DELETE=ended) as endpoint:
            assert await call("a__b", "--url", endpoint.url, "--era", "legacy") == 0
        replies = [one.message for one in endpoint.seen if one.text and "method" not in one.message]
        assert replies[0] == {"jsonrpc": "2.0", "id": 7, "result": {}}
        assert (replies[1]["id"], replies[1]["error"]["code"]) == ("8", -32601)


class TestTheArguments:
    async def sent(self, given: str) -> str:
        async with serving(tools__call=lambda _: text()) as endpoint:
            assert await call("a__b", "--url", endpoint.url, "--input", given) == 0
        return endpoint.seen[0].text

    async def test_they_keep_their_bytes(self) -> None:
        exact = '{"z": 1.10, "a": 1e2, "big": 10000000000000000000000, "s": "\\u00e9\\/\\ud800"}'
        assert f'"arguments":{exact}' in await self.sent(f" {exact}\n")

    async def test_they_are_read_from_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "arguments.json"
        file.write_text('{"who": "王"}', encoding="utf-8")
        assert json.loads(await self.sent(f"@{file}"))["params"]["arguments"] == {"who": "王"}

    async def test_without_input_there_are_none(self) -> None:
        async with serving(tools__call=lambda _: text()) as endpoint:
            await call("a__b", "--url", endpoint.url)
        assert endpoint.seen[0].message["params"]["arguments"] == {}

    @pytest.mark.parametrize(
        ("given", "complaint"),
        [
            ('{"a": 1,\n "b" 2}', "--input is not JSON: Expecting ':' delimiter at line 2, column 6"),
            ('{"a": NaN}', "--input is not JSON: NaN is no JSON number"),
            ("[1]", "--input must be a JSON object"),
            ("@missing.json", "--input @missing.json: No such file or directory"),
            ('{"a":' * 100_000, "--input is nested too deep"),
        ],
    )
    async def test_bad_input_is_told_with_its_place(self, given: str, complaint: str) -> None:
        with pytest.raises(Misused) as ended:
            await call("a__b", "--url", "http://127.0.0.1:1/mcp", "--input", given)
        assert complaint in str(ended.value)

    async def test_a_file_that_is_not_text_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "bytes").write_bytes(b"\xff\xfe")
        with pytest.raises(Misused, match="no UTF-8 at byte 0"):
            await call("a__b", "--url", "http://127.0.0.1:1/mcp", "--input", f"@{tmp_path / 'bytes'}")


class TestFailures:
    async def test_a_gateway_that_is_not_running_says_how_to_start_one(self, unused_tcp_port: int) -> None:
        with pytest.raises(
            Failed, match=r"nothing answers at http://127.0.0.1:\d+/mcp; .*`make run`.*mcp-gateway serve"
        ):
            await call("a__b", "--url", f"http://127.0.0.1:{unused_tcp_port}/mcp")

    @pytest.mark.parametrize("url", ["127.0.0.1:8080/mcp", "http://", "file:///mcp"])
    async def test_a_url_that_is_none_is_told(self, url: str) -> None:
        with pytest.raises(Failed, match="is no URL of an MCP endpoint"):
            await call("a__b", "--url", url)

    async def test_a_key_that_no_header_can_carry_is_refused(self) -> None:
        with pytest.raises(Misused, match="API key"):
            await call("a__b", "--url", "http://127.0.0.1:1/mcp", "--key", "a\r\nX-Evil: 1")

    async def test_an_unknown_tool_is_answered_with_the_nearest_names(self) -> None:
        names = ("time__get_current_time", "time__convert_time", "git__git_log")
        async with serving(tools__call=unknown, tools__list=offered(*names)) as endpoint:
            with pytest.raises(Failed, match=r"no tool time__get_curent_time; did you mean time__get_current_time"):
                await call("time__get_curent_time", "--url", endpoint.url)

    async def test_a_name_like_no_other_is_answered_with_where_to_look(self) -> None:
        async with serving(tools__call=unknown, tools__list=offered("git__git_log")) as endpoint:
            with pytest.raises(Failed, match="servers --tools"):
                await call("xyz", "--url", endpoint.url)

    async def test_every_page_of_names_is_considered(self) -> None:
        def page(message: dict[str, Any]) -> dict[str, Any]:
            if message["params"].get("cursor") == "2":
                return {"result": {"tools": [{"name": "time__convert_time"}]}}
            return {"result": {"tools": [{"name": "git__git_log"}], "nextCursor": "2"}}

        async with serving(tools__call=unknown, tools__list=page) as endpoint:
            with pytest.raises(Failed, match="time__convert_time"):
                await call("time__convert_tim", "--url", endpoint.url)

    async def test_bad_arguments_of_a_known_tool_are_the_servers_words(self) -> None:
        refuse = lambda _: {"error": {"code": -32602, "message": "zone is missing", "data": {"at": "zone"}}}  # noqa: E731
        async with serving(tools__call=refuse, tools__list=offered("a__b")) as endpoint:
            with pytest.raises(Failed) as ended:
                await call("a__b", "--url", endpoint.url)
        assert str(ended.value) == 'zone is missing (JSON-RPC error -32602) {"at": "zone"}'

    async def test_a_missing_key_is_told(self) -> None:
        async with serving(tools__call=lambda _: web.Response(status=401)) as endpoint:
            with pytest.raises(Failed, match=r"wants an API key: --key or .*MCP_GATEWAY_KEY"):
                await call("a__b", "--url", endpoint.url)

    @pytest.mark.parametrize(
        ("response", "complaint"),
        [
            (lambda: web.Response(status=502, text="<html>"), "answered 502 Bad Gateway, but sent no answer"),
            (lambda: web.Response(text="", content_type="text/event-stream"), "sent no answer to the request"),
            (lambda: web.Response(text="{", content_type="application/json"), "no JSON-RPC message"),
            (lambda: web.json_response({"jsonrpc": "2.0", "id": 1, "result": 7}), "no JSON object"),
            (lambda: web.json_response({"jsonrpc": "2.0", "id": 1, "error": {}}), "without a code or a message"),
        ],
    )
    async def test_an_endpoint_that_does_not_speak_mcp_is_told(self, response: Any, complaint: str) -> None:
        async with serving(tools__call=lambda _: response()) as endpoint:
            with pytest.raises(Failed, match=complaint):
                await call("a__b", "--url", endpoint.url)

    async def test_a_silent_gateway_is_given_up_after_the_timeout(self) -> None:
        writers: list[asyncio.StreamWriter] = []
        async with await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(Failed, match=r"no answer within 0.05 s; --timeout waits longer"):
                await call("a__b", "--url", f"http://127.0.0.1:{port}/mcp", "--timeout", "0.05")
            for writer in writers:
                writer.close()


class TestTheDefaultUrl:
    def test_without_a_file_it_is_the_default_address(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert default_url(None) == "http://127.0.0.1:8080/mcp"

    def test_it_is_where_config_yaml_listens(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "config.yaml").write_text("listen: {port: 9999}")
        monkeypatch.chdir(tmp_path)
        assert default_url(None) == "http://127.0.0.1:9999/mcp"

    def test_it_is_where_the_named_file_listens(self, tmp_path: Path) -> None:
        (tmp_path / "other.yaml").write_text('listen: {host: "::1", port: 9998}')
        assert default_url(str(tmp_path / "other.yaml")) == "http://[::1]:9998/mcp"

    def test_servers_that_need_foreign_variables_are_no_obstacle(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        servers = "servers: {a: {url: 'http://a/mcp', headers: {X: '${NOT_SET_HERE}'}}}"
        (tmp_path / "config.yaml").write_text(f"listen: {{port: 9998}}\n{servers}")
        monkeypatch.chdir(tmp_path)
        assert default_url(None) == "http://127.0.0.1:9998/mcp"
        assert capsys.readouterr().err == ""

    def test_an_address_that_needs_foreign_variables_is_told_and_the_usual_one_is_tried(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "config.yaml").write_text("listen: {port: '${NOT_SET_HERE}'}")
        monkeypatch.chdir(tmp_path)
        assert default_url(None) == "http://127.0.0.1:8080/mcp"
        assert "mcp-gateway check" in capsys.readouterr().err

    def test_problems_of_a_named_file_are_told(self, tmp_path: Path) -> None:
        (tmp_path / "bad.yaml").write_text("listen: {port: many}")
        with pytest.raises(ConfigErrors, match=r"bad.yaml:1"):
            default_url(str(tmp_path / "bad.yaml"))

    @pytest.mark.parametrize("host", ["0.0.0.0", "::"])
    def test_every_address_is_reached_on_loopback(self, host: str) -> None:
        assert url_of(Listen(host=host)) in {"http://127.0.0.1:8080/mcp", "http://[::1]:8080/mcp"}


def initialized(_: dict[str, Any]) -> web.Response:
    result = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
    return web.json_response({"jsonrpc": "2.0", "id": 1, "result": result}, headers={"Mcp-Session-Id": "s-1"})


def ended(_: dict[str, Any]) -> web.Response:
    return web.Response(status=204)
