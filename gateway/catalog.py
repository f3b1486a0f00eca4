"""What one server offers at one moment, and how it looks to each era under each naming.

Which question: which bytes does a client see for this server's tools? Pure. The rule: a catalog is an immutable
value with its own copies of the bytes; a change of catalog is a new value with another hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import Raw

from gateway.naming import exposed_name
from gateway.protocol import jsonrpc, results
from gateway.protocol.versions import Era


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool as its server describes it; `definition` is the exact JSON text."""

    name: str
    definition: Raw


@dataclass(frozen=True, slots=True)
class Catalog:
    """All that a server offered when it was last asked. `fetched_us`: microseconds since the Unix epoch."""

    era: Era
    protocol_version: str
    capabilities: Raw | None
    server_info: Raw | None
    instructions: str | None
    tools: tuple[Tool, ...]
    sha256: bytes
    fetched_us: int


@dataclass(frozen=True, slots=True)
class ExposedTool:
    """One tool as clients see it: the name that routes to it, and its definition for either era."""

    exposed: str
    original: str
    modern: bytes
    legacy: bytes


def tools_of(definitions: Sequence[Raw]) -> tuple[Tool, ...]:
    """The tools that have a usable name; of two with one name the first counts."""
    tools: dict[str, Tool] = {}
    for definition in definitions:
        name = jsonrpc.word(jsonrpc.members(definition).get("name", Raw(b"null")))
        if name:
            tools.setdefault(name, Tool(name, jsonrpc.copy(definition)))
    return tuple(tools.values())


def digest(definitions: Sequence[Raw | bytes]) -> bytes:
    """SHA-256 over the definitions in order; equal bytes, equal catalog."""
    hasher = hashlib.sha256()
    for definition in definitions:
        hasher.update(len(bytes(definition)).to_bytes(8, "big"))
        hasher.update(definition)
    return hasher.digest()


def exposed(catalog: Catalog, slug: str | None) -> tuple[ExposedTool, ...]:
    """The catalog's tools under exposed names (`slug__tool`), or under their own names when `slug` is None."""
    return tuple(_expose(tool, slug) for tool in catalog.tools)


def _expose(tool: Tool, slug: str | None) -> ExposedTool:
    name = tool.name if slug is None else exposed_name(slug, tool.name)
    renamed = tool.definition if slug is None else Raw(results.renamed(tool.definition, name))
    return ExposedTool(
        exposed=name,
        original=tool.name,
        modern=bytes(results.tool_for_modern(renamed)),
        legacy=bytes(results.tool_for_legacy(renamed)),
    )
