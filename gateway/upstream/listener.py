"""One session's stream from a legacy server, kept open.

Which question: does this server speak to this session outside any call, and when is the stream opened again? Touches
one line. The rule: one stream per session; a server that opens none is not asked again for that session, and one
that is down is asked ever more rarely.

MCP 2025-11-25 `basic/transports` (Listening for Messages from the Server, Resumability and Redelivery).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from enum import Enum

from gateway.errors import GatewayError
from gateway.upstream.asking import Behalf
from gateway.upstream.event_stream import EventStream, NoStream
from gateway.upstream.exchange import OnMessage
from gateway.upstream.legacy import LegacyLine
from gateway.upstream.line import Begun
from gateway.upstream.pace import STEADY_AFTER, Pace
from gateway.upstream.surroundings import Surroundings

OpenStream = Callable[[str], AbstractAsyncContextManager[EventStream]]
"""Opens the stream after the event with this id; "" for whatever comes."""

_PERHAPS_LOST = frozenset({400, 404, 410})
_PASSING = frozenset({401, 403, 408, 409, 425, 429})
"""Refusals that say nothing about the next time; so does every status from 500 on, but for 501."""
_BROKEN, _UNIMPLEMENTED = 500, 501


class Ending(Enum):
    """Why a stream is not opened again."""

    NOT_SERVED = "not served"
    LINE_OVER = "line over"


class Listener:
    """Keeps the stream of `line` open through `open`; `hear` gets its messages.

    `begun` is told of each opening, and whether something may have been missed: always, unless the server replays what
    came since the last event.
    """

    def __init__(self, line: LegacyLine, open: OpenStream, around: Surroundings, hear: OnMessage, begun: Begun) -> None:
        self._line = line
        self._open = open
        self._around = around
        self._hear = hear
        self._begun = begun
        self._pace = Pace()
        self._last_event = ""
        self._retry: float | None = None

    async def run(self) -> Ending:
        """Listen until there is a reason to stop for good."""
        while True:
            try:
                await self._once()
            except NoStream as refused:
                if (ending := await self._verdict(refused)) is not None:
                    return ending
            except GatewayError:
                pass  # the server is away, or the stream broke: both may pass
            await asyncio.sleep(self._pace.wait(random.random(), self._retry))  # noqa: S311 (spreads load)

    async def _once(self) -> None:
        """Open the stream, and read it to its end."""
        resumed = self._last_event
        async with self._open(resumed) as stream:
            opened = self._around.clock()
            self._begun(not resumed)
            try:
                async for message in stream:
                    self._pace.succeeded()
                    self._hear(message)
            finally:
                self._last_event = stream.last_event_id or resumed
                self._retry = self._retry if stream.retry is None else stream.retry
                if self._around.clock() - opened >= STEADY_AFTER:
                    self._pace.succeeded()

    async def _verdict(self, refused: NoStream) -> Ending | None:
        """What a refusal says about further attempts in this session; None: that they may succeed."""
        status = refused.refusal.status or 0
        if status in _PASSING or (status >= _BROKEN and status != _UNIMPLEMENTED):
            return None
        if status in _PERHAPS_LOST and not await self._is_alive():
            return Ending.LINE_OVER if self._line.life.ended else None
        if self._last_event:
            self._last_event = ""  # perhaps the server merely does not know this event any more
            return None
        return Ending.NOT_SERVED

    async def _is_alive(self) -> bool:
        """Whether the session is; a server without streams may answer 404 to GET as to a lost session, only a
        question tells; one that comes as the session's other messages do, or the server knows nobody.
        """
        try:
            (await self._around.asker.ask(self._line, "ping", behalf=Behalf(headers=self._line.loose))).outcome()
        except GatewayError:
            return False
        return True
