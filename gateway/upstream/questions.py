"""What a server asks its client while it serves a call.

Which question: who answers this request of the server's, and until when? Touches the line through the call that it
belongs to. The rule: a question reaches the client whose call caused it and nobody else; each one gets exactly one
answer, unless the server takes it back, or asks faster than it takes answers.

MCP 2025-11-25 `client/elicitation`, `client/sampling`, `client/roots`, `basic/utilities/cancellation`, `ping`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from msgspec import Raw

from gateway.errors import JSONRPC_CODE, GatewayError, Kind
from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import Message
from gateway.upstream.exchange import Dropped, OnDropped, ignore
from gateway.upstream.pause import Pause
from gateway.upstream.values import Forward, ServerRequests
from storage.tasks import Tasks

CANCELLED = "notifications/cancelled"
PING = "ping"
MOST_OPEN = 64
"""Questions on one line that wait for answers at the same time."""
MOST_UNSENT = 64
"""Answers of ours on one line that the server has not taken yet; what it asks beyond that is thrown away."""


class Host(Protocol):
    """A call under way, on whose behalf a server may ask."""

    @property
    def call(self) -> Forward: ...

    @property
    def pause(self) -> Pause | None:
        """Stops the clocks that would take the server's waiting for its silence."""

    async def reply(self, body: bytes) -> None:
        """Send a response to the server. Raises `GatewayError`."""


class Questions:
    """The questions of one line. `house` answers what no client is asked; `certain` says that it is known whom a
    request is for: over HTTP its call, on whose stream it comes, on a pipe the one client that the child serves.
    """

    def __init__(self, house: ServerRequests, tasks: Tasks, *, certain: bool, on_dropped: OnDropped = ignore) -> None:
        self._house = house
        self._tasks = tasks
        self._certain = certain
        self._on_dropped = on_dropped
        self._unsent: set[asyncio.Task[None]] = set()
        self._hosts: list[Host] = []
        self._open: dict[bytes, _Question] = {}

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, host: Host) -> None:
        """A call begins."""
        self._hosts.append(host)

    def dismiss(self, host: Host) -> None:
        """A call is over: nobody is asked on its behalf any more."""
        if host in self._hosts:
            self._hosts.remove(host)
        for question in [question for question in self._open.values() if question.host is host]:
            self._close(question)
            self._tasks.spawn(_tell(host, _declined(question.id, Kind.CANCELLED, "the call has ended")), "decline")

    def put(self, request: Message, host: Host) -> None:
        """The server has asked while it served `host`; its other messages do not wait for the answer."""
        asks, own_id = host.call.asks, bytes(request.id or b"null")
        if asks is None or request.method == PING or not self._certain:
            self._say(lambda: _answer(self._house, request, host), f"answer {request.method}")
        elif len(self._open) >= MOST_OPEN:
            words = f"{MOST_OPEN} requests are waiting for the client already"
            self._say(lambda: _tell(host, _declined(own_id, Kind.BUSY, words)), "decline")
        else:
            self._ask(asks, request, host, own_id)

    def offer(self, request: Message) -> bool:
        """The server has asked on a pipe while several calls are under way; whether there is somebody to ask."""
        host = next((host for host in reversed(self._hosts) if host.call.asks is not None), None)
        if host is not None:
            self.put(request, host)
        return host is not None

    def withdraw(self, notification: Message) -> bool:
        """Whether the server takes one of these questions back: it gets no answer then."""
        if notification.method != CANCELLED or notification.params is None:
            return False
        question = self._open.get(bytes(jsonrpc.members(notification.params).get("requestId", b"")))
        if question is not None:
            self._close(question)
        return question is not None

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """The line's client is being asked outside any call, and those under way may be waiting for its answer."""
        pauses = [host.pause for host in self._hosts if host.pause is not None]
        for pause in pauses:
            pause.hold()
        try:
            yield
        finally:
            for pause in pauses:
                pause.resume()

    def _say(self, saying: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """Answer without asking anybody. A server that floods us and takes no answers must not fill our memory."""
        if len(self._unsent) >= MOST_UNSENT:
            self._on_dropped(Dropped.OVERFLOW)
            return
        task = self._tasks.spawn(saying(), name)
        self._unsent.add(task)
        task.add_done_callback(self._unsent.discard)

    def _ask(self, asks: ServerRequests, request: Message, host: Host, id: bytes) -> None:
        if (earlier := self._open.get(id)) is not None:
            self._close(earlier)
        question = _Question(id, host)
        answering = _answer(asks, request, host, lambda: self._answered(question))
        question.task = self._tasks.spawn(answering, f"ask {request.method}")
        self._open[id] = question
        if host.pause is not None:
            host.pause.hold()

    def _answered(self, question: _Question) -> None:
        """The client has answered, and what follows cannot be stopped any more."""
        if self._open.get(question.id) is question:
            del self._open[question.id]
        if not question.over and question.host.pause is not None:
            question.host.pause.resume()
        question.over = True

    def _close(self, question: _Question) -> None:
        self._answered(question)
        question.task.cancel()


class _Question:
    """One question and the task that has it answered. `over`: it is not waiting for its client any more."""

    task: asyncio.Task[None]

    def __init__(self, id: bytes, host: Host) -> None:
        self.id = id
        self.host = host
        self.over = False


def _nothing() -> None:
    """Nobody has to know."""


async def _answer(asks: ServerRequests, request: Message, host: Host, answered: Callable[[], None] = _nothing) -> None:
    try:
        body = await asks.answer(request, host.call)
    except GatewayError as error:
        body = _declined(bytes(request.id or b"null"), error.kind, error.message)
    finally:
        answered()
    await _tell(host, body)


async def _tell(host: Host, body: bytes) -> None:
    with suppress(GatewayError):
        await host.reply(body)


def _declined(id: bytes, kind: Kind, words: str) -> bytes:
    return jsonrpc.error(Raw(id), JSONRPC_CODE[kind], words)
