"""Whatever we do not own arrives with the bytes that it left with: through the whole gateway, over HTTP and stdio, in
both directions, towards JSON and SSE clients. Peers are raw sockets and raw pipes; nothing here re-serialises.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.protocol import sse
from tests.support import texts
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.pipes import Peer, ScriptedProgram
from tests.support.scripted import Call, ScriptedServer, answer, method_of

ARGUMENTS = re.compile(rb'"arguments":(.*),"_meta":\{|"arguments":(.*)\}\}$', re.DOTALL)
FRESH = b'"ttlMs":0,"cacheScope":"private"}'
DISCOVERED = b'{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},' + FRESH
TOOLS = b'{"resultType":"complete","tools":[{"name":"t","inputSchema":{"x":1.10,"$ref":"\\u00e9"}}],' + FRESH


@dataclass
class Echo:
    """A server that keeps what it reads and answers with what the test put in."""

    result: bytes = b"{}"
    note: bytes = b"{}"
    received: list[bytes] = field(default_factory=list)

    def replies(self, request: bytes) -> list[bytes]:
        """The messages that answer one request."""
        method = method_of(request)
        if method == "server/discover":
            return [answer(request, DISCOVERED)]
        if method == "tools/list":
            return [answer(request, TOOLS)]
        self.received.append(request)
        return [
            b'{"jsonrpc":"2.0","method":"notifications/message","params":' + self.note + b"}",
            answer(request, self.result),
        ]


@asynccontextmanager
async def over_http(echo: Echo) -> AsyncIterator[dict[str, object]]:
    async def script(call: Call) -> None:
        messages = echo.replies(call.body)
        if len(messages) == 1:
            await call.answer(messages[0])
            return
        await call.stream()
        for message in messages:
            lines = re.split(rb"\r\n|\r|\n", message)
            await call.chunk(b"".join(b"data: " + line + b"\n" for line in lines) + b"\n")
        await call.end()

    async with ScriptedServer(script) as server:
        yield {"url": server.url}


@asynccontextmanager
async def over_pipes(echo: Echo) -> AsyncIterator[dict[str, object]]:
    async def script(peer: Peer) -> None:
        while line := await peer.line():
            for message in echo.replies(line):
                await peer.say(message + b"\n")
        await peer.exit()

    async with ScriptedProgram(script) as program:
        yield program.spec


@dataclass
class Bench:
    gateway: RunningGateway
    echo: Echo

    async def call(self, arguments: bytes, accept: str) -> list[bytes]:
        """The messages that the client reads, the answer last."""
        body = (
            b'{"jsonrpc":"2.0","id":"\\u0069d","method":"tools/call","params":{"name":"t","arguments":'
            + arguments
            + b","
            b'"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
            b'"io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/logLevel":"debug"}}}'
        )
        response = await self.gateway.modern(
            "tools/call", {"name": "t"}, raw=body, path="/servers/peer/mcp", headers={"Accept": accept}
        )
        whole = await response.read()
        if response.content_type == "application/json":
            return [whole]
        return [event.data for event in sse.EventParser(2**20).feed(whole) if event.data]


@pytest_asyncio.fixture(params=[over_http, over_pipes], ids=["http", "stdio"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    echo = Echo()
    peer: Callable[..., object] = request.param
    rarely = {"interval": 3600}
    async with peer(echo) as spec, running_gateway({"servers": {"peer": spec}, "health": rarely}, tmp_path) as gateway:
        await gateway.until(lambda: gateway.tools("/servers/peer/mcp"))
        # A log message on a pipe names no call: while a probe is under way it could not be told whose it is.
        await gateway.until(lambda: gateway.inside.board.census() == {"up": 1})
        yield Bench(gateway, echo)


@pytest.mark.point(32)
@pytest.mark.trap(22)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arguments=texts.bodies, result=texts.bodies, note=texts.values, stream=st.booleans())
async def test_every_value_keeps_its_bytes_in_both_directions(bench, arguments, result, note, stream):
    bench.echo.result = b'{"resultType":"complete","content":[],"x":' + result + b"}"
    bench.echo.note = b'{"level":"info","data":' + note + b"}"
    accept = "application/json, text/event-stream" if stream else "application/json"
    messages = await bench.call(arguments, accept)
    found = ARGUMENTS.search(bench.echo.received[-1])
    assert found is not None
    assert (found[1] or found[2]) == arguments
    assert messages[-1] == b'{"jsonrpc":"2.0","id":"\\u0069d","result":' + bench.echo.result + b"}"
    if stream:
        assert messages[:-1] == [
            b'{"jsonrpc":"2.0","method":"notifications/message","params":' + bench.echo.note + b"}"
        ]


@pytest.mark.point(31)
@pytest.mark.trap(22)
async def test_a_tools_definition_keeps_its_bytes_but_for_its_name(bench):
    own = await (await bench.gateway.modern("tools/list", path="/servers/peer/mcp")).read()
    aggregate = await (await bench.gateway.modern("tools/list")).read()
    assert b'{"name":"t","inputSchema":{"x":1.10,"$ref":"\\u00e9"}}' in own
    assert b'{"name":"peer__t","inputSchema":{"x":1.10,"$ref":"\\u00e9"}}' in aggregate


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(breaks=st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n"]), min_size=1, max_size=4))
async def test_no_input_makes_a_server_or_a_client_see_two_messages(bench, breaks):
    smuggled = b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"evil"}}'
    gap = b"".join(breaks)
    bench.echo.result = (
        b'{"resultType":"complete","content":[],' + gap + b'"data":' + gap + b"[" + smuggled + gap + b"]}"
    )
    bench.echo.note = b'{"level":"info",' + b'"data":1}'
    before = len(bench.echo.received)
    messages = await bench.call(
        b'{"a":' + gap + b"[" + smuggled + b"," + gap + b"1]}", "application/json, text/event-stream"
    )
    assert len(bench.echo.received) == before + 1
    assert len(messages) == 2
    assert messages[-1].startswith(b'{"jsonrpc":"2.0","id":"\\u0069d","result":')


async def test_a_repeated_key_is_one_value_for_policy_record_and_server(bench):
    body = (
        b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping","method":"tools/call","params":{"name":"evil","arguments":{"a":1},'
        b'"name":"t","arguments":{"a":2},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
        b'"io.modelcontextprotocol/clientCapabilities":{}}}}'
    )
    response = await bench.gateway.modern("tools/call", {"name": "t"}, raw=body, path="/servers/peer/mcp")
    assert (await response.read()).startswith(b'{"jsonrpc":"2.0","id":2,')
    sent = bench.echo.received[-1]
    assert sent.count(b'"name"') == 1
    assert b"evil" not in sent
    assert b'"arguments":{"a":2}' in sent
    row = (await bench.gateway.rows())[-1]
    assert row["target"] == "t"
    assert "evil" not in row["request_data"]
    assert '{"a":2}' in row["request_data"]
