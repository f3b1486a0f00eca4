"""A front makes one era of two, keeps a server from asking what it may not ask, and changes nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.conformance.fronts import Front, LegacyFront, ModernFront

SESSION = {"Mcp-Session-Id": "s-1"}
MODERN_HEADERS = {"MCP-Protocol-Version": "2026-07-28"}
ROOTS = {"jsonrpc": "2.0", "id": 9, "method": "roots/list"}
SPELLING = b'{ "jsonrpc":"2.0","id" : 1,"result":{"n":1.10,"s":"\\u00e9"}}'


@dataclass
class Reference:
    """A server that opens sessions, streams `events` to every call, and otherwise says `answer`."""

    events: list[bytes] = field(default_factory=list)
    answer: bytes = SPELLING
    heard: list[dict[str, Any]] = field(default_factory=list)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        message = json.loads(await request.read())
        self.heard.append({**message, "session": request.headers.get("Mcp-Session-Id")})
        if message.get("method") == "initialize":
            return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": {}}, headers=SESSION)
        if "method" not in message:
            return web.Response(status=202)
        if not self.events:
            return web.Response(body=self.answer, content_type="application/json")
        return web.Response(body=b"".join(self.events), content_type="text/event-stream")


@asynccontextmanager
async def fronted(kind: type[Front], reference: Reference) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    behind, before = web.Application(), web.Application()
    behind.router.add_route("*", "/mcp", reference.serve)
    async with asyncio.timeout(10), TestServer(behind) as server, aiohttp.ClientSession() as session:
        before.router.add_route("*", "/mcp", kind(str(server.make_url("/mcp")), session).serve)
        async with TestClient(TestServer(before)) as client:
            yield client


def call(capabilities: dict[str, Any] | None = None) -> dict[str, Any]:
    meta = {"io.modelcontextprotocol/clientCapabilities": capabilities or {}}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "t", "_meta": meta}}


def initialize(capabilities: dict[str, Any]) -> dict[str, Any]:
    params = {"protocolVersion": "2025-11-25", "capabilities": capabilities}
    return {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}


def event(message: Any) -> bytes:
    return b"event: message\r\nid: 1\r\ndata: " + json.dumps(message).encode() + b"\r\n\r\n"


async def test_an_answer_keeps_its_bytes() -> None:
    async with fronted(LegacyFront, Reference()) as client:
        answer = await client.post("/mcp", json=call(), headers=SESSION)
        assert (answer.status, await answer.read()) == (200, SPELLING)


async def test_a_stream_keeps_its_bytes() -> None:
    events = [b": comment\n\n", b"id: 7\nretry: 100\ndata:\n\n", b"event: message\ndata: " + SPELLING + b"\n\n"]
    async with fronted(LegacyFront, Reference(events)) as client:
        answer = await client.post("/mcp", json=call(), headers=SESSION)
        assert await answer.read() == b"".join(events)


async def test_a_legacy_front_knows_no_modern_request() -> None:
    async with fronted(LegacyFront, Reference()) as client:
        answer = await client.post("/mcp", json=call(), headers=MODERN_HEADERS)
        assert (answer.status, (await answer.json())["error"]["code"]) == (400, -32600)


async def test_a_modern_front_knows_no_handshake() -> None:
    async with fronted(ModernFront, Reference()) as client:
        answer = await client.post("/mcp", json=initialize({}))
        error = (await answer.json())["error"]
        assert (answer.status, error["code"], error["data"]["supported"]) == (400, -32022, ["2026-07-28"])


async def test_a_legacy_session_is_asked_only_for_what_it_declared() -> None:
    reference = Reference([event(ROOTS), event({"jsonrpc": "2.0", "id": 1, "result": {}})])
    async with fronted(LegacyFront, reference) as client:
        await client.post("/mcp", json=initialize({"sampling": {}}))
        without = await client.post("/mcp", json=call(), headers=SESSION)
        assert await without.read() == reference.events[1]
        refused = reference.heard[-1]
        assert (refused["id"], refused["error"]["code"], refused["session"]) == (9, -32601, "s-1")
        await client.post("/mcp", json=initialize({"roots": {}}))
        with_roots = await client.post("/mcp", json=call(), headers=SESSION)
        assert await with_roots.read() == b"".join(reference.events)


async def test_a_modern_request_gets_an_error_in_place_of_a_question_it_cannot_answer() -> None:
    asked = {"resultType": "input_required", "inputRequests": {"r": {"method": "roots/list"}}}
    message = {"jsonrpc": "2.0", "id": 1, "result": asked}
    whole, streamed = Reference(answer=json.dumps(message).encode()), Reference([event(message)])
    for reference, status in ((whole, 400), (streamed, 200)):
        async with fronted(ModernFront, reference) as client:
            refused = await client.post("/mcp", json=call(), headers=MODERN_HEADERS)
            error = json.loads((await refused.text()).removeprefix("data: "))["error"]
            assert (refused.status, error["code"]) == (status, -32021)
            served = await client.post("/mcp", json=call({"roots": {}}), headers=MODERN_HEADERS)
            assert (served.status, b"roots/list" in await served.read()) == (200, True)
