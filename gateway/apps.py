"""MCP Apps: what a tool's definition says of the page that shows its results.

Which question: which pages does this tool advertise, and may a page call it? Pure. The rule: what is written here is
the server's word; nothing is decided by it but where a name leads.

MCP Apps (SEP-1865, 2026-01-26) `_meta.ui`; older spellings beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Raw

from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import NotAnArray, NotAnObject

FLAT = ("ui/resourceUri", "openai/outputTemplate")
"""Members of `_meta` that name a tool's page, as the forerunners of `_meta.ui` spell them."""


@dataclass(frozen=True, slots=True)
class App:
    """`pages` are URIs of the server's, listed by it or not; `calls`: its pages may call the tool."""

    pages: tuple[str, ...] = ()
    calls: bool = False


NO_APP = App()


def app_of(tool: Raw) -> App:
    """What `tool`, a definition, says of its pages. One without `visibility` is for models and pages alike."""
    if b"_meta" not in bytes(tool) and b"\\u" not in bytes(tool):
        return NO_APP
    meta = _members(_members(tool).get("_meta"))
    ui = _members(meta.get("ui"))
    found = (jsonrpc.word(raw) for raw in (ui.get("resourceUri"), *map(meta.get, FLAT)) if raw is not None)
    return App(tuple(dict.fromkeys(uri for uri in found if uri)), bool(ui) and _is_for_pages(ui.get("visibility")))


def _is_for_pages(visibility: Raw | None) -> bool:
    try:
        return visibility is None or "app" in map(jsonrpc.string, jsonrpc.elements(visibility))
    except NotAnArray:
        return False


def _members(raw: Raw | None) -> dict[str, Raw]:
    try:
        return {} if raw is None else jsonrpc.members(raw)
    except NotAnObject:
        return {}
