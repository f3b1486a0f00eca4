"""The gateway's own questions, asked of a server that never comes to an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest
from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import Message
from gateway.protocol.versions import Era
from gateway.upstream.asking import Asker, question
from gateway.upstream.catalogs import list_all
from gateway.upstream.exchange import WireRequest
from gateway.upstream.line import Greeting
from gateway.upstream.modern import ModernLine
from gateway.upstream.server_requests import PingOnly

NOTE = jsonrpc.parse(b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}')


class Dripping:
    """Says something every now and then, and never answers; `pages` are answered, each with a cursor."""

    head = None

    def __init__(self, *, pages: bool = False) -> None:
        self._pages = pages
        self._serial = count(1)

    @asynccontextmanager
    async def exchange(self, request: WireRequest) -> AsyncIterator[Dripping]:
        self._id = request.id
        yield self

    def __aiter__(self) -> Dripping:
        return self

    async def __anext__(self) -> Message:
        await asyncio.sleep(0.005)
        if not self._pages:
            return NOTE
        page = b'{"tools":[],"nextCursor":"%d"}' % next(self._serial)
        return jsonrpc.parse(jsonrpc.result(self._id, page))


async def unheard(body: bytes) -> None:
    """Nothing is replied."""


async def test_a_question_ends_though_the_server_goes_on_talking() -> None:
    server = Dripping()
    request = ModernLine(server).compose(1, question("tools/list"))
    async with asyncio.timeout(5):
        answer = await Asker(count(1), PingOnly(), 0.05).put(server, request, unheard)
    assert answer.error is not None
    assert (answer.error.kind, answer.error.reason) == (Kind.TIMEOUT, "absolute")


@pytest.mark.trap(39)
async def test_lists_end_though_the_server_always_has_another_page() -> None:
    line, greeting = ModernLine(Dripping(pages=True)), Greeting(Era.MODERN, "2026-07-28", Raw(b'{"tools":{}}'))
    with pytest.raises(GatewayError) as raised:
        async with asyncio.timeout(5):
            await list_all(Asker(count(1), PingOnly()), line, greeting, within=0.05)
    assert (raised.value.kind, raised.value.reason) == (Kind.TIMEOUT, "absolute")
