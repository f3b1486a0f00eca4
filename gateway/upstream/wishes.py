"""What a client has asked a legacy server to remember, kept for when the server forgets.

Which question: which level and which subscriptions does this client expect to hold? No I/O. The rule: only what the
server granted is remembered, and only for a client that has its session with the server alone.

MCP 2025-11-25 `server/resources` (Subscriptions), `server/utilities/logging`.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Raw

from gateway.protocol import jsonrpc
from gateway.upstream.scopes import is_of_one_call, is_of_session
from gateway.upstream.values import Forward, ScopeKey

SUBSCRIBE, UNSUBSCRIBE = "resources/subscribe", "resources/unsubscribe"
MOST = 4_096
"""Subscriptions of one client; later ones hold as long as the server remembers them itself."""


class Wishes:
    """Those of one client towards one server; `level` is a JSON text."""

    def __init__(self) -> None:
        self.level: Raw | None = None
        self._subscriptions: dict[str, Mapping[str, Raw]] = {}

    @property
    def subscriptions(self) -> tuple[Mapping[str, Raw], ...]:
        """The params of the subscriptions, oldest first."""
        return tuple(self._subscriptions.values())

    def granted(self, call: Forward) -> None:
        """The server has answered `call` with a result."""
        uri = jsonrpc.string(call.params.get("uri", b"null"))
        if uri is None:
            return
        if call.method == UNSUBSCRIBE:
            self._subscriptions.pop(uri, None)
        elif call.method == SUBSCRIBE and len(self._subscriptions) < MOST:
            self._subscriptions[uri] = {name: jsonrpc.copy(raw) for name, raw in call.params.items()}


class Memories:
    """The wishes of all clients of one server, by scope."""

    def __init__(self) -> None:
        self._wishes: dict[ScopeKey, Wishes] = {}
        self._opened: set[ScopeKey] = set()

    def __len__(self) -> int:
        return len(self._wishes)

    @property
    def subscribed(self) -> frozenset[ScopeKey]:
        """The scopes that wait for news of a resource."""
        return frozenset(key for key, wishes in self._wishes.items() if wishes.subscriptions)

    def of(self, key: ScopeKey) -> Wishes | None:
        """The wishes of the one client that lines of this scope serve; None where they may serve several."""
        if is_of_one_call(key):
            return Wishes()
        return self._wishes.setdefault(key, Wishes()) if is_of_session(key) else None

    def opened(self, key: ScopeKey) -> bool:
        """A line of this scope is open now; whether it serves one client alone that has had another before, and may
        have been offered something there.
        """
        if not is_of_session(key):
            return False
        again = key in self._opened
        self._opened.add(key)
        return again

    def forget(self, key: ScopeKey) -> None:
        """The client has gone for good."""
        self._wishes.pop(key, None)
        self._opened.discard(key)
