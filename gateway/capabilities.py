"""What an endpoint advertises: the union of what its servers offer and the gateway passes on.

Which question: which capabilities does a client of this era see here? Pure. The rule: what is advertised works; it is
computed from what servers said last, so that no handshake waits for one.

MCP 2026-07-28 `server/discover`, MCP 2025-11-25 `basic/lifecycle` (Capability Negotiation).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Raw

from gateway.catalog import Catalog
from gateway.protocol import jsonrpc
from gateway.protocol.edits import opened
from gateway.protocol.versions import Era

CHANGES = Raw(b'{"listChanged":true}')
CHANGES_AND_UPDATES = Raw(b'{"subscribe":true,"listChanged":true}')
"""The gateway looks at every list again and again, so that it can always tell of changes."""

APPS = "io.modelcontextprotocol/ui"
"""An extension that says the same in both eras."""

TASKS = "io.modelcontextprotocol/tasks"
"""The extension that modern tasks are; legacy ones are a capability of their own."""

CALLS_AS_TASKS = Raw(b'{"cancel":{},"requests":{"tools":{"call":{}}}}')
"""What several servers can have in common: nobody can list the tasks of one caller at all of them."""

Capabilities = Mapping[str, Raw]


def advertised(catalogs: Sequence[Catalog | None], era: Era, *, shared: bool) -> Capabilities:
    """The capabilities towards clients of `era`. On an endpoint that is not `shared` a server of that era speaks for
    itself, members that we do not know included; an endpoint always has tools while a server was never listed.
    """
    known = [catalog for catalog in catalogs if catalog is not None]
    said = [(catalog.era, opened(catalog.capabilities)) for catalog in known]
    own = dict(said[0][1]) if not shared and said and said[0][0] is era else _union(said, era)
    offered = {name for _, capabilities in said for name in capabilities}
    if "tools" in offered or shared or len(known) < len(catalogs):
        own["tools"] = CHANGES
    if "prompts" in offered:
        own["prompts"] = CHANGES
    if "resources" in offered:
        own["resources"] = CHANGES_AND_UPDATES if any(_subscribes(of) for at, of in said if at is era) else CHANGES
    return own


def declares(capabilities: Raw | None, extension: str) -> bool:
    """Whether a peer that says `capabilities` of itself knows an extension."""
    return extension in opened(opened(capabilities).get("extensions"))


def without_task_lists(capabilities: Capabilities) -> Capabilities:
    """For callers whose tasks a server cannot tell from those of others."""
    tasks = opened(capabilities.get("tasks"))
    if "list" not in tasks:
        return capabilities
    return {**capabilities, "tasks": jsonrpc.encode({key: raw for key, raw in tasks.items() if key != "list"})}


def _union(said: Iterable[tuple[Era, Capabilities]], era: Era) -> dict[str, Raw]:
    """What several servers share with clients of `era`; of two settings of one extension the first counts."""
    union: dict[str, Raw] = {}
    extensions: dict[str, Raw] = {}
    for at, capabilities in said:
        if "completions" in capabilities:
            union["completions"] = Raw(b"{}")
        if "logging" in capabilities and at is era:
            union["logging"] = Raw(b"{}")
        if era is at is Era.LEGACY and "tools" in opened(opened(capabilities.get("tasks")).get("requests")):
            union["tasks"] = CALLS_AS_TASKS
        for name, settings in opened(capabilities.get("extensions")).items():
            if at is era or name == APPS:
                extensions.setdefault(name, settings)
    if extensions:
        union["extensions"] = jsonrpc.encode(extensions)
    return union


def _subscribes(capabilities: Capabilities) -> bool:
    return bytes(opened(capabilities.get("resources")).get("subscribe", b"false")) == b"true"
