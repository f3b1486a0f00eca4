"""A gateway between a client and a server of one era changes names and URIs on endpoints that several servers share,
and nothing else: every other byte of what either says arrives as it was, over HTTP and stdio, through every door.

The conversations are written once, with `@N(name)@` and `@U(uri)@` where names and URIs stand. The server speaks with
its own (`said`); what a door's client must read, and what it sends, follows from the door's slug (`seen`). Any other
difference is a failure.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.protocol import jsonrpc, sse
from gateway.protocol.versions import Era
from gateway.uris import Naming
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.pipes import Peer, ScriptedProgram
from tests.support.scripted import Call, ScriptedServer, answer, id_of, method_of

SLUG = "peer"
DOORS = {"/servers/peer/mcp": None, "/mcp": SLUG, "/groups/few/mcp": SLUG}
"""Paths, and the slug that names bear there."""

MODERN, LEGACY = "2026-07-28", "2025-11-25"
CAPABILITIES = b'{"tools":{},"prompts":{},"resources":{"subscribe":true},"completions":{},"logging":{}}'
CAPABLE = {"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {}}

ODD = rb'"n":[1.10,1e2,10000000000000000000000,-0,null],"s":"\u00e9\/\ud800 \ud83d\ude00","o":{"b":1,"a":{"c":[]}}'
META = rb'"_meta":{"vendor.example/k":1.50,"x":"\u00e9"}'
ICONS = rb'"icons":[{"src":"https://x.org/i.png","sizes":["48x48"],"mimeType":"image/png"}]'

LISTS = {
    "tools/list": [
        b'{"name":"@N(t)@","title":"T","inputSchema":{"$schema":"https://json-schema.org/draft/2020-12/schema","$defs":'
        b'{"a":{"$anchor":"x","type":"string"}},"type":"object","if":{"required":["a"]},"then":{"required":["b"]},'
        b'"properties":{"a":{"$ref":"#/$defs/a"}},"x-unknown":1.10},"outputSchema":{"type":"object"},"annotations":'
        b'{"readOnlyHint":true,"x":1e2},' + ICONS + b"," + META + b"," + ODD + b"}",
    ],
    "prompts/list": [b'{"name":"@N(p)@","arguments":[{"name":"a","required":true}],' + ODD + b"," + META + b"}"],
    "resources/list": [
        b'{"uri":"@U(file:///a)@","name":"A","size":10000000000000000000000,' + ICONS + b"," + META + b"}",
        b'{"uri":"@U(ui://app/page)@","name":"page","mimeType":"text/html;profile=mcp-app","x":1.10}',
        b'{"uri":"https://x.org/a","name":"web",' + ODD + b"}",
    ],
    "resources/templates/list": [b'{"uriTemplate":"@U(file:///{+path}{?q})@","name":"t",' + ODD + b"," + META + b"}"],
}

BLOCKS = b",".join(
    (
        rb'{"type":"text","text":"a \u00e9","annotations":{"audience":["user"],"priority":0.50},' + META + b"}",
        b'{"type":"image","data":"AAAA","mimeType":"image/png","x":1.10}',
        b'{"type":"audio","data":"AAAA","mimeType":"audio/wav"}',
        b'{"type":"resource_link","uri":"@U(file:///a)@","name":"a",' + ICONS + b"}",
        b'{"type":"resource","resource":{"uri":"@U(file:///b)@","text":"uri: file:///b","n":1e2},' + META + b"}",
        b'{"type":"resource","resource":{"uri":"@U(ui://app/page)@","blob":"AAAA"}}',
        b'{"type":"unheard-of","uri":"file:///stays","n":1.10}',
    )
)
CONTENTS = b'[{"uri":"@U(file:///a)@","text":"x","n":1.10},{"uri":"@U(file:///a/b)@","blob":"AAAA",' + META + b"}]"
SAMPLING = (
    b'{"method":"sampling/createMessage","params":{"messages":[{"role":"user","content":{"type":"resource_link","uri":'
    b'"@U(file:///a)@","name":"a"}}],"maxTokens":10,"n":1.10}}'
)
ELICITATION = (
    rb'{"method":"elicitation/create","params":{"message":"\u00e9","requestedSchema":{"type":"object","x":1e2}}}'
)


@dataclass(frozen=True)
class Turn:
    """A request's method and params, and what the server answers: a result, or an error."""

    name: str
    method: str
    params: bytes
    body: bytes
    is_error: bool = False
    eras: frozenset[Era] = frozenset(Era)
    only: str | None = None
    """The one door that serves it."""


TURNS = (
    Turn(
        "every kind of content",
        "tools/call",
        b'{"name":"@N(t)@","arguments":{' + ODD + b',"uri":"file:///stays"}}',
        b'{"content":[' + BLOCKS + b'],"structuredContent":{' + ODD + b'},"isError":false,"later":1.10,' + META + b"}",
    ),
    Turn("no arguments", "tools/call", b'{"name":"@N(t)@","x":1.10}', b'{"content":[],"structuredContent":{"a":null}}'),
    Turn(
        "structured content that is no object",
        "tools/call",
        b'{"name":"@N(t)@","arguments":{"a":null}}',
        b'{"content":[],"structuredContent":[1.10,null,{"b":1,"a":2}]}',
        eras=frozenset({Era.MODERN}),
    ),
    Turn(
        "a failing tool",
        "tools/call",
        b'{"name":"@N(t)@","arguments":{}}',
        rb'{"content":[{"type":"text","text":"\ud800"}],"isError":true,"n":1e2}',
    ),
    Turn(
        "an error",
        "tools/call",
        b'{"name":"@N(t)@","arguments":{}}',
        rb'{"code":-31000,"message":"\u00e9","data":{"n":1.10,"b":1,"a":2},"x":1e2}',
        is_error=True,
    ),
    Turn(
        "a megabyte",
        "tools/call",
        b'{"name":"@N(t)@","arguments":{"a":"' + b"x" * 300_000 + b'"}}',
        b'{"content":[{"type":"text","text":"' + b"y" * 1_000_000 + b'"}]}',
    ),
    Turn(
        "two thousand blocks",
        "tools/call",
        b'{"name":"@N(t)@","arguments":{}}',
        b'{"content":[' + b",".join(b'{"type":"text","text":"%d","n":1.10}' % n for n in range(2_000)) + b"]}",
    ),
    Turn(
        "a prompt",
        "prompts/get",
        rb'{"name":"@N(p)@","arguments":{"a":"\u00e9"}}',
        b'{"description":"d","messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"@U(file:///a)@",'
        b'"text":"t"}},"n":1.10},{"role":"assistant","content":{"type":"text","text":"file:///a"}}],' + META + b"}",
    ),
    Turn(
        "a resource", "resources/read", b'{"uri":"@U(file:///a)@","x":1.10}', b'{"contents":' + CONTENTS + b',"n":1e2}'
    ),
    Turn("an unlisted resource", "resources/read", b'{"uri":"@U(file:///z)@"}', b'{"contents":' + CONTENTS + b"}"),
    Turn(
        "no such resource",
        "resources/read",
        b'{"uri":"@U(file:///none)@"}',
        b'{"code":-32602,"message":"Resource not found","data":{"uri":"@U(file:///none)@","n":1.10}}',
        is_error=True,
    ),
    Turn(
        "a completion for a prompt",
        "completion/complete",
        b'{"ref":{"type":"ref/prompt","name":"@N(p)@","x":1.10},"argument":{"name":"a","value":"v"},"context":{"n":1e2}}',
        b'{"completion":{"values":["a"],"total":1,"hasMore":false,"n":1.10}}',
    ),
    Turn(
        "a completion for a template",
        "completion/complete",
        b'{"ref":{"type":"ref/resource","uri":"@U(file:///{+path}{?q})@"},"argument":{"name":"path","value":"v"}}',
        b'{"completion":{"values":["file:///stays"]}}',
    ),
    Turn(
        "a question",
        "tools/call",
        b'{"name":"@N(t)@","arguments":{}}',
        rb'{"resultType":"input_required","inputRequests":{"b":' + SAMPLING + b',"a":' + ELICITATION + b"},"
        rb'"requestState":"\u00e9\/opaque","n":1.10}',
        eras=frozenset({Era.MODERN}),
    ),
    Turn(
        "its answer",
        "tools/call",
        b'{"name":"@N(t)@","arguments":{},"inputResponses":{"a":{"action":"accept","content":{"n":1.10}}},'
        rb'"requestState":"\u00e9\/opaque"}',
        b'{"content":[],"n":1e2}',
        eras=frozenset({Era.MODERN}),
    ),
    Turn("a subscription", "resources/subscribe", b'{"uri":"@U(file:///a)@"}', b"{}", eras=frozenset({Era.LEGACY})),
    Turn(
        "a method of an extension",
        "vendor.example/do",
        b'{"uri":"file:///stays","name":"stays",' + ODD + b"}",
        b'{"uri":"file:///stays",' + ODD + b"}",
        only="/servers/peer/mcp",
    ),
)


def said(text: bytes) -> bytes:
    """As the server says it."""
    return re.sub(rb"@[NU]\((.*?)\)@", rb"\1", text)


def seen(text: bytes, slug: str | None) -> bytes:
    """As a client sees and says it where names bear `slug`."""
    if slug is None:
        return said(text)
    text = re.sub(rb"@N\((.*?)\)@", lambda found: slug.encode() + b"__" + found[1], text)
    return re.sub(rb"@U\((.*?)\)@", lambda found: Naming(slug).out(found[1].decode()).encode(), text)


@dataclass
class Server:
    """A raw server of one era: keeps what it reads, answers what the test put in."""

    era: Era
    turn: Turn = TURNS[0]
    received: list[bytes] = field(default_factory=list)

    def reply(self, request: bytes) -> bytes | None:
        """The one message that answers a request; None for what is no request."""
        if b'"id"' not in request or b'"method"' not in request:
            return None
        method = method_of(request)
        if method == "initialize":
            head = b'{"protocolVersion":"2025-11-25","serverInfo":{"name":"raw","version":"1"},"capabilities":'
            return answer(request, head + CAPABILITIES + b"}") if self.era is Era.LEGACY else _unknown(request)
        if method == "server/discover":
            head = b'{"resultType":"complete","supportedVersions":["2026-07-28"],"ttlMs":0,"cacheScope":"private",'
            body = head + b'"capabilities":' + CAPABILITIES + b"}"
            return answer(request, body) if self.era is Era.MODERN else _unknown(request)
        if method in LISTS:
            entries = said(b",".join(LISTS[method]))
            return answer(request, b'{"%b":[%b]}' % (_member(method), entries))
        if method in ("ping", "logging/setLevel"):
            return answer(request, b"{}")
        if method == "subscriptions/listen":
            return None
        self.received.append(request)
        body = said(self.turn.body)
        if self.turn.is_error:
            return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (id_of(request), body)
        return answer(request, body)


def _unknown(request: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"error":{"code":-32601,"message":"Method not found"}}' % id_of(request)


def _member(method: str) -> bytes:
    return b"resourceTemplates" if "templates" in method else method.partition("/")[0].encode()


@asynccontextmanager
async def over_http(server: Server) -> AsyncIterator[dict[str, object]]:
    async def script(call: Call) -> None:
        if call.method != "POST":
            await call.answer(b"", status=405, media_type=None)
        elif (reply := server.reply(call.body)) is None:
            await call.answer(b"", status=202, media_type=None)
        else:
            await call.answer(reply)

    async with ScriptedServer(script) as scripted:
        yield {"url": scripted.url}


@asynccontextmanager
async def over_pipes(server: Server) -> AsyncIterator[dict[str, object]]:
    async def script(peer: Peer) -> None:
        while line := await peer.line():
            if (reply := server.reply(line)) is not None:
                await peer.say(reply + b"\n")
        await peer.exit()

    async with ScriptedProgram(script) as program:
        yield program.spec


@dataclass
class Bench:
    """A gateway before one raw server, and a client of the same era."""

    gateway: RunningGateway
    server: Server
    sessions: dict[str, str] = field(default_factory=dict)

    async def ask(self, path: str, method: str, params: bytes) -> bytes:
        """The whole response to one request, as bytes."""
        if self.server.era is Era.MODERN:
            about = {
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": CAPABLE,
                "vendor.example/k": 1.5,
            }
            headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
            members = json.loads(params)
            named = members.get("name") if method in ("tools/call", "prompts/get") else members.get("uri")
            if method in ("tools/call", "prompts/get", "resources/read"):
                headers["Mcp-Name"] = named
        else:
            about = {"vendor.example/k": 1.5}
            headers = {"MCP-Protocol-Version": LEGACY, "Mcp-Session-Id": await self.session(path)}
        comma = b"" if params == b"{}" else b","
        whole = params[:-1] + comma + b'"_meta":' + json.dumps(about).encode() + b"}"
        body = b'{"jsonrpc":"2.0","id":"\\u0069d","method":"%b","params":%b}' % (method.encode(), whole)
        return await self.post(path, body, headers)

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        common = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        async with self.gateway.client.post(self.gateway.root + path, data=body, headers={**common, **headers}) as got:
            text = await got.read()
            if got.content_type == "application/json" or not text:
                return text
            return [event.data for event in sse.EventParser(2**24).feed(text) if event.data][-1]

    async def session(self, path: str) -> str:
        if path not in self.sessions:
            hello = {"protocolVersion": LEGACY, "capabilities": CAPABLE, "clientInfo": {"name": "raw", "version": "1"}}
            body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
            headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
            async with self.gateway.client.post(self.gateway.root + path, json=body, headers=headers) as got:
                assert got.status == 200, await got.text()
                self.sessions[path] = got.headers["Mcp-Session-Id"]
        return self.sessions[path]


PEERS: dict[str, Callable[[Server], Any]] = {"http": over_http, "stdio": over_pipes}


@pytest_asyncio.fixture(params=[f"{era}-{peer}" for era in Era for peer in PEERS])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    era, _, peer = str(request.param).partition("-")
    server = Server(Era(era))
    more = {"health": {"interval": 3600}, "groups": {"few": {"servers": [SLUG]}}}
    async with PEERS[peer](server) as spec, running_gateway({"servers": {SLUG: spec}, **more}, tmp_path) as gateway:
        await gateway.until(lambda: gateway.tools("/servers/peer/mcp"))
        await gateway.until(lambda: gateway.inside.board.census() == {"up": 1})
        yield Bench(gateway, server)


def params_of(request: bytes) -> list[tuple[str, bytes]]:
    """The members of a request's params in order, `_meta` aside."""
    params = jsonrpc.members(jsonrpc.members(request)["params"])
    return [(name, bytes(raw)) for name, raw in params.items() if name != "_meta"]


@pytest.mark.point(20)
@pytest.mark.point(32)
@pytest.mark.trap(22)
async def test_a_conversation_differs_by_names_and_uris_alone(bench: Bench) -> None:
    for turn in (turn for turn in TURNS if bench.server.era in turn.eras):
        bench.server.turn = turn
        for path, slug in DOORS.items():
            if turn.only not in (None, path):
                continue
            answered = await bench.ask(path, turn.method, seen(turn.params, slug))
            kind = b"error" if turn.is_error else b"result"
            expected = b'{"jsonrpc":"2.0","id":"\\u0069d","%b":%b}' % (kind, seen(turn.body, slug))
            assert answered == expected, (turn.name, path)
            request = bench.server.received.pop()
            assert bench.server.received == []
            sent = b'{"params":%b}' % said(turn.params)
            assert params_of(request) == params_of(sent), (turn.name, path)
            about = jsonrpc.members(jsonrpc.members(jsonrpc.members(request)["params"])["_meta"])
            assert bytes(about["vendor.example/k"]) == b"1.5", (turn.name, path)


@pytest.mark.point(31)
@pytest.mark.trap(22)
@pytest.mark.parametrize("method", LISTS)
async def test_a_list_differs_by_names_and_uris_alone(bench: Bench, method: str) -> None:
    for path, slug in DOORS.items():
        page = jsonrpc.members(jsonrpc.members(await bench.ask(path, method, b"{}"))["result"])
        listed = [bytes(entry) for entry in jsonrpc.elements(page[_member(method).decode()])]
        assert listed == [seen(entry, slug) for entry in LISTS[method]], path
