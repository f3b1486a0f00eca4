"""What servers say without being asked, rewritten for the client that may hear it.

Which question: may this client see this message, and under which token and names? Pure. The rule: a progress token
is always the client's own, with its type; log messages pass only where the client can have asked for them; that a
list has changed is told from the lists themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Raw

from gateway import task_places
from gateway.glossary import Glossary
from gateway.protocol import jsonrpc
from gateway.protocol.eras import LEVELS
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.protocol.versions import Era
from gateway.request import Request

LOG = "notifications/message"

LIST_CHANGED = frozenset(
    {
        "notifications/tools/list_changed",
        "notifications/prompts/list_changed",
        "notifications/resources/list_changed",
    }
)
"""Told when the list that a client sees has changed, and by nobody else."""

OURS = frozenset({"notifications/cancelled", "notifications/initialized", "notifications/subscriptions/acknowledged"})
"""Of the hop between the server and us."""

NOT_IN_CALLS = frozenset(
    {
        "notifications/resources/updated",
        "notifications/elicitation/complete",
        task_places.STATUS,
        task_places.CHANGED,
    }
)
"""What modern clients hear on a stream of their own, if at all."""


def frame_for(request: Request, message: Message, token: int | None, glossary: Glossary) -> bytes | None:
    """`message` as `request`'s client may see it, None when it may not; `token` is the one that we gave the server."""
    if message.kind is not MessageKind.NOTIFICATION or message.method in LIST_CHANGED | OURS:
        return None
    if message.method == "notifications/progress":
        return _progress(request.params.progress_token, message, token, glossary)
    if message.method == LOG and not _wants(request.client.log_level, message, request.era):
        return None
    if request.era is Era.MODERN and message.method in NOT_IN_CALLS:
        return None
    return _notification(message, glossary)


def loose_frame(message: Message, level: Raw | None, glossary: Glossary) -> bytes | None:
    """`message`, which a server sent outside any call to one legacy session; None when its client may not see it."""
    if message.kind is not MessageKind.NOTIFICATION or message.method in LIST_CHANGED | OURS:
        return None
    if message.method == "notifications/progress" or (message.method == LOG and not _wants(level, message, Era.LEGACY)):
        return None
    return _notification(message, glossary)


def _notification(message: Message, glossary: Glossary) -> bytes:
    return jsonrpc.notification(message.method, glossary.notification_out(message.method, message.params))


def _progress(client_token: Raw | None, message: Message, token: int | None, glossary: Glossary) -> bytes | None:
    shown = glossary.notification_out(message.method, message.params)
    if client_token is None or token is None or shown is None:
        return None
    params = jsonrpc.members(shown)
    if bytes(params.get("progressToken", b"")) != str(token).encode():
        return None
    return jsonrpc.notification(message.method, jsonrpc.encode({**params, "progressToken": client_token}))


def _wants(level: Raw | None, message: Message, era: Era) -> bool:
    """Modern clients ask for a level in each request; legacy ones that have asked for none take what the server sends
    (MCP 2026-07-28 `server/utilities/logging`, MCP 2025-11-25 `server/utilities/logging`).
    """
    if level is None or message.params is None:
        return era is Era.LEGACY
    return _rank(level) <= _rank(_level(jsonrpc.members(message.params)))


def _level(params: Mapping[str, Raw]) -> Raw | None:
    return params.get("level")


def _rank(level: Raw | None) -> int:
    name = None if level is None else jsonrpc.string(level)
    return LEVELS.index(name) if name in LEVELS else 0
