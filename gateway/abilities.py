"""What clients say they can be asked, and what a server asks.

Which question: has this client declared that it takes questions of this kind? Pure. The rule: a kind of question
that a client did not declare never reaches it, down to the mode; kinds that we do not know are not ours to judge.

MCP 2026-07-28 `basic/patterns/mrtr`, `client/elicitation`, `client/sampling`, `client/roots`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Raw

from gateway.protocol import jsonrpc
from gateway.protocol.edits import opened

TOLD_CHARS = 1_000
_NULL = Raw(b"null")

Needed = Mapping[str, Mapping[str, Any]]
"""A `ClientCapabilities` object."""


def lacking(result: Raw, capabilities: Raw | None) -> Needed:
    """What a client of these `capabilities` would have to declare for all that an `input_required` asks; empty when
    it has.
    """
    declared, needed = opened(capabilities), dict[str, dict[str, Any]]()
    for asked in opened(opened(result).get("inputRequests")).values():
        name, mode = _kind(opened(asked))
        if name is not None and not _has(declared, name, mode):
            needed.setdefault(name, {}).update({} if mode is None else {mode: {}})
    return needed


def told(result: Raw) -> str:
    """What an `input_required` asks, as far as it can be told in words."""
    asked = map(opened, opened(opened(result).get("inputRequests")).values())
    pairs = ((one.get("method", _NULL), opened(one.get("params")).get("message", _NULL)) for one in asked)
    return "; ".join(": ".join(words for words in map(jsonrpc.string, pair) if words) for pair in pairs)[:TOLD_CHARS]


def _kind(asked: Mapping[str, Raw]) -> tuple[str | None, str | None]:
    """The capability that a question takes, and the part of it."""
    params = opened(asked.get("params"))
    match jsonrpc.string(asked.get("method", b"null")):
        case "elicitation/create":
            return "elicitation", jsonrpc.string(params.get("mode", b"null")) or "form"
        case "sampling/createMessage":
            return "sampling", "tools" if params.keys() & {"tools", "toolChoice"} else None
        case "roots/list":
            return "roots", None
    return None, None


def _has(declared: Mapping[str, Raw], name: str, mode: str | None) -> bool:
    """Whoever declares elicitation, and no mode of it, knows forms."""
    if name not in declared:
        return False
    modes = opened(declared[name])
    return mode is None or mode in modes or (mode == "form" and not modes.keys() & {"form", "url"})
