"""The methods of MCP that the gateway passes on, and what each names.

Which question: may a client of this era call this method, does a server of that era know it, and what in its params
says where it goes? Pure; a table. The rule: what one era removed is unknown to its clients, whatever a server behind
would answer.

MCP 2026-07-28 `changelog`, MCP 2025-11-25 `basic/lifecycle`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.protocol.versions import Era


class Names(StrEnum):
    """What a request's params name, which decides where it goes."""

    TOOL = "tool"
    PROMPT = "prompt"
    URI = "uri"
    REF = "ref"


@dataclass(frozen=True, slots=True)
class Method:
    """`names` is None where a task is named, whose id says by itself whose it is; such a method goes to a server of the
    client's own era. `capability`: what a server must advertise; `session`: it means something within a legacy session
    alone.
    """

    names: Names | None
    eras: frozenset[Era]
    capability: str | None = None
    session: bool = False


BOTH = frozenset(Era)
LEGACY = frozenset({Era.LEGACY})
MODERN = frozenset({Era.MODERN})

FORWARDED: Mapping[str, Method] = {
    "tools/call": Method(Names.TOOL, BOTH, "tools"),
    "prompts/get": Method(Names.PROMPT, BOTH, "prompts"),
    "resources/read": Method(Names.URI, BOTH, "resources"),
    "resources/subscribe": Method(Names.URI, LEGACY, "resources", session=True),
    "resources/unsubscribe": Method(Names.URI, LEGACY, "resources", session=True),
    "completion/complete": Method(Names.REF, BOTH, "completions"),
    "tasks/get": Method(None, BOTH),
    "tasks/cancel": Method(None, BOTH),
    "tasks/update": Method(None, MODERN),
    "tasks/result": Method(None, LEGACY),
}

MAY_ASK = frozenset({"tools/call", "prompts/get", "resources/read"})
"""Those whose results may be questions (MCP 2026-07-28 `basic/patterns/mrtr`)."""

OF_A_TASK = frozenset(name for name, method in FORWARDED.items() if method.names is None)

_LEGACY_ALONE = {"initialize", "ping", "logging/setLevel", "tasks/list"}
_MODERN_ALONE = {"server/discover", "subscriptions/listen"}

UNKNOWN_TO: Mapping[Era, frozenset[str]] = {
    Era.MODERN: frozenset(_LEGACY_ALONE | {name for name, method in FORWARDED.items() if method.eras == LEGACY}),
    Era.LEGACY: frozenset(_MODERN_ALONE | {name for name, method in FORWARDED.items() if method.eras == MODERN}),
}
"""Methods of the other era, which a client of this one gets -32601 for."""
