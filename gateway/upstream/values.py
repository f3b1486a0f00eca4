"""The words at the door to one server: what is forwarded, for whom, and what comes back.

Which question: what does the pipeline hand to a server, and what does it get? Values and small seams only; no I/O.
The rule: nothing here is ever changed after it was made; whatever a server needs to know of a client stands in
`ClientFacts`, since a modern server may not remember and a legacy one must not mix clients up.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import NewType, Protocol

from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol.jsonrpc import Message
from gateway.protocol.listed import Listed
from gateway.protocol.mirrors import Mirror
from gateway.protocol.versions import Era
from gateway.settings import Config, Lifecycle, Limits, ServerSpec, Timeouts
from health.settings import HealthSettings

OnPause = Callable[[int], None]
"""Hears that the server has closed its stream and wants to be asked for the rest in so many milliseconds. Synchronous,
never raises.
"""


def keep_waiting(retry: int) -> None:
    """Whoever waits for the call need not know."""


ScopeKey = NewType("ScopeKey", str)
"""Names one upstream session, or one child, among those of a server."""


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """What one request says of its client; legacy clients said it once, in `initialize`.

    `capabilities` and `info` are the client's own JSON texts; `log_level` is that of the modern request, or the one
    that a legacy client's session has set; `wants_progress` says that the request carried a progress token, which
    stays with the caller.
    """

    era: Era
    protocol_version: str
    capabilities: Raw | None = None
    info: Raw | None = None
    log_level: Raw | None = None
    wants_progress: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """Who is calling: the sid of the client's legacy session, if there is one, and the user."""

    session: str | None
    user_id: int


@dataclass(frozen=True, slots=True)
class Forward:
    """One request for a server.

    `target` is the server's own name of the tool (prompt, URI, task) and goes into `Mcp-Name`; `params` are the
    members of the request's `params` without `_meta`, names already the server's own; `meta` are the members of the
    client's `_meta`, reserved keys included (they are replaced here); `headers` are the client headers that the
    allowlist passes to this server.

    `mirrors` are those of the tool's schema (`x-mcp-header`). `asks` answers what a legacy server asks while it serves
    this call (never `ping`, which is answered here); None: the server is told that nobody can be asked. A `lasting`
    request (`subscriptions/listen`, a legacy `tasks/result`) takes none of the server's places and has no time limit.
    `on_pause` is told when the server sends us away for a while. What is asked `alone` shares a legacy server's session
    with nothing else.
    """

    method: str
    target: str | None
    params: Mapping[str, Raw]
    meta: Mapping[str, Raw]
    client: ClientFacts
    scope: Scope
    headers: Mapping[str, str] = field(default_factory=dict)
    mirrors: tuple[Mirror, ...] = ()
    asks: ServerRequests | None = None
    lasting: bool = False
    on_pause: OnPause = keep_waiting
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """By which rules we deal with one server; its own settings stand before the common ones.

    `silence`: seconds after which a child that does not answer `server/discover` is sent `initialize` as well, since
    many legacy servers say nothing to a method that they do not know.
    """

    slug: str
    spec: ServerSpec = field(repr=False)
    timeouts: Timeouts
    limits: Limits
    lifecycle: Lifecycle
    health: HealthSettings
    silence: float = 3.0

    @classmethod
    def of(cls, slug: str, spec: ServerSpec, config: Config) -> Terms:
        """The terms of the server that `config` holds as `spec`, secrets resolved."""
        return cls(
            slug=slug,
            spec=spec,
            timeouts=spec.timeouts or config.timeouts,
            limits=config.limits,
            lifecycle=config.lifecycle,
            health=spec.health or config.health,
        )


class Relay(Protocol):
    """One forwarded request under way: the server's notifications in order, then exactly one response.

    Iterating raises `GatewayError` when there will be no response (SERVER_CLOSED, SERVER_PROTOCOL, SERVER_STATUS,
    ANSWER_TOO_LARGE, TIMEOUT, BUSY). What is read here is also true after an error.
    """

    @property
    def era(self) -> Era | None:
        """The server's era; None while it is not known."""

    @property
    def attempts(self) -> int:
        """How often the request was sent; 0 while it was not."""

    @property
    def status(self) -> int | None:
        """The HTTP status of the server's answer; None before it came, and on a pipe."""

    @property
    def upstream_us(self) -> int:
        """Microseconds spent waiting for the server."""

    @property
    def progress_token(self) -> int | None:
        """Our token, which `notifications/progress` of this call carries; None when the client gave none."""

    def __aiter__(self) -> AsyncIterator[Message]: ...


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a server says of itself, and all that it offers.

    `offers` are the definitions as the server wrote them, each with its own copy of the bytes and a usable name that
    is unique among its kind; `flaws` are one-line reasons for what was left out.
    """

    era: Era
    protocol_version: str
    capabilities: Raw | None
    server_info: Raw | None
    instructions: str | None
    offers: Mapping[Listed, tuple[Raw, ...]]
    missing: frozenset[Listed] = frozenset()
    flaws: tuple[str, ...] = ()

    @property
    def tools(self) -> tuple[Raw, ...]:
        return self.offers.get(Listed.TOOLS, ())


class ServerRequests(Protocol):
    """Who answers the requests that a legacy server makes while it serves a call (elicitation, sampling, roots)."""

    async def answer(self, request: Message, call: Forward | None) -> bytes:
        """The whole JSON-RPC response to `request`; `call` is the one it belongs to, None when that is unknown.

        Cancelled when the server takes its request back, and when the call is over. A `GatewayError` becomes an error
        response.
        """


class Audience(Protocol):
    """Who hears what a server says outside any call.

    `scope` names the session or child that it was said on; `scopes.HOUSE` is the gateway's own.
    """

    def heard(self, scope: ScopeKey, message: Message) -> None:
        """A notification: list_changed, resources/updated, a log message, or one of an extension. Never raises."""

    async def asked(self, scope: ScopeKey, request: Message) -> bytes:
        """The whole JSON-RPC response to a request of a legacy server's on the line of one client session.

        Cancelled when the server takes its request back, and when the line ends. A `GatewayError` becomes an error
        response.
        """


class Nobody:
    """Nobody hears, and nobody can be asked."""

    def heard(self, scope: ScopeKey, message: Message) -> None: ...

    async def asked(self, scope: ScopeKey, request: Message) -> bytes:
        raise GatewayError(Kind.METHOD_NOT_FOUND, f"{request.method} is not supported through this gateway")


NOBODY = Nobody()


class UpstreamEvents(Protocol):
    """What happens at one server, for whoever counts it. Every verb is synchronous and never raises."""

    def session_opened(self) -> None: ...
    def session_ended(self) -> None: ...
    def session_reinitialised(self, reason: str) -> None:
        """The server had lost a session: `status_404`, `status_410`, `status_400`, `terminated`; `stream` where its
        stream told, between calls.
        """

    def child_started(self) -> None: ...
    def child_ended(self) -> None: ...
    def stream_opened(self, kind: str) -> None:
        """A stream on which the server speaks outside any call: `watch` (the gateway's own), `session`."""

    def stream_closed(self, kind: str, *, broken: bool) -> None:
        """`broken`: not by us; the server has ended it, or the connection is lost."""

    def following(self, resources: int) -> None:
        """So many of the server's resources are followed now."""

    def dropped(self, reason: str) -> None:
        """Something that the server sent was thrown away; `exchange.Dropped` lists the reasons."""


class Unheard:
    """Nobody counts."""

    def session_opened(self) -> None: ...
    def session_ended(self) -> None: ...
    def session_reinitialised(self, reason: str) -> None: ...
    def child_started(self) -> None: ...
    def child_ended(self) -> None: ...
    def stream_opened(self, kind: str) -> None: ...
    def stream_closed(self, kind: str, *, broken: bool) -> None: ...
    def following(self, resources: int) -> None: ...
    def dropped(self, reason: str) -> None: ...


Relist = Callable[[Forward], Awaitable[tuple[Mirror, ...]]]
"""Lists the server's tools again, and gives the mirrors of the call's tool as they are now. Raises `GatewayError`."""
