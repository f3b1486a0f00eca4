"""The official SDK's servers, which ask the client while they serve its calls, over HTTP and on pipes."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import Message
from gateway.protocol.versions import Era
from gateway.upstream.connection import client_session
from gateway.upstream.server import Upstream
from gateway.upstream.values import ClientFacts, Forward, Scope
from tests.support import sdk_asking
from tests.support.process import running
from tests.support.upstreams import answer, call, said, terms

URL = re.compile(r"http://\S+")
CLIENT = ClientFacts(
    Era.LEGACY,
    "2025-11-25",
    capabilities=Raw(b'{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}'),
    info=Raw(b'{"name":"c","version":"1"}'),
)


class Client:
    """Answers as a client with this name would."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.heard: list[Message] = []

    async def answer(self, request: Message, call: Forward | None) -> bytes:
        self.heard.append(request)
        found = {
            "elicitation/create": {"action": "accept", "content": {"name": self.name}},
            "sampling/createMessage": {
                "role": "assistant",
                "model": self.name,
                "content": {"type": "text", "text": "4"},
            },
            "roots/list": {"roots": [{"uri": f"file:///home/{self.name}"}]},
        }
        return jsonrpc.result(request.id or b"null", json.dumps(found[request.method]).encode())


@pytest.fixture(params=["http", "stdio"])
async def upstream(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Upstream]:
    program = [sys.executable, sdk_asking.__file__]
    async with client_session() as http:
        if request.param == "stdio":
            upstream = Upstream(terms(command=program[0], args=[program[1], "stdio"], era="legacy"), http)
            yield upstream
            await upstream.close()
            return
        process = running(program, tmp_path, URL)
        served = await asyncio.to_thread(process.__enter__)
        assert served.ready is not None
        upstream = Upstream(terms(url=served.ready.group(), era="legacy"), http)
        yield upstream
        await upstream.close()
        await asyncio.to_thread(process.__exit__, None, None, None)


@pytest.fixture
def asked() -> Callable[[str, Client], Forward]:
    def build(tool: str, client: Client, **arguments: Any) -> Forward:
        return replace(call(tool, arguments, client=CLIENT, scope=Scope(client.name, 1)), asks=client)

    return build


@pytest.mark.trap(5)
async def test_forms_and_samples_reach_the_client_of_the_call(upstream: Upstream, asked: Any) -> None:
    clients = [Client("anne"), Client("bob")]
    for client in clients:
        assert await said(upstream, asked("greet", client)) == f"accept {client.name}"
    both = await asyncio.gather(*(said(upstream, asked(tool, each)) for each in clients for tool in ("greet", "think")))
    assert both == ["accept anne", "anne: 4", "accept bob", "bob: 4"]
    assert [len(client.heard) for client in clients] == [3, 3]


async def test_a_page_to_visit_is_named_as_the_server_wrote_it(upstream: Upstream, asked: Any) -> None:
    client = Client("anne")
    assert await said(upstream, asked("visit", client)) == "accept"
    [request] = client.heard
    assert json.loads(bytes(request.params or b""))["url"] == "https://example.com/in?x=1&y=%20"


@pytest.mark.parametrize("upstream", ["stdio"], indirect=True)
async def test_roots_reach_the_owner_of_the_pipe(upstream: Upstream, asked: Any) -> None:
    found = await answer(upstream, asked("roots", Client("anne")))
    assert found["structuredContent"]["result"] == ["file:///home/anne"]


async def test_a_client_that_declared_nothing_is_never_asked(upstream: Upstream, asked: Any) -> None:
    client = Client("carl")
    forward = asked("think", client)
    found = await answer(upstream, replace(forward, client=replace(CLIENT, capabilities=Raw(b"{}")), asks=None))
    assert found["code"] == -32601
    assert client.heard == []
