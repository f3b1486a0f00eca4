"""Who hears what servers say outside calls, for tests to ask."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import Message

PATIENCE = 10.0


class Heard:
    """An audience that remembers: (scope, method, params). `answers` is asked on behalf of clients."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str, Any]] = []
        self.questions: list[tuple[str, Message]] = []
        self.answer: Callable[[Message], Awaitable[bytes]] = _nothing_much
        self._news = asyncio.Condition()

    def heard(self, scope: str, message: Message) -> None:
        params = None if message.params is None else json.loads(bytes(message.params))
        self.all.append((scope, message.method.removeprefix("notifications/"), params))
        self._stir()

    async def asked(self, scope: str, request: Message) -> bytes:
        self.questions.append((scope, request))
        self._stir()
        return await self.answer(request)

    def of(self, scope: str) -> list[tuple[str, Any]]:
        return [(method, params) for own, method, params in self.all if own == scope]

    def times(self, method: str) -> int:
        return sum(1 for _, own, _ in self.all if own == method)

    async def until(self, holds: Callable[[], Any]) -> None:
        """Wait until `holds()` is true after something was heard."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(holds)

    def _stir(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._notify())

    async def _notify(self) -> None:
        async with self._news:
            self._news.notify_all()


async def _nothing_much(request: Message) -> bytes:
    return jsonrpc.result(request.id, b'{"roots":[]}')
