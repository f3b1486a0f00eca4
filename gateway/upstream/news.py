"""What a server tells of its lists and resources, and what it would have told had we been listening.

Which question: which notifications stand for "this may have changed"? Pure. The rule: what a server never said to
tell of is not told in its name.

MCP 2025-11-25 and 2026-07-28 `server/tools`, `server/prompts`, `server/resources` (List Changed Notification).
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Raw

from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.protocol.listed import Listed
from gateway.upstream.switchboard import RESOURCE_UPDATED

LISTS = frozenset(listed.capability for listed in Listed)


def advertised(capabilities: Raw | None) -> frozenset[str]:
    """The capabilities of the lists whose changes a server says to tell of."""
    found = _members(capabilities)
    return frozenset(name for name in LISTS if _members(found.get(name)).get("listChanged") == Raw(b"true"))


def changed(lists: Iterable[str]) -> list[Message]:
    """These lists, named by their capabilities, have changed."""
    return [Message(MessageKind.NOTIFICATION, method=f"notifications/{name}/list_changed") for name in sorted(lists)]


def updated(uris: Iterable[str]) -> list[Message]:
    """These resources have changed."""
    told = (jsonrpc.text({"uri": uri}) for uri in sorted(uris))
    return [Message(MessageKind.NOTIFICATION, method=RESOURCE_UPDATED, params=params) for params in told]


def _members(text: Raw | None) -> dict[str, Raw]:
    return jsonrpc.members(text) if text is not None and jsonrpc.is_object(text) else {}
