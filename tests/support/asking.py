"""A client that servers can ask, as a test plays it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import Message
from gateway.upstream.values import Forward

PATIENCE = 10.0


class Person:
    """Answers what servers ask when the test says so; `at_once` answers everything with that result."""

    def __init__(self, at_once: Any = None) -> None:
        self.heard: list[tuple[Message, Forward | None]] = []
        self.gave_up: list[bytes] = []
        self._at_once = at_once
        self._answers: dict[bytes, asyncio.Future[Any]] = {}
        self._news = asyncio.Condition()

    async def answer(self, request: Message, call: Forward | None) -> bytes:
        assert request.id is not None
        own_id = bytes(request.id)
        self._answers[own_id] = asyncio.get_running_loop().create_future()
        await self._note(lambda: self.heard.append((request, call)))
        try:
            found = await self._answers[own_id] if self._at_once is None else self._at_once
        except asyncio.CancelledError:
            await self._note(lambda: self.gave_up.append(own_id))
            raise
        return jsonrpc.result(request.id, json.dumps(found).encode())

    def say(self, id: bytes, result: Any) -> None:
        """Answer the request with this id."""
        self._answers[id].set_result(result)

    async def asked(self, times: int = 1) -> tuple[Message, Forward | None]:
        """The question that came as `times`, from 1; waits for it."""
        await self.until(lambda: len(self.heard) >= times)
        return self.heard[times - 1]

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(holds)

    async def _note(self, change: Callable[[], object]) -> None:
        async with self._news:
            change()
            self._news.notify_all()
