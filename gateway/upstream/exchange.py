"""The seam between the gateway and a way to carry messages to one server.

Which question: what can be asked of a transport? The rule: a transport moves messages and knows nothing of
sessions, eras, tools or records; it translates its library's exceptions into `GatewayError` beside the call that
raises them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from gateway.errors import GatewayError, Kind
from gateway.protocol.jsonrpc import Message
from gateway.upstream.pause import Pause
from gateway.upstream.values import OnPause, keep_waiting


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One JSON-RPC request, ready to leave.

    `id` is ours, unique on the channel, and is also the progress token when one was minted; `body` holds neither
    CR nor LF; `headers` matter to HTTP alone (`MCP-Protocol-Version`, `Mcp-Method`, `Mcp-Session-Id`, …), and so does
    `on_pause`. While `pause` is held, the server's silence does not count; the answer to a `lasting` request may take
    for ever. What belongs to one that is `named` carries its id: on a pipe, nothing else is taken for its.
    """

    id: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    pause: Pause | None = None
    lasting: bool = False
    on_pause: OnPause = keep_waiting
    named: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """What an HTTP answer says before its messages; `set_cookies` are `name=value` pairs."""

    status: int
    session_id: str | None = None
    set_cookies: tuple[str, ...] = ()


class Exchange(Protocol):
    """One request's life towards a server: notifications and server requests, then the response, which is last."""

    @property
    def head(self) -> Head | None:
        """The HTTP answer's head; None on a pipe."""

    def __aiter__(self) -> AsyncIterator[Message]:
        """Yield messages as they arrive; ends after the response. Raises `GatewayError` (SERVER_CLOSED,
        SERVER_PROTOCOL, SERVER_STATUS, ANSWER_TOO_LARGE, TIMEOUT) when there will be none.
        """


class Channel(Protocol):
    """Carries messages to one server: a URL, or the pipes of one child."""

    def exchange(self, request: WireRequest) -> AbstractAsyncContextManager[Exchange]:
        """Send `request`; leaving the context before the response ends the exchange on our side (HTTP: closes
        the stream). Raises `GatewayError` with `unsent=True` when the server cannot have seen the request.
        """

    async def send(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Send a notification or a response. Best effort: raises `GatewayError` when it cannot be delivered."""

    async def close(self) -> None:
        """Free everything; exchanges in flight end with SERVER_CLOSED."""


class Dropped(StrEnum):
    """Why something that a server sent was thrown away."""

    NOT_JSON = "not_json"
    NOT_A_MESSAGE = "not_a_message"
    OVERLONG = "overlong"
    UNMATCHED = "unmatched"
    OVERFLOW = "overflow"


OnDropped = Callable[[Dropped], None]
"""Counts what was thrown away. Synchronous, never raises."""

OnMessage = Callable[[Message], None]
"""Hears what belongs to no exchange in flight. Synchronous, never raises."""


def ignore(_: object) -> None:
    """Nobody listens."""


class RefusedByStatus(GatewayError):
    """SERVER_STATUS: an HTTP status other than 2xx without a JSON-RPC error; reason `status_<n>`."""

    def __init__(self, head: Head, message: str) -> None:
        super().__init__(Kind.SERVER_STATUS, message, reason=f"status_{head.status}")
        self.head = head


class ChildEnded(GatewayError):
    """SERVER_CLOSED: the server's process exited (reason `exited`), or closed its output (`closed`).

    `exit_code` is minus the signal's number when a signal ended it, None while it runs. `stderr` holds its last
    lines as they were, secrets included: redact before showing.
    """

    def __init__(self, exit_code: int | None, stderr: tuple[str, ...], *, unsent: bool = False) -> None:
        reason = "closed" if exit_code is None else "exited"
        super().__init__(Kind.SERVER_CLOSED, _obituary(exit_code), reason=reason, unsent=unsent)
        self.exit_code = exit_code
        self.stderr = stderr

    @property
    def detail(self) -> str:
        """The message and the last line of stderr, not redacted."""
        return f"{self.message}; it last said: {self.stderr[-1]}" if self.stderr else self.message


def _obituary(exit_code: int | None) -> str:
    if exit_code is None:
        return "the server's process closed its output"
    if exit_code < 0:
        return f"the server's process was ended by signal {-exit_code}"
    return f"the server's process exited with code {exit_code}"
