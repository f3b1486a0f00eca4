"""What is kept of calls, as the admin's words have it, and who, where, when and how for every kind of call."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from storage.schema import server_call_payloads
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.mcp_http import Asked, McpServer, text

SECRET = "4711-0815"
ARGUMENTS = {"ssn": SECRET, "price": 1.10, "list": [{"pin": SECRET}]}


async def told(asked: Asked) -> Any:
    return asked.result({"resultType": "complete", **text(f"your number is {SECRET}")})


async def failed(asked: Asked) -> Any:
    return asked.result({"resultType": "complete", **text(f"{SECRET} is wrong"), "isError": True})


@pytest.fixture
async def server() -> Any:
    async with McpServer(modern=True) as server:
        server.tools |= {"echo": told, "count": failed}
        yield server


def config(server: McpServer, recording: Any, **common: Any) -> dict[str, Any]:
    return {"servers": {"demo": {"url": server.url, "recording": recording}}, "recording": common}


async def row(gateway: RunningGateway, tool: str = "demo__echo") -> dict[str, Any]:
    await gateway.call(tool, ARGUMENTS)
    return (await gateway.rows())[-1]


@pytest.mark.trap(58)
async def test_hidden_values_are_nowhere_and_the_others_are_as_they_were(server: McpServer, tmp_path: Path) -> None:
    hide = {"hide": ["$.arguments.ssn", "$..pin", "$.content[*].text"]}
    async with running_gateway(config(server, hide, exact="always"), tmp_path) as gateway:
        found, wrong = await row(gateway), await row(gateway, "demo__count")
        bodies = [bytes(one["body"]) for one in await gateway.rows(server_call_payloads)]
    arguments = json.loads(found["request_data"])["arguments"]
    assert arguments == {"ssn": "[redacted]", "price": 1.10, "list": [{"pin": "[redacted]"}]}
    assert json.loads(found["response_data"])["content"] == [{"type": "text", "text": "[redacted]"}]
    assert (wrong["outcome"], wrong["error_message"]) == ("tool_error", "[not captured]")
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET.encode() not in kept + b"".join(bodies)


async def test_metadata_is_sizes_and_hashes_and_none_is_not_even_these(server: McpServer, tmp_path: Path) -> None:
    tools = [{"name": "cou*", "capture": "none"}]
    async with running_gateway(config(server, {"capture": "metadata", "tools": tools}), tmp_path) as gateway:
        some, nothing = await row(gateway), await row(gateway, "demo__count")
        assert await gateway.rows(server_call_payloads) == []
    omitted = json.loads(some["request_data"])
    assert (omitted["$omitted"], omitted["bytes"], len(omitted["sha256"])) == ("capture", some["request_bytes"], 64)
    assert some["response_bytes"] > 0
    assert (json.loads(nothing["request_data"]), json.loads(nothing["response_data"])) == ({"$omitted": "capture"},) * 2
    assert (nothing["request_bytes"], nothing["response_bytes"]) == (None, None)
    assert (nothing["outcome"], nothing["error_message"], nothing["target"]) == (
        "tool_error",
        "[not captured]",
        "count",
    )


async def test_a_changed_file_changes_what_is_kept(server: McpServer, tmp_path: Path) -> None:
    async with running_gateway(config(server, {"capture": "full"}), tmp_path) as gateway:
        assert "ssn" in (await row(gateway))["request_data"]
        whole = json.loads(gateway.file.read_text())
        whole["servers"]["demo"]["recording"] = {"capture": "none"}
        gateway.write(whole)

        async def is_in_force() -> bool:
            return json.loads((await row(gateway))["request_data"]) == {"$omitted": "capture"}

        await gateway.until(is_in_force)


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_every_kind_of_call_says_who_where_when_and_how(era: str, tmp_path: Path) -> None:
    async def answer(asked: Asked) -> Any:
        return asked.result({} if era == "legacy" else {"resultType": "complete"})

    async with McpServer(**{era: True}) as server:
        server.capabilities = {name: {} for name in ("tools", "prompts", "resources", "completions")}
        server.served |= {
            "prompts/list": lambda asked: _listed(asked, "prompts", {"name": "p"}),
            "resources/list": lambda asked: _listed(asked, "resources", {"uri": "a:b", "name": "r"}),
            "resources/templates/list": lambda asked: _listed(asked, "resourceTemplates"),
            "prompts/get": answer,
            "resources/read": answer,
            "completion/complete": answer,
        }
        digest = hashlib.sha256(b"secret-key").hexdigest()
        settings = {
            "servers": {"demo": {"url": server.url}},
            "auth": {"keys": [{"name": "ci", "user": "ann", "sha256": digest}]},
        }
        async with running_gateway(settings, tmp_path) as gateway:
            trace = f"00-{'ab' * 16}-{'cd' * 8}-01"
            for method, params in (
                ("tools/call", {"name": "echo", "arguments": {}}),
                ("prompts/get", {"name": "p"}),
                ("resources/read", {"uri": "a:b"}),
                ("completion/complete", {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "x"}}),
            ):
                named = params.get("name") or params.get("uri")
                answered = await gateway.modern(
                    method,
                    params,
                    path="/servers/demo/mcp",
                    headers={"Authorization": "Bearer secret-key", "traceparent": trace, "Mcp-Name": named},
                    meta={"io.modelcontextprotocol/clientInfo": {"name": "tester", "version": "9"}},
                )
                assert answered.status == 200, await answered.text()
            rows = await gateway.rows()
    assert [(one["method"], one["target"]) for one in rows] == [
        ("tools/call", "echo"),
        ("prompts/get", "p"),
        ("resources/read", "a:b"),
        ("completion/complete", "p"),
    ]
    for one in rows:
        assert (one["key_name"], one["client_name"], one["client_version"]) == ("ci", "tester", "9")
        assert (one["client_era"], one["server_era"], one["trace_id"]) == ("modern", era, "ab" * 16)
        assert (one["attempts"], one["round"], one["operation_uid"]) == (1, 0, one["call_uid"])
        assert one["total_us"] >= one["upstream_us"] > 0
        assert one["started_at"] < one["finished_at"]
        assert None not in (one["user_id"], one["server_id"], one["session_id"], one["message_id"], one["request_data"])


async def _listed(asked: Asked, key: str, *found: Any) -> Any:
    modern = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"} if asked.modern else {}
    return asked.result({**modern, key: list(found)})
