"""What a refusal says about a server's sessions and its era.

Which question: the server did not serve this request; does that mean that our session is gone, or that it speaks
another era than we believed? Pure. The rule: only an answer that names the matter counts; being busy, broken, slow
or unauthorized is evidence of nothing.

MCP 2026-07-28 `basic/versioning`, `basic/transports/streamable-http` (Server Validation), MCP 2025-11-25
`basic/transports` (Session Management).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION = -32020, -32021, -32022
MODERN_CODES = frozenset({HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION})
"""Codes that only servers of 2026-07-28 and later know."""

INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32600, -32601, -32602
NOT_SERVED = frozenset({400, 404, 405, 406, 415})
"""HTTP statuses by which a server says that it does not serve such a request."""

OF_REQUESTS = frozenset({METHOD_NOT_FOUND, INVALID_PARAMS})
"""Codes by which a server says, with whatever status, that it knows the session and not what was asked."""

GONE = frozenset({404, 410})
SESSION_WORDS = re.compile(r"\bsession\b|mcp-session-id|not initiali[sz]ed", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP status (None on a pipe) and, where the server gave them, a JSON-RPC code and words."""

    status: int | None
    code: int | None = None
    text: str = ""

    @property
    def names_session(self) -> bool:
        return SESSION_WORDS.search(self.text) is not None

    @property
    def is_vague(self) -> bool:
        """No code, or one that says no more than that something about the request was wrong."""
        return self.code is None or self.code == INVALID_REQUEST or -32019 <= self.code <= -32000


def session_lost(refusal: Refusal, *, had_session: bool) -> str | None:
    """Why the session is gone (a short word for metrics), None when it is not known to be.

    Servers say it with 404, with 410, with 400 and words about a missing session, or with "Session terminated".
    """
    if refusal.code in MODERN_CODES:
        return None
    if had_session and refusal.status in GONE and (refusal.code not in OF_REQUESTS or refusal.names_session):
        return f"status_{refusal.status}"
    if refusal.is_vague and refusal.names_session:
        if refusal.status == 400:
            return "status_400"
        if refusal.code == INVALID_REQUEST:
            return "terminated"
    return None


def not_served(refusal: Refusal) -> bool:
    """The server answered, and does not know such a request: an `initialize` refused so is no legacy server's."""
    return refusal.status in NOT_SERVED or (refusal.code is not None and refusal.status in (None, 200))


def denies_modern(refusal: Refusal) -> bool:
    """A `server/discover` was answered by a server that does not know it, or does not speak our version."""
    if refusal.code in MODERN_CODES:
        return refusal.code == UNSUPPORTED_VERSION
    return not_served(refusal)


def contradicts_modern(refusal: Refusal) -> bool:
    """A modern request over HTTP was answered as only a legacy server, or one of another revision, would."""
    if refusal.code in MODERN_CODES:
        return refusal.code == UNSUPPORTED_VERSION
    if refusal.status in NOT_SERVED:
        return refusal.is_vague
    return refusal.code == INVALID_REQUEST and refusal.names_session


def contradicts_legacy(refusal: Refusal) -> bool:
    """A legacy request over HTTP was answered as only a modern server would: by its codes, or for lack of `_meta`."""
    return refusal.code in MODERN_CODES or (refusal.status == 400 and refusal.code == INVALID_PARAMS)
