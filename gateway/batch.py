"""Batches of 2025-03-26: several messages in one POST, their answers in one array.

Which question: which messages are in this array, and how are their answers one? Pure but for the sink that it passes
frames to. The rule: every message is served as if it had come alone; later revisions have no batches.

MCP 2025-03-26 `basic/index` §Batching, `basic/transports` §Sending Messages; JSON-RPC 2.0 §6.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import PARSE_ERROR, Malformed, Message
from gateway.protocol.texts import NotAnArray, elements
from gateway.sink import Answer, Sink, Tell

VERSION = "2025-03-26"
MOST_MESSAGES = 100


def is_batch(body: bytes) -> bool:
    """Whether the text of `body` begins as an array does."""
    return body.lstrip(b" \t\r\n")[:1] == b"["


def parts(body: bytes) -> list[bytes]:
    """The messages of a batch, each as its own text. Raises `Malformed`, and INVALID_REQUEST for an empty batch, one
    that is too long, and one that holds `initialize`.
    """
    try:
        found = [bytes(part) for part in elements(body)]
    except NotAnArray as error:
        raise Malformed(PARSE_ERROR, f"Parse error: {error}") from error
    if not 1 <= len(found) <= MOST_MESSAGES:
        raise GatewayError(Kind.INVALID_REQUEST, f"a batch holds 1 to {MOST_MESSAGES} messages, this one {len(found)}")
    if any(_is_initialize(part) for part in found):
        raise GatewayError(Kind.INVALID_REQUEST, "initialize may not be part of a batch")
    return found


class Part:
    """The sink of one message of a batch: frames pass at once, its answer waits for the others'."""

    def __init__(self, whole: Sink) -> None:
        self._whole = whole
        self.answer: Answer | None = None

    async def send(self, frame: bytes) -> None:
        await self._whole.send(frame)

    async def ask(self, method: str, params: Raw | None, tell: Tell) -> Message:
        return await self._whole.ask(method, params, tell)

    def pause(self, retry: int) -> None:
        """The others of the batch go on."""

    async def finish(self, answer: Answer) -> None:
        self.answer = answer


def whole_answer(done: Sequence[Part]) -> Answer:
    """One array of the answers that there are; 202 when every message was a notification or a response."""
    bodies = [part.answer.body for part in done if part.answer is not None and part.answer.body is not None]
    return Answer(b"[" + b",".join(bodies) + b"]") if bodies else Answer(None, 202)


def _is_initialize(part: bytes) -> bool:
    try:
        return jsonrpc.parse(part).method == "initialize"
    except Malformed:
        return False
