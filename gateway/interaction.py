"""A server's questions, put to the client whose call or session it is.

Which question: what does the client hear of a server's request, and what does the server hear back? Touches the
client through its seam. The rule: whatever the client answers, an error included, is the answer; a client that
cannot be asked is told apart from one that declines.

MCP 2025-11-25 `client/elicitation`, `client/sampling`, `client/roots`, `basic/utilities/ping`.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Raw
from msgspec.structs import replace

from gateway import questions
from gateway.errors import JSONRPC_CODE, GatewayError
from gateway.glossary import Glossary
from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import Message
from gateway.sink import Tell
from gateway.upstream.values import Forward


class Asked(Protocol):
    """A client that can be asked: the sink of its call, or its session."""

    async def ask(self, method: str, params: Raw | None, tell: Tell) -> Message:
        """Raises `GatewayError`, as `gateway.sink.Sink.ask` does."""


class Interaction:
    """A `ServerRequests`: `glossary` is the client's, `tell` passes the client's progress back."""

    def __init__(self, client: Asked, glossary: Glossary, tell: Tell) -> None:
        self._client = client
        self._glossary = glossary
        self._tell = tell

    async def answer(self, request: Message, call: Forward | None) -> bytes:
        theirs = request.id or Raw(b"null")
        if request.method == "ping":
            return jsonrpc.result(theirs, b"{}")
        params = self._glossary.question_out(request.method, request.params)
        try:
            response = await self._client.ask(request.method, params, self._tell)
        except GatewayError as error:
            return jsonrpc.error(theirs, JSONRPC_CODE[error.kind], error.message)
        return questions.reply(request, replace(response, body=self._glossary.answer_back(response)))
