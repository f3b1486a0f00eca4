"""The messages that precede an answer, rewritten for the client that waits for it.

Which question: may this client see this message, and under which token? Pure. The rule: a progress token is always
the client's own, with its type; log messages pass only where the client can have asked for them; what is not about
this request stays here.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Raw

from gateway.protocol import jsonrpc
from gateway.protocol.eras import LEVELS
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.protocol.versions import Era
from gateway.request import Request

NOT_OF_A_REQUEST = frozenset(
    {
        "notifications/tools/list_changed",
        "notifications/prompts/list_changed",
        "notifications/resources/list_changed",
        "notifications/resources/updated",
        "notifications/cancelled",
        "notifications/initialized",
    }
)


def frame_for(request: Request, message: Message, token: int | None) -> bytes | None:
    """`message` as `request`'s client may see it, None when it may not; `token` is the one that we gave the server."""
    if message.kind is not MessageKind.NOTIFICATION or message.method in NOT_OF_A_REQUEST:
        return None
    if message.method == "notifications/progress":
        return _progress(request.params.progress_token, message, token)
    if message.method == "notifications/message" and not _wants(request, message):
        return None
    return jsonrpc.notification(message.method, message.params)


def _progress(client_token: Raw | None, message: Message, token: int | None) -> bytes | None:
    if client_token is None or token is None or message.params is None:
        return None
    params = jsonrpc.members(message.params)
    if bytes(params.get("progressToken", b"")) != str(token).encode():
        return None
    return jsonrpc.notification(message.method, jsonrpc.encode({**params, "progressToken": client_token}))


def _wants(request: Request, message: Message) -> bool:
    """Modern clients ask for a level in each request; legacy ones take what the server sends on the call's stream
    (MCP 2026-07-28 `server/utilities/logging`).
    """
    if request.era is Era.LEGACY:
        return True
    if request.client.log_level is None or message.params is None:
        return False
    return _rank(request.client.log_level) <= _rank(_level(jsonrpc.members(message.params)))


def _level(params: Mapping[str, Raw]) -> Raw | None:
    return params.get("level")


def _rank(level: Raw | None) -> int:
    name = None if level is None else jsonrpc.string(level)
    return LEVELS.index(name) if name in LEVELS else 0
