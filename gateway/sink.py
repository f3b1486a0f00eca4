"""Where the frames of one exchange go: the seam between the data path and whoever reads.

Which question: what may the data path do with a reader, and what may a stream that can be resumed? Words alone. The
rule: any number of `send` and `ask`, then exactly one `finish`; the sink chooses JSON or SSE from what comes first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
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

    def pause(self, retry: int) -> None:
        """The server says nothing for the next `retry` milliseconds, and closed its own stream for that time. A
        reader that can come back may be sent away; any other waits.
        """

    async def finish(self, answer: Answer) -> None:
        """Pass on the answer and end."""


def cannot_be_asked() -> GatewayError:
    """Why a client without a session, or one that reads no stream, gets no questions."""
    return GatewayError(Kind.METHOD_NOT_FOUND, "this client cannot be asked: it has no session, or reads no stream")


Label = Callable[[int], str]
"""The event id of the event with this number; whoever asks for it shows it to the client."""


class Reader(ABC):
    """Reads numbered events, and may show their ids to a client that can lose its connection and come back. Each
    verb raises as `Sink.send`.
    """

    @abstractmethod
    async def follow(self, label: Label, first: int | None) -> bool:
        """What comes now are numbered events; once they become an event stream, it begins with an empty event of
        the number `first`, where the client knows such (MCP 2025-11-25). False when the client takes no stream.
        """

    @abstractmethod
    async def event(self, number: int, frame: bytes) -> None:
        """Pass on one JSON-RPC message that precedes the answer."""

    @abstractmethod
    async def part(self, number: int, retry: int) -> None:
        """End the stream after the event `number`; its client is to come back in `retry` milliseconds."""

    @abstractmethod
    async def conclude(self, number: int, answer: Answer) -> None:
        """Pass on the answer and end."""

    @abstractmethod
    async def finish(self, answer: Answer) -> None:
        """End without a number: with an answer, or with none because another reader has taken over."""
