"""A line: one way to speak to a server in one era, ready for requests.

Which question: what does a call need from the thing that carries it? Seams and values; no I/O. The rule: a line
knows its era and its session, so that nobody above asks for either; a line that has ended is never used again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol.versions import Era
from gateway.upstream.exchange import Channel, WireRequest
from gateway.upstream.questions import Questions
from gateway.upstream.refusals import Refusal
from gateway.upstream.values import Forward, ScopeKey


class Again(StrEnum):
    """Why a request may be sent once more: each says that the server did not process it."""

    UNSENT = "unsent"
    SESSION = "session"
    ERA = "era"
    MIRRORS = "mirrors"


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a server says of itself, in `initialize` or in `server/discover`; `version` is the one to speak."""

    era: Era
    version: str
    capabilities: Raw | None = None
    server_info: Raw | None = None
    instructions: str | None = None


class Denied(GatewayError):
    """The server answered, and does not speak this era. `cause` stands for its answer, where that was no message."""

    def __init__(self, message: str, cause: GatewayError | None = None, reason: str = "protocol") -> None:
        kind = Kind.SERVER_PROTOCOL if cause is None else cause.kind
        super().__init__(kind, message, reason=reason if cause is None else cause.reason)


class SessionLost(GatewayError):
    """The server has forgotten the session of a question of ours, which it did not process; the line is over."""

    def __init__(self) -> None:
        words = "the server has forgotten our session with it"
        super().__init__(Kind.SERVER_CLOSED, words, reason="closed", unsent=True)


class Life(Protocol):
    """What a line stands on: a session at the server, or a child."""

    @property
    def ended(self) -> bool:
        """The session is lost, or the child has exited."""

    def joined(self, user_id: int) -> None:
        """A call of this user travels here."""

    @property
    def private(self) -> bool:
        """Whether what names no call can only be about the one user whose calls travel here."""

    def lose(self) -> None:
        """The server has forgotten the session."""

    async def wait_ended(self) -> None:
        """Wait until the session is lost or ended, or the child is gone."""

    async def end(self) -> None:
        """End the session at the server, or stop the child. Never raises; the second time it does nothing."""


class Line(Protocol):
    """Carries requests of one era to one server, within at most one session."""

    @property
    def era(self) -> Era: ...

    @property
    def channel(self) -> Channel: ...

    @property
    def life(self) -> Life: ...

    @property
    def greeting(self) -> Greeting | None:
        """What the server said when the line was opened; None where a line needs no opening."""

    @property
    def questions(self) -> Questions | None:
        """What the server asks its client here; None in an era in which it cannot."""

    def compose(self, id: int, call: Forward) -> WireRequest:
        """`call` as this server wants it; `id` is ours, and the progress token where the client wants progress."""

    def again(self, refusal: Refusal) -> Again | None:
        """Whether `refusal` says that the request was not processed, and why. A lost session ends the line."""

    async def cancel(self, id: int, call: Forward, reason: str) -> None:
        """Tell the server that nobody waits for `call`, sent as `id`; nothing where closing the stream says it."""

    async def reply(self, body: bytes, call: Forward) -> None:
        """Send a response to a request that the server made while it served `call`."""

    async def tell(self, method: str, params: Raw | None) -> None:
        """Send a notification of the client's that belongs to no call. Raises `GatewayError`."""

    async def attune(self, level: Raw, headers: Mapping[str, str]) -> None:
        """Let the server know the least severity (a JSON string) of log messages that a legacy client wants, with the
        client's allow-listed headers; none: those that opened the line. Raises `GatewayError` when the server cannot
        be told.
        """

    def granted(self, call: Forward) -> None:
        """The server has answered `call` with a result."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A line in use; it is not ended for idleness before `release` was called, once."""

    line: Line
    release: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Visit:
    """A lease for the gateway itself, and what the server said of itself."""

    line: Line
    greeting: Greeting
    release: Callable[[], None]


Begun = Callable[[bool], None]
"""Hears that the server is listened to from now on, and whether something may have been missed."""


class Lines(Protocol):
    """Opens lines to one server, and keeps them."""

    async def take(self, call: Forward) -> Lease:
        """The line for `call`, by the server's isolation. Raises `GatewayError`."""

    def borrow(self, key: ScopeKey) -> Lease | None:
        """The line of a scope if it is open, which a lost or ended one is not."""

    def attend(self, key: ScopeKey) -> None:
        """Listen to what a legacy server says outside any call on the line of this scope, whenever there is one."""

    @property
    def attended(self) -> frozenset[ScopeKey]:
        """The scopes that are listened to."""

    def unattend(self, key: ScopeKey) -> None:
        """Listen no more."""

    async def attention(self, line: Line, begun: Begun) -> bool:
        """Listen on a house line of the legacy era, until it is over; `begun` is told of each time that this begins,
        and whether something may have been missed. False, at once, when the server says nothing outside calls.
        """

    async def visit(self, *, anew: bool) -> Visit:
        """A line for the gateway's own questions, to a server that has just been reached. `anew`: let a server that
        was known as legacy show that it has become modern. Raises `GatewayError`.
        """

    def doubt(self, line: Line) -> None:
        """The server's answer contradicts the era of `line`: the next `take` asks the server anew."""

    async def end(self, key: ScopeKey) -> None:
        """End the lines of one scope."""

    async def sweep(self, now: float) -> None:
        """End lines that nobody used for their idle time."""

    async def close(self) -> None:
        """End every line."""
