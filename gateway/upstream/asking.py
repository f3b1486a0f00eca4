"""The gateway's own questions to a server: handshakes, pings, lists.

Which question: what did the server answer to one question of ours? Touches a channel. The rule: whatever the server
says before its answer is heard, and its own requests are answered, so that it never waits for us.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
from msgspec import Raw

from gateway import __version__
from gateway.errors import GatewayError, Kind
from gateway.protocol import results
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.protocol.versions import MODERN_VERSIONS, Era
from gateway.upstream.exchange import Channel, Head, RefusedByStatus, WireRequest
from gateway.upstream.line import Again, Line, SessionLost
from gateway.upstream.refusals import Refusal
from gateway.upstream.values import ClientFacts, Forward, Scope, ServerRequests

OURSELVES = Raw(msgspec.json.encode({"name": "mcp-gateway", "version": __version__}))
"""The gateway's `clientInfo`, where no client stands behind a request."""

ANSWERED_WITHIN = 600.0
"""Seconds that one question of ours may take, whatever the server says meanwhile: `timeouts.absolute` by default."""

Reply = Callable[[bytes], Awaitable[None]]
"""Sends a response to a request of the server's."""

_US = ClientFacts(Era.MODERN, MODERN_VERSIONS[-1], capabilities=Raw(b"{}"), info=OURSELVES)


@dataclass(frozen=True, slots=True)
class Behalf:
    """For whom a question is asked: what a modern server is told of the client, and that client's headers."""

    client: ClientFacts = _US
    headers: Mapping[str, str] = field(default_factory=dict)


HOUSE = Behalf()


@dataclass(frozen=True, slots=True)
class Answer:
    """A response and the head it came under, or the error that says why there is none."""

    head: Head | None
    message: Message | None = None
    error: GatewayError | None = None

    @property
    def refusal(self) -> Refusal | None:
        """What the server said instead of serving; None when it served, or when nobody knows."""
        status = None if self.head is None else self.head.status
        if self.message is not None and self.message.kind is MessageKind.ERROR and self.message.body is not None:
            return Refusal(status, *results.error_head(self.message.body))
        if isinstance(self.error, RefusedByStatus):
            return Refusal(self.error.head.status, None, self.error.message)
        return None

    def outcome(self) -> Message:
        """The message. Raises the error."""
        if self.message is None:
            raise self.error or GatewayError(Kind.SERVER_CLOSED, "the server said nothing", reason="closed")
        return self.message

    def result(self) -> Raw:
        """The result. Raises the error; for an error of the server's, SERVER_STATUS or SERVER_PROTOCOL."""
        message = self.outcome()
        if message.kind is MessageKind.RESULT and message.body is not None:
            return message.body
        refusal = self.refusal or Refusal(None)
        words = f"the server refused: {refusal.code} {refusal.text[:200]}"
        if refusal.status is not None and refusal.status >= 400:
            raise GatewayError(Kind.SERVER_STATUS, words, reason=f"status_{refusal.status}")
        raise GatewayError(Kind.SERVER_PROTOCOL, words, reason="protocol")


def question(method: str, params: Mapping[str, Raw] | None = None, behalf: Behalf = HOUSE) -> Forward:
    """A request that no client has made."""
    return Forward(method, None, params or {}, {}, behalf.client, Scope(None, 0), behalf.headers)


class Asker:
    """Asks, with ids that are unique at the server; `requests` answers what the server asks meanwhile. A question has
    an end: `within` seconds.
    """

    def __init__(self, ids: Iterator[int], requests: ServerRequests, within: float = ANSWERED_WITHIN) -> None:
        self._within = within
        self._ids = ids
        self._requests = requests

    async def ask(
        self, line: Line, method: str, params: Mapping[str, Raw] | None = None, behalf: Behalf = HOUSE
    ) -> Answer:
        """Ask over a line that is open. Raises only what says that nothing was processed (`unsent`): `SessionLost`,
        and what kept the question from being sent.
        """
        asked = question(method, params, behalf)
        request = line.compose(self.number(), asked)
        answer = await self.put(line.channel, request, lambda body: line.reply(body, asked))
        if answer.refusal is not None and line.again(answer.refusal) is Again.SESSION:
            raise SessionLost
        return answer

    def number(self) -> int:
        """An id for the next question."""
        return next(self._ids)

    async def put(self, channel: Channel, request: WireRequest, reply: Reply) -> Answer:
        """Ask over a bare channel; `reply` carries answers to the server's own requests."""
        head: Head | None = None
        try:
            async with channel.exchange(request) as exchange:
                try:
                    message = await self._in_time(aiter(exchange), reply)
                finally:
                    head = exchange.head
        except GatewayError as error:
            if error.unsent:
                raise
            return Answer(head, error=error)
        return Answer(head, message)

    async def answer(self, request: Message, call: Forward | None = None) -> bytes:
        """The response to a request of the server's that no client is asked."""
        return await self._requests.answer(request, call)

    async def _in_time(self, messages: AsyncIterator[Message], reply: Reply) -> Message:
        try:
            async with asyncio.timeout(self._within):
                return await self._response(messages, reply)
        except TimeoutError:
            words = f"the server did not finish within {self._within:g} s"
            raise GatewayError(Kind.TIMEOUT, words, reason="absolute") from None

    async def _response(self, messages: AsyncIterator[Message], reply: Reply) -> Message:
        async for message in messages:
            if message.kind in (MessageKind.RESULT, MessageKind.ERROR):
                return message
            if message.kind is MessageKind.REQUEST:
                with suppress(GatewayError):
                    await reply(await self.answer(message))
        raise GatewayError(Kind.SERVER_CLOSED, "the server ended its stream without an answer", reason="closed")
