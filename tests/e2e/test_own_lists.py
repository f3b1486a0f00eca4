"""Lists that servers vary by caller: by his headers, by what his client can do, by what he did in his session."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.gateway import RunningGateway, running_gateway
from tests.support.mcp_http import LEGACY, Asked, McpServer, text
from tests.support.streams import Streams

TOOLS_CHANGED = "notifications/tools/list_changed"
ASKING = {"elicitation": {}}


def tool(name: str) -> dict[str, Any]:
    return {"name": name, "inputSchema": {"type": "object"}}


def keys(*users: str) -> dict[str, Any]:
    digests = [{"name": user, "user": user, "sha256": hashlib.sha256(user.encode()).hexdigest()} for user in users]
    return {"keys": digests}


class Client:
    """A legacy client with a session."""

    def __init__(self, gateway: RunningGateway, url: str, session: str) -> None:
        self._gateway = gateway
        self._url = url
        self._headers = {"Mcp-Session-Id": session, "MCP-Protocol-Version": LEGACY}
        self._get: aiohttp.ClientResponse | None = None

    @classmethod
    async def open(cls, gateway: RunningGateway, path: str = "/mcp", capabilities: Any = None) -> Client:
        params = {"protocolVersion": LEGACY, "capabilities": capabilities or {}, "clientInfo": {"name": "c"}}
        url = gateway.root + path
        answer = await gateway.client.post(
            url, json={"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}, headers=_accepting()
        )
        return cls(gateway, url, answer.headers["Mcp-Session-Id"])

    async def request(self, method: str, params: Any = None) -> dict[str, Any]:
        """The response, whether it comes as JSON or on a stream."""
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
        answer = await self._gateway.client.post(self._url, json=message, headers={**_accepting(), **self._headers})
        body = await answer.text()
        events = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: {")]
        return json.loads(events[-1] if events else body)

    async def tools(self) -> list[str]:
        return [one["name"] for one in (await self.request("tools/list"))["result"]["tools"]]

    async def call(self, name: str) -> dict[str, Any]:
        return await self.request("tools/call", {"name": name, "arguments": {}})

    async def listen(self) -> None:
        headers = {"Accept": "text/event-stream", **self._headers}
        self._get = await self._gateway.client.get(self._url, headers=headers)

    async def heard(self) -> str:
        """The method of the next notification."""
        assert self._get is not None
        async with asyncio.timeout(10):
            while not (line := await self._get.content.readline()).startswith(b"data: {"):
                assert line, "the stream has ended"
        return json.loads(line.removeprefix(b"data: "))["method"]

    async def end(self) -> None:
        (await self._gateway.client.delete(self._url, headers=self._headers)).close()


def _accepting() -> dict[str, str]:
    return {"Accept": "application/json, text/event-stream"}


class TestHeaders:
    """A modern server that lists by the header `X-Team`."""

    @pytest.fixture
    async def server(self) -> Any:
        async def by_team(asked: Asked) -> Any:
            team = asked.http.headers.get("X-Team")
            listed = [tool("echo"), *([tool(f"of-{team}")] if team else [])]
            return asked.result({"resultType": "complete", "tools": listed, "ttlMs": 0, "cacheScope": "private"})

        async def told(asked: Asked) -> Any:
            return asked.result({"resultType": "complete", **text(asked.http.headers.get("X-Team", "nobody"))})

        async with McpServer(modern=True) as server:
            server.served["tools/list"] = by_team
            server.tools |= {"of-red": told, "of-blue": told}
            yield server

    @pytest.mark.trap(40)
    async def test_a_list_for_one_callers_header_is_shown_to_that_caller_alone(
        self, server: McpServer, tmp_path: Path
    ) -> None:
        config = {
            "servers": {"demo": {"url": server.url, "forward_headers": ["X-Team"]}},
            "auth": keys("ann", "bob"),
        }
        async with running_gateway(config, tmp_path) as gateway:

            async def tools(user: str, team: str | None) -> list[str]:
                headers = {"Authorization": f"Bearer {user}", **({} if team is None else {"X-Team": team})}
                answer = await gateway.modern("tools/list", headers=headers)
                return [one["name"] for one in json.loads(await answer.text())["result"]["tools"]]

            assert await tools("ann", "red") == ["demo__echo", "demo__of-red"]
            asked = len(server.named("tools/list"))
            assert await tools("ann", "red") == ["demo__echo", "demo__of-red"]
            assert len(server.named("tools/list")) == asked, "what is known is not asked for again"
            assert await tools("bob", "blue") == ["demo__echo", "demo__of-blue"]
            assert await tools("bob", None) == ["demo__echo"]
            assert await tools("bob", "red") == ["demo__echo", "demo__of-red"]
            assert len(server.named("tools/list")) == asked + 2, "another user's list is his own, header or not"

    async def test_a_tool_that_one_caller_alone_sees_can_be_called_by_him_at_once_and_by_nobody_else(
        self, server: McpServer, tmp_path: Path
    ) -> None:
        config = {"servers": {"demo": {"url": server.url, "forward_headers": ["X-Team"]}}}
        async with running_gateway(config, tmp_path) as gateway:
            called = await gateway.call("demo__of-red", headers={"X-Team": "red"})
            assert called["result"]["content"][0]["text"] == "red"
            assert (await gateway.call("demo__of-red"))["error"]["code"] == -32602
            assert (await gateway.call("demo__of-red", headers={"X-Team": "blue"}))["error"]["code"] == -32602

    async def test_who_gets_no_list_of_his_own_sees_what_everybody_does(
        self, server: McpServer, tmp_path: Path
    ) -> None:
        by_team = server.served["tools/list"]

        async def failing(asked: Asked) -> Any:
            return asked.error(-32603, "no", 500) if "X-Team" in asked.http.headers else await by_team(asked)

        server.served["tools/list"] = failing
        config = {"servers": {"demo": {"url": server.url, "forward_headers": ["X-Team"]}}}
        async with running_gateway(config, tmp_path) as gateway:
            answer = await gateway.modern("tools/list", headers={"X-Team": "red"})
            tools = json.loads(await answer.text())["result"]["tools"]
            assert [one["name"] for one in tools] == ["demo__echo"]


class TestCapabilities:
    """A legacy server that offers `ask` to clients that can be asked."""

    @pytest.fixture
    async def server(self) -> Any:
        able: set[str] = set()

        async def initialize(asked: Asked) -> Any:
            answer = server.initialize(asked)
            if "elicitation" in asked.params["capabilities"]:
                able.add(answer.headers["Mcp-Session-Id"])
            return answer

        async def listed(asked: Asked) -> Any:
            more = [tool("ask")] if asked.session is not None and asked.session.id in able else []
            return asked.result({"tools": [tool("echo"), *more]})

        async def ask(asked: Asked) -> Any:
            return asked.result(text("asked"))

        async with McpServer(legacy=True) as server:
            server.answers["initialize"] = initialize
            server.served["tools/list"] = listed
            server.tools["ask"] = ask
            yield server

    async def test_a_client_is_offered_what_the_server_offers_to_its_like(
        self, server: McpServer, tmp_path: Path
    ) -> None:
        async with running_gateway({"servers": {"demo": {"url": server.url}}}, tmp_path) as gateway:
            able, plain = await Client.open(gateway, capabilities=ASKING), await Client.open(gateway)
            assert await able.tools() == ["demo__echo", "demo__ask"]
            assert await plain.tools() == ["demo__echo"]
            assert (await able.call("demo__ask"))["result"]["content"][0]["text"] == "asked"
            assert (await plain.call("demo__ask"))["error"]["code"] == -32602

    async def test_clients_that_can_do_the_same_share_one_listing_and_its_session_is_ended(
        self, server: McpServer, tmp_path: Path
    ) -> None:
        async with running_gateway({"servers": {"demo": {"url": server.url}}}, tmp_path) as gateway:
            first, second = [await Client.open(gateway, capabilities=ASKING) for _ in range(2)]
            await gateway.until(lambda: server.named("tools/list"))
            asked = len(server.named("tools/list"))
            assert await first.tools() == await second.tools() == ["demo__echo", "demo__ask"]
            assert len(server.named("tools/list")) == asked + 1
            await server.until(lambda: len(server.sessions) == 0)

    async def test_the_tool_can_be_called_before_anything_was_listed(self, server: McpServer, tmp_path: Path) -> None:
        async with running_gateway({"servers": {"demo": {"url": server.url}}}, tmp_path) as gateway:
            for path, name in (("/mcp", "demo__ask"), ("/servers/demo/mcp", "ask")):
                able = await Client.open(gateway, path, ASKING)
                assert (await able.call(name))["result"]["content"][0]["text"] == "asked"


class TestSessions:
    """A legacy server whose tool `grow` offers one more tool in the session that called it."""

    @pytest.fixture
    async def server(self) -> Any:
        grown: set[str] = set()

        async def listed(asked: Asked) -> Any:
            more = [tool("more")] if asked.session is not None and asked.session.id in grown else []
            return asked.result({"tools": [tool("grow"), *more]})

        async def grow(asked: Asked) -> Any:
            assert asked.session is not None
            grown.add(asked.session.id)
            await asked.say({"method": TOOLS_CHANGED})
            return await asked.end(text("grown"))

        async def more(asked: Asked) -> Any:
            return asked.result(text("more"))

        async with McpServer(legacy=True) as server:
            server.capabilities = {"tools": {"listChanged": True}}
            server.served["tools/list"] = listed
            server.tools |= {"grow": grow, "more": more}
            yield server

    async def test_what_a_server_gives_to_one_session_no_other_sees_or_hears_of(
        self, server: McpServer, tmp_path: Path
    ) -> None:
        async with running_gateway({"servers": {"demo": {"url": server.url}}}, tmp_path) as gateway:
            mine, other = await Client.open(gateway), await Client.open(gateway)
            await mine.listen()
            await other.listen()
            assert await mine.tools() == ["demo__grow"]
            await mine.call("demo__grow")
            assert await mine.heard() == TOOLS_CHANGED
            assert await mine.tools() == ["demo__grow", "demo__more"]
            metrics = await (await gateway.client.get(f"{gateway.root}/metrics")).text()
            assert 'mcp_gateway_own_lists{kind="session"} 1.0' in metrics
            assert (await mine.call("demo__more"))["result"]["content"][0]["text"] == "more"
            assert await other.tools() == ["demo__grow"]
            assert (await other.call("demo__more"))["error"]["code"] == -32602
            server.definitions = []
            await other.call("demo__grow")
            assert await other.heard() == TOOLS_CHANGED, "the first that it hears is of its own change"

    async def test_what_a_session_was_given_is_gone_when_the_server_has_lost_it(
        self, server: McpServer, tmp_path: Path
    ) -> None:
        async with running_gateway({"servers": {"demo": {"url": server.url}}}, tmp_path) as gateway:
            mine = await Client.open(gateway)

            async def shows(*names: str) -> bool:
                return await mine.tools() == [f"demo__{name}" for name in names]

            await mine.call("demo__grow")
            await gateway.until(lambda: shows("grow", "more"))
            server.sessions.clear()
            assert (await mine.call("demo__more"))["result"]["content"][0]["text"] == "more"
            await gateway.until(lambda: shows("grow"))

    async def test_a_change_that_is_told_on_the_sessions_own_stream_is_for_that_session(
        self, server: McpServer, tmp_path: Path
    ) -> None:
        streams = Streams(server)
        more: list[Any] = []

        async def listed(asked: Asked) -> Any:
            is_of_client = bool(more) and asked.session is not None and asked.session.id == stream.session
            return asked.result({"tools": [tool("echo"), *(more if is_of_client else [])]})

        server.served["tools/list"] = listed
        async with running_gateway({"servers": {"demo": {"url": server.url}}}, tmp_path) as gateway:
            house = await streams.opened(0)
            client = await Client.open(gateway)
            await client.listen()
            await client.call("demo__echo")
            stream = await streams.opened(1)
            assert stream.session != house.session
            more.append(tool("late"))
            await stream.say(TOOLS_CHANGED)
            assert await client.heard() == TOOLS_CHANGED
            assert await client.tools() == ["demo__echo", "demo__late"]
            assert await gateway.tools() == ["demo__echo"]

    async def test_what_everybody_gets_afterwards_is_told_to_the_others_alone(
        self, server: McpServer, tmp_path: Path
    ) -> None:
        streams = Streams(server)
        async with running_gateway({"servers": {"demo": {"url": server.url}}}, tmp_path) as gateway:
            house = await streams.opened(0)
            mine, other = await Client.open(gateway), await Client.open(gateway)
            await mine.listen()
            await other.listen()
            await mine.call("demo__grow")
            assert await mine.heard() == TOOLS_CHANGED
            server.served["tools/list"] = _both
            await house.say(TOOLS_CHANGED)
            assert await other.heard() == TOOLS_CHANGED
            assert await mine.tools() == await other.tools() == ["demo__grow", "demo__more"]
            server.served["tools/list"] = _one
            await house.say(TOOLS_CHANGED)
            assert await mine.heard() == TOOLS_CHANGED, "and nothing in between"
            assert await mine.tools() == ["demo__grow"]


async def _both(asked: Asked) -> Any:
    return asked.result({"tools": [tool("grow"), tool("more")]})


async def _one(asked: Asked) -> Any:
    return asked.result({"tools": [tool("grow")]})
