"""The channel to a server that is a child process: messages as lines on its pipes.

Which question: how do many requests share two pipes? Touches one child. The rule: a line that leaves holds one
message and no line break of its own, and only the end of the child's output, or our own `close`, ends the channel.

MCP 2026-07-28 `basic/transports/stdio`, MCP 2025-11-25 `basic/transports` (stdio).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Self

from gateway.errors import GatewayError, Kind
from gateway.protocol.jsonrpc import Message
from gateway.settings import Limits, Timeouts
from gateway.upstream.child import PATIENCE, Child, Patience
from gateway.upstream.command import Command
from gateway.upstream.exchange import ChildEnded, Head, OnDropped, OnMessage, WireRequest, ignore
from gateway.upstream.inbox import Inbox
from gateway.upstream.intake import Intake
from gateway.upstream.switchboard import Switchboard
from storage.tasks import Tasks

_SETTLE = 0.5
"""Seconds from a child's last sign of life to the verdict on it: its exit and its last output come separately."""


class StdioChannel:
    """Carries messages to one running child. `start` makes one."""

    def __init__(
        self, child: Child, intake: Intake, over: asyncio.Event, timeouts: Timeouts, patience: Patience
    ) -> None:
        self._child = child
        self._intake = intake
        self._over = over
        self._timeouts = timeouts
        self._patience = patience
        self._turn = asyncio.Lock()
        self._closing = False
        self._tasks = Tasks("stdio")
        self._life = self._tasks.spawn(self._live(), f"child {child.pid}")

    def __repr__(self) -> str:
        return f"<StdioChannel {self.pid}: {len(self._intake.board)} in flight{', over' if self.over else ''}>"

    @classmethod
    async def start(
        cls,
        command: Command,
        *,
        limits: Limits,
        timeouts: Timeouts,
        on_message: OnMessage = ignore,
        on_dropped: OnDropped = ignore,
        patience: Patience = PATIENCE,
    ) -> StdioChannel:
        """Start `command`. `on_message` hears the notifications and server requests that belong to no exchange.

        Raises `GatewayError`: SERVER_CLOSED (reason `not_found`), TIMEOUT (`connect`); both `unsent`.
        """
        intake = Intake(Switchboard(on_message, on_dropped), on_dropped, limits.response_bytes)
        over = asyncio.Event()
        child = await Child.start(command, hear=intake.hear, over=over.set, within=timeouts.connect)
        return cls(child, intake, over, timeouts, patience)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def stderr(self) -> tuple[str, ...]:
        """The child's last lines on stderr, as they were: they may hold secrets."""
        return self._child.stderr

    @property
    def over(self) -> bool:
        """The channel carries nothing any more."""
        return self._over.is_set()

    async def wait_over(self) -> None:
        """Wait until the child has ended, by itself or by `close`, and is gone with its whole group."""
        await asyncio.wait({self._life})

    @asynccontextmanager
    async def exchange(self, request: WireRequest) -> AsyncIterator[PipeExchange]:
        """As `Channel.exchange`. Leaving early leaves the child alone: telling it is the caller's affair."""
        inbox = self._intake.board.open(request.id, named=request.named)
        try:
            await self._write(request.body)
            yield PipeExchange(inbox, self._timeouts, request)
        finally:
            self._intake.board.close(request.id)

    async def send(self, body: bytes, headers: Mapping[str, str]) -> None:
        """As `Channel.send`; a pipe has no headers."""
        await self._write(body)

    async def close(self) -> None:
        """Stop the child and its group: close stdin, wait, SIGTERM, wait, SIGKILL."""
        self._closing = True
        self._over.set()
        patience = self._patience
        await self._tasks.close(_SETTLE + patience.eof + patience.term + patience.kill + 1.0)

    async def _write(self, body: bytes) -> None:
        """Write one line, after those that others are writing. What fails here was not written at all."""
        try:
            async with asyncio.timeout(self._timeouts.first_byte), self._turn:
                if not self.over:
                    await self._child.writable()
                if not self.over:
                    self._child.write(body.translate(None, b"\r\n") + b"\n")
                    return
        except BrokenPipeError:
            self._over.set()
        except TimeoutError:
            message = f"the server has not read its input for {self._timeouts.first_byte:g} s"
            raise GatewayError(Kind.TIMEOUT, message, reason="stalled", unsent=True) from None
        await self._settled()
        raise self._verdict(unsent=True)

    async def _live(self) -> None:
        """The child's life as the channel sees it."""
        await self._over.wait()
        await self._settled()
        self._intake.end()
        self._intake.board.end(self._verdict)
        await self._child.stop(self._patience)

    async def _settled(self) -> None:
        if not self._closing:
            await self._child.settled(_SETTLE)

    def _verdict(self, *, unsent: bool = False) -> GatewayError:
        if self._closing:
            message = "the server's process was stopped"
            return GatewayError(Kind.SERVER_CLOSED, message, reason="closed", unsent=unsent)
        return ChildEnded(self._child.exit_code, self.stderr, unsent=unsent)


class PipeExchange:
    """One request on the pipes of a child."""

    head: Head | None = None

    def __init__(self, inbox: Inbox, timeouts: Timeouts, request: WireRequest) -> None:
        self._inbox = inbox
        self._timeouts = timeouts
        self._request = request
        self._heard = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        """The next message. Waits `first_byte` seconds for the first one, `idle` for each further one."""
        within, reason = (self._timeouts.idle, "idle") if self._heard else (self._timeouts.first_byte, "first_byte")
        limit = None if self._request.lasting else within
        message = await self._inbox.next(limit, reason, self._request.pause)
        self._heard = True
        return message
