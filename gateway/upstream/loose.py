"""What a server says outside any call: to whom it goes, and who answers its requests.

Which question: who hears this? Touches the line that it came on through one verb. The rule: a request gets an answer,
within a bound, unless the server sends more of them than it takes answers; one that no client owns gets it at once,
and nobody's client is asked for somebody else.

MCP 2025-11-25 `basic/transports` (Listening for Messages from the Server), `basic/utilities/ping`, `cancellation`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext, suppress

from msgspec import Raw

from gateway.errors import JSONRPC_CODE, GatewayError, Kind
from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.upstream.exchange import Dropped
from gateway.upstream.scopes import is_of_session
from gateway.upstream.surroundings import Surroundings
from gateway.upstream.values import ScopeKey

MOST_OPEN = 16
"""Requests on one line that wait for a client at the same time."""
MOST_UNSENT = 64
"""Requests on one line whose answers the server has not taken yet; what it asks beyond that is thrown away."""
CANCELLED = "notifications/cancelled"
PING = "ping"

Send = Callable[[bytes], Awaitable[None]]
"""Sends a response on the line that the request came on. Raises `GatewayError`."""


Held = Callable[[], AbstractContextManager[None]]
"""Stops the clocks of the calls under way, which may be waiting for what their client is asked here."""


class Loose:
    """Hears what belongs to no call on the line of `scope`, and answers through `send`."""

    def __init__(self, scope: ScopeKey, send: Send, around: Surroundings, held: Held = nullcontext) -> None:
        self._scope = scope
        self._send = send
        self._around = around
        self._held = held
        self._open: dict[bytes, asyncio.Task[None]] = {}

    def hear(self, message: Message) -> None:
        """Pass `message` on. Never raises, never waits."""
        if message.kind is MessageKind.REQUEST:
            self._put(message)
        elif message.kind is MessageKind.NOTIFICATION and not self._withdrawn(message):
            self._around.audience.heard(self._scope, message)

    def end(self) -> None:
        """The line is over: nobody waits for an answer any more."""
        for task in tuple(self._open.values()):
            task.cancel()

    def _put(self, request: Message) -> None:
        own_id = bytes(request.id or b"null")
        if (earlier := self._open.pop(own_id, None)) is not None:
            earlier.cancel()
        if len(self._open) >= MOST_UNSENT:
            self._around.events.dropped(Dropped.OVERFLOW)
            return
        crowded = len(self._open) >= MOST_OPEN
        task = self._around.tasks.spawn(self._answer(request, crowded), f"answer {request.method}")
        self._open[own_id] = task
        task.add_done_callback(lambda _: self._forget(own_id, task))

    def _forget(self, id: bytes, task: asyncio.Task[None]) -> None:
        if self._open.get(id) is task:
            del self._open[id]

    async def _answer(self, request: Message, crowded: bool) -> None:
        try:
            async with asyncio.timeout(self._around.terms.timeouts.answer):
                body = await self._answered(request, crowded)
        except TimeoutError:
            body = _declined(request, Kind.TIMEOUT, "the client did not answer in time")
        except GatewayError as error:
            body = _declined(request, error.kind, error.message)
        with suppress(GatewayError):
            await self._send(body)

    async def _answered(self, request: Message, crowded: bool) -> bytes:
        if request.method == PING or not is_of_session(self._scope):
            return await self._around.asker.answer(request)
        if crowded:
            raise GatewayError(Kind.BUSY, f"{MOST_OPEN} requests are waiting for the client already")
        with self._held():
            return await self._around.audience.asked(self._scope, request)

    def _withdrawn(self, notification: Message) -> bool:
        """Whether the server takes back a request of its own: it gets no answer then."""
        if notification.method != CANCELLED or notification.params is None:
            return False
        task = self._open.get(bytes(jsonrpc.members(notification.params).get("requestId", b"")))
        if task is not None:
            task.cancel()
        return task is not None


def _declined(request: Message, kind: Kind, words: str) -> bytes:
    return jsonrpc.error(request.id or Raw(b"null"), JSONRPC_CODE[kind], words)
