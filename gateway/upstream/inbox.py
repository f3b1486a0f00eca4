"""What one exchange on a pipe has received and its reader has not taken yet.

Which question: what comes next for this exchange? Touches the event loop alone. The rule: a slow reader costs
bounded memory and never holds up the pipe, which others share; what does not fit is thrown away, the response never.
"""

from __future__ import annotations

import asyncio
from collections import deque

from gateway.errors import GatewayError, Kind
from gateway.protocol.jsonrpc import Message
from gateway.upstream.pause import Pause, Silence

MESSAGES = 1_024
BYTES = 4_194_304


class Inbox:
    """Holds at most `messages` notifications and requests of `size` bytes together; then the response."""

    def __init__(self, messages: int = MESSAGES, size: int = BYTES) -> None:
        self._waiting: deque[Message] = deque()
        self._messages = messages
        self._room = size
        self._news = asyncio.Event()
        self._ended = False
        self._error: GatewayError | None = None

    def put(self, message: Message) -> bool:
        """Take in what precedes the response; False when there is no room, or when all is over."""
        size = _size(message)
        if self._ended or len(self._waiting) >= self._messages or size > self._room:
            return False
        self._room -= size
        self._waiting.append(message)
        self._news.set()
        return True

    def finish(self, response: Message) -> None:
        """Take in the response, which is last."""
        if not self._ended:
            self._waiting.append(response)
            self._end(None)

    def fail(self, error: GatewayError) -> None:
        """There will be no response; what came before can still be read."""
        if not self._ended:
            self._end(error)

    async def next(self, within: float | None, reason: str, pause: Pause | None = None) -> Message:
        """The next message, StopAsyncIteration at the end. Raises what `fail` was given, and TIMEOUT (`reason`) after
        `within` seconds, `pause` not counted; None: never.
        """
        if not self._waiting and not self._ended:
            await self._wait(within, reason, pause or Pause())
        if self._waiting:
            message = self._waiting.popleft()
            self._room += _size(message)
            return message
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    def _end(self, error: GatewayError | None) -> None:
        self._ended = True
        self._error = error
        self._news.set()

    async def _wait(self, within: float | None, reason: str, pause: Pause) -> None:
        self._news.clear()
        try:
            async with asyncio.timeout(within) as clock:
                with pause.around(Silence(clock, within)):
                    await self._news.wait()
        except TimeoutError:
            raise GatewayError(Kind.TIMEOUT, f"the server was silent for {within:g} s", reason=reason) from None


def _size(message: Message) -> int:
    return len(message.params or b"") + len(message.body or b"")
