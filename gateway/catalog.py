"""What one server offers at one moment, and how it looks to each era under each naming.

Which question: which bytes does a client see for this server's tools, prompts and resources? Pure. The rule: a
catalog is an immutable value with its own copies of the bytes; a change of catalog is a new value with another hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import Raw

from gateway import uris
from gateway.naming import exposed_name
from gateway.protocol import edits, jsonrpc, mirrors, results
from gateway.protocol.jsonrpc import NotAnArray
from gateway.protocol.listed import Listed
from gateway.protocol.mirrors import BadAnnotation, Mirror
from gateway.protocol.versions import Era
from gateway.uris import Naming

NAMED = frozenset({Listed.TOOLS, Listed.PROMPTS})
"""Kinds whose entries have names, which models see; the others have URIs."""

_MARK_BYTES = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing as its server describes it: the name, URI or URI template that tells it apart, and the exact JSON."""

    name: str
    definition: Raw


Offers = Mapping[Listed, tuple[Entry, ...]]


@dataclass(frozen=True, slots=True)
class Catalog:
    """All that a server offered when it was last asked. `fetched_us`: microseconds since the Unix epoch."""

    era: Era
    protocol_version: str
    capabilities: Raw | None
    server_info: Raw | None
    instructions: str | None
    offers: Offers
    sha256: bytes
    fetched_us: int

    @property
    def tools(self) -> tuple[Entry, ...]:
        return self.offers.get(Listed.TOOLS, ())


@dataclass(frozen=True, slots=True)
class ExposedEntry:
    """One thing as clients see it: the name that routes to it, its definition for either era, and a digest of each.

    `mirrors` are the arguments of a tool that clients repeat in headers; `pages` are the URIs of the pages
    that it advertises, and `for_apps`: pages may call it.
    """

    exposed: str
    original: str
    text: Mapping[Era, bytes]
    mark: Mapping[Era, bytes] = field(repr=False)
    mirrors: tuple[Mirror, ...] = ()
    pages: tuple[str, ...] = ()
    for_apps: bool = False


def entries_of(listed: Listed, definitions: Sequence[Raw]) -> tuple[Entry, ...]:
    """The entries that have a usable name; of two with one name the first counts."""
    entries: dict[str, Entry] = {}
    for definition in definitions:
        name = jsonrpc.word(jsonrpc.members(definition).get(listed.key, Raw(b"null")))
        if name:
            entries.setdefault(name, Entry(name, jsonrpc.copy(definition)))
    return tuple(entries.values())


def digest(offers: Mapping[Listed, Sequence[Raw | bytes]]) -> bytes:
    """SHA-256 over the definitions in order, kind by kind; equal bytes, equal catalog."""
    hasher = hashlib.sha256()
    for listed in Listed:
        definitions = offers.get(listed, ())
        hasher.update(f"{listed} {len(definitions)}\n".encode())
        for definition in definitions:
            hasher.update(len(bytes(definition)).to_bytes(8, "big"))
            hasher.update(definition)
    return hasher.digest()


def exposed(catalog: Catalog, slug: str | None) -> Mapping[Listed, tuple[ExposedEntry, ...]]:
    """The catalog under exposed names (`slug__tool`, `slug+uri`), or under its own names when `slug` is None."""
    naming = Naming(slug)
    return {
        listed: tuple(_expose(listed, entry, naming) for entry in entries) for listed, entries in catalog.offers.items()
    }


def _expose(listed: Listed, entry: Entry, naming: Naming) -> ExposedEntry:
    if listed not in NAMED:
        name = naming.out(entry.name)
        shown = uris.entry_out(listed, entry.definition, naming)
    else:
        name = entry.name if naming.slug is None else exposed_name(naming.slug, entry.name)
        shown = uris.entry_out(listed, entry.definition, naming)
        shown = shown if naming.slug is None else Raw(results.renamed(shown, name))
    is_tool = listed is Listed.TOOLS
    text = _tool(shown) if is_tool else dict.fromkeys(Era, bytes(shown))
    return ExposedEntry(
        exposed=name,
        original=entry.name,
        text=text,
        mark={era: hashlib.sha256(bytes_).digest()[:_MARK_BYTES] for era, bytes_ in text.items()},
        mirrors=_mirrors(entry.definition) if is_tool else (),
        pages=uris.pages_of(entry.definition) if is_tool else (),
        for_apps=is_tool and _is_for_apps(entry.definition),
    )


def _tool(shown: Raw) -> Mapping[Era, bytes]:
    """Modern clients must not take a tool with annotations that break the specification; so they see none of them."""
    modern = shown if _is_well_annotated(shown) else mirrors.stripped(shown)
    return {
        Era.MODERN: bytes(results.tool_for_modern(modern)),
        Era.LEGACY: bytes(results.tool_for_legacy(shown)),
    }


def _is_for_apps(definition: Raw) -> bool:
    """Whether a tool belongs to a page that may call it; models and pages may, where it says nothing (MCP Apps
    2026-01-26, Tool Visibility).
    """
    about = edits.opened(edits.opened(definition).get("_meta")).get("ui")
    if about is None or not jsonrpc.is_object(about):
        return False
    visibility = jsonrpc.members(about).get("visibility")
    try:
        seen_by = ["app"] if visibility is None else [jsonrpc.string(one) for one in jsonrpc.elements(visibility)]
    except NotAnArray:
        return False
    return "app" in seen_by


def _mirrors(definition: Raw) -> tuple[Mirror, ...]:
    return mirrors.mirrors_of(definition) if _is_well_annotated(definition) else ()


def _is_well_annotated(definition: Raw) -> bool:
    try:
        mirrors.mirrors_of(definition)
    except BadAnnotation:
        return False
    return True
