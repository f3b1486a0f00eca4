"""A request as it was sent once.

Which question: what comes back for this one sending, and what must the server hear when nobody waits any more?
Touches one exchange of one line. The rule: a server that may be working on a request that nobody waits for is told
so exactly once, in the background.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress

from gateway.errors import GatewayError, Kind
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.upstream.asking import Answer
from gateway.upstream.exchange import Exchange, Head
from gateway.upstream.line import Lease
from gateway.upstream.values import Forward
from storage.tasks import Tasks

RESPONSES = (MessageKind.RESULT, MessageKind.ERROR)
LOG = "notifications/message"
"""Names no call: on pipes that several users share it could tell one about the other, and stays here."""
NOBODY_WAITS = "nobody waits for the answer any more"


class Sending:
    """`call`, sent over the line of `lease` under our `id`. While `running`, the server may be working on it."""

    def __init__(self, call: Forward, lease: Lease, id: int) -> None:
        request = lease.line.compose(id, call)
        self.id = id
        self.call = call
        self.line = lease.line
        self.pause = request.pause
        self.running = False
        self._release = lease.release
        self._context = lease.line.channel.exchange(request)
        self._exchange: Exchange | None = None
        self._messages: AsyncIterator[Message] | None = None

    async def begin(self) -> Answer:
        """Send, and wait for the first message or for the error that stands for it."""
        self.running = True
        self.line.life.joined(self.call.scope.user_id)
        if self.line.questions is not None:
            self.line.questions.admit(self)
        try:
            self._exchange = await self._context.__aenter__()
            self._messages = aiter(self._exchange)
            return Answer(self._head, await self.next())
        except GatewayError as error:
            self._fail(error)
            return Answer(self._head, error=error)

    async def next(self) -> Message:
        """The next message, after the first. Raises `GatewayError`."""
        assert self._messages is not None
        try:
            message = await anext(self._messages)
            while message.method == LOG and not self.line.life.private:
                message = await anext(self._messages)
        except GatewayError as error:
            self._fail(error)
            raise
        if message.kind in RESPONSES:
            self.running = False
        if message.kind is MessageKind.RESULT:
            self.line.granted(self.call)
        return message

    def intercepts(self, message: Message) -> bool:
        """Whether it is a request of the server's, or takes one back; its other messages do not wait for the answer."""
        questions = self.line.questions
        if message.kind is not MessageKind.REQUEST:
            return questions is not None and questions.withdraw(message)
        if questions is not None:
            questions.put(message, self)
        return True

    async def reply(self, body: bytes) -> None:
        await self.line.reply(body, self.call)

    async def leave(self, tasks: Tasks) -> None:
        """Let the line go, and have the server told if it is still working."""
        if self.line.questions is not None:
            self.line.questions.dismiss(self)
        try:
            if self.running:
                self.running = False
                tasks.spawn(self._cancel(), f"cancel {self.id}")
            if self._exchange is not None:
                await self._context.__aexit__(None, None, None)
        finally:
            self._release()

    @property
    def _head(self) -> Head | None:
        return None if self._exchange is None else self._exchange.head

    def _fail(self, error: GatewayError) -> None:
        """Only a server that was too slow may still be working."""
        if error.kind is not Kind.TIMEOUT or error.unsent:
            self.running = False

    async def _cancel(self) -> None:
        with suppress(GatewayError):
            await self.line.cancel(self.id, self.call, NOBODY_WAITS)
