"""`_meta`: the keys that belong to one hop, and the keys that only pass through.

Which question: which `_meta` does the next server get? Pure. The rule: the reserved keys listed here are made anew
for each hop and never copied; every other key, trace context included, keeps its bytes and its order.

MCP 2026-07-28 `basic/index` (`_meta`), `basic/utilities/progress`; SEP-414 (trace context).
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Raw

from gateway.protocol.texts import text

PROTOCOL_VERSION = "io.modelcontextprotocol/protocolVersion"
CLIENT_INFO = "io.modelcontextprotocol/clientInfo"
CLIENT_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
LOG_LEVEL = "io.modelcontextprotocol/logLevel"
SERVER_INFO = "io.modelcontextprotocol/serverInfo"
SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId"
RELATED_TASK = "io.modelcontextprotocol/related-task"
PROGRESS_TOKEN = "progressToken"  # noqa: S105 (a name on the wire)
CHAT_SESSION = "chat.gateway/sessionId"
CHAT_MESSAGE = "chat.gateway/messageId"
TRACEPARENT = "traceparent"

HOP_KEYS = frozenset(
    {
        PROTOCOL_VERSION,
        CLIENT_INFO,
        CLIENT_CAPABILITIES,
        LOG_LEVEL,
        SERVER_INFO,
        SUBSCRIPTION_ID,
        RELATED_TASK,
        PROGRESS_TOKEN,
        CHAT_SESSION,
        CHAT_MESSAGE,
    }
)
"""Keys of a request's `_meta` that stop here."""


def foreign(meta: Mapping[str, Raw]) -> dict[str, Raw]:
    """The members of a request's `_meta` that pass through."""
    return {key: raw for key, raw in meta.items() if key not in HOP_KEYS}


def for_modern(
    meta: Mapping[str, Raw],
    *,
    version: str,
    capabilities: Raw | None,
    info: Raw | None = None,
    log_level: Raw | None = None,
    progress_token: Raw | int | None = None,
) -> dict[str, Raw]:
    """The `_meta` of a request to a modern server. `capabilities` None means that the client declared none."""
    own = {
        PROTOCOL_VERSION: text(version),
        CLIENT_CAPABILITIES: capabilities or Raw(b"{}"),
        CLIENT_INFO: info,
        LOG_LEVEL: log_level,
        PROGRESS_TOKEN: _token(progress_token),
    }
    return foreign(meta) | {key: raw for key, raw in own.items() if raw is not None}


def for_legacy(
    meta: Mapping[str, Raw], *, progress_token: Raw | int | None = None, related: bool = False
) -> dict[str, Raw]:
    """The `_meta` of a request to a legacy server; empty when there is nothing to say. `related`: the client is legacy
    as well, and may say which task the request belongs to.
    """
    token = _token(progress_token)
    kept = {key: raw for key, raw in meta.items() if key not in HOP_KEYS or (related and key == RELATED_TASK)}
    return kept if token is None else {**kept, PROGRESS_TOKEN: token}


def _token(token: Raw | int | None) -> Raw | None:
    return text(token) if isinstance(token, int) else token
