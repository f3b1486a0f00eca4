"""Where the frames of one exchange go: the seam between the data path and whoever reads.

Which question: what may the data path do with a reader? Words alone. The rule: any number of `send` and `ask`, then
exactly one `finish`; the sink chooses JSON or SSE from what comes first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol.jsonrpc import Message

Tell = Callable[[Raw], Awaitable[None]]
"""Passes the `params` of a client's progress about a question on to the server that asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of an exchange. `status` counts only while no frame was sent; `body` None is an empty answer (202)."""

    body: bytes | None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Sink(Protocol):
    """The reader of one exchange."""

    async def send(self, frame: bytes) -> None:
        """Pass on one JSON-RPC message that precedes the answer; waits while the reader is slow. Raises
        `GatewayError` (ABANDONED) when nobody reads any more.
        """

    async def ask(self, method: str, params: Raw | None, tell: Tell) -> Message:
        """Put a server's request to the client, and wait for its response. Cancelling calls the question off. Raises
        `GatewayError`: METHOD_NOT_FOUND for a client that cannot be asked, BUSY when too many questions are open.
        """

    async def finish(self, answer: Answer) -> None:
        """Pass on the answer and end."""


def cannot_be_asked() -> GatewayError:
    """Why a client without a session, or one that reads no stream, gets no questions."""
    return GatewayError(Kind.METHOD_NOT_FOUND, "this client cannot be asked: it has no session, or reads no stream")
