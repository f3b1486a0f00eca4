"""What servers ask a client in the middle of its work: elicitation, sampling, roots, and whatever comes later.

Which question: how does a server's request reach the one client that it is meant for, and that client's answer the
server? Touches the client's stream. The rule: a question goes out on exactly one stream, under an id of ours, and
whoever asked gets exactly one answer; a question that nobody waits for any more is called off.

MCP 2025-11-25 `basic/transports` (Sending Messages to the Server), `client/elicitation`, `client/sampling`,
`client/roots`, `basic/utilities/progress`, `basic/utilities/cancellation`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol import jsonrpc
from gateway.protocol import meta as keys
from gateway.protocol.jsonrpc import Message, MessageKind, NotAnObject
from gateway.sink import Answer, Tell, cannot_be_asked

MOST_OPEN = 64
"""Questions that one client has before it at most; it answers each by a request of its own."""


class Stream(Protocol):
    """Where a question goes out."""

    async def send(self, frame: bytes) -> None: ...

    def pause(self, retry: int) -> None: ...

    async def finish(self, answer: Answer) -> None: ...


@dataclass(slots=True)
class _Question:
    answer: asyncio.Future[Message] = field(repr=False)
    token: Raw | None = None
    tell: Tell | None = None


class Questions:
    """The questions that one client session has not answered yet; `prefix` makes their ids unique in it."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._asked = 0
        self._open: dict[str, _Question] = {}

    def __len__(self) -> int:
        return len(self._open)

    async def ask(self, stream: Stream, method: str, params: Raw | None, tell: Tell | None = None) -> Message:
        """Ask on `stream` and wait for the client's response. Raises BUSY when too many questions are open.

        Cancelling calls the question off: the client hears `notifications/cancelled` with its id.
        """
        if len(self._open) >= MOST_OPEN:
            raise GatewayError(Kind.BUSY, f"the client has {MOST_OPEN} questions before it", reason="questions")
        self._asked += 1
        ours = f"{self._prefix}-{self._asked}"
        token, params = _with_token(params, ours)
        question = _Question(asyncio.get_running_loop().create_future(), token, tell)
        self._open[ours] = question
        try:
            await stream.send(jsonrpc.request(jsonrpc.text(ours), method, params))
            return await question.answer
        except asyncio.CancelledError:
            await _call_off(stream, ours)
            raise
        finally:
            del self._open[ours]

    def answered(self, response: Message) -> bool:
        """Take in a response of the client's; whether it was awaited. One to nothing, or a second one, is ignored."""
        question = self._open.get(_id_of(response.id))
        if question is None or question.answer.done():
            return False
        question.answer.set_result(response)
        return True

    async def progressed(self, params: Raw | None) -> None:
        """Take in `notifications/progress` of the client's about a question."""
        found = {} if params is None else jsonrpc.members(params)
        question = self._open.get(_id_of(found.get(keys.PROGRESS_TOKEN)))
        if question is not None and question.token is not None and question.tell is not None:
            await question.tell(jsonrpc.encode({**found, keys.PROGRESS_TOKEN: question.token}))


class Dialogue:
    """The sink of a session's exchange: a stream whose reader can be asked. `questions` None: it reads no streams."""

    def __init__(self, stream: Stream, questions: Questions | None) -> None:
        self._stream = stream
        self._questions = questions
        self.send = stream.send
        self.pause = stream.pause
        self.finish = stream.finish

    async def ask(self, method: str, params: Raw | None, tell: Tell) -> Message:
        if self._questions is None:
            raise cannot_be_asked()
        return await self._questions.ask(self._stream, method, params, tell)


def reply(request: Message, response: Message) -> bytes:
    """The client's `response` as the answer to the server's own `request`."""
    theirs, body = request.id or Raw(b"null"), response.body or Raw(b"null")
    return jsonrpc.result(theirs, body) if response.kind is MessageKind.RESULT else jsonrpc.error_raw(theirs, body)


def _with_token(params: Raw | None, id: str) -> tuple[Raw | None, Raw | None]:
    """The server's progress token, if it gave one, and the params with ours (the question's id) in its place."""
    if params is None:
        return None, None
    found = jsonrpc.members(params)
    try:
        about = jsonrpc.members(found.get("_meta", b"{}"))
    except NotAnObject:
        return None, params
    if (token := about.get(keys.PROGRESS_TOKEN)) is None:
        return None, params
    ours = jsonrpc.encode({**about, keys.PROGRESS_TOKEN: jsonrpc.text(id)})
    return jsonrpc.copy(token), jsonrpc.encode({**found, "_meta": ours})


def _id_of(raw: Raw | None) -> str:
    return "" if raw is None else jsonrpc.string(raw) or ""


async def _call_off(stream: Stream, id: str) -> None:
    words = jsonrpc.text({"requestId": id, "reason": "the server no longer waits for the answer"})
    try:
        await stream.send(jsonrpc.notification("notifications/cancelled", words))
    except GatewayError:
        return  # nobody reads the stream any more, so nobody was asked
