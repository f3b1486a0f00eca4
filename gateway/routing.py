"""The routing table: which server and tool an exposed name means, on which endpoint.

Which question: where does this name lead, and what does this endpoint list? Pure. The rule: a table is built whole
and never changed; routing is a lookup, never a split of a name.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from gateway.catalog import Catalog, ExposedTool, exposed
from gateway.errors import GatewayError, Kind
from gateway.protocol.versions import Era
from gateway.settings import ServerSpec

PAGE_SIZE = 1_000
AGGREGATE = ""
"""The key of the endpoint `/mcp`; every other endpoint's key is a server's slug."""


@dataclass(frozen=True, slots=True)
class Server:
    """A registered server: its row's id, its slug, its settings with secrets resolved, and their revision."""

    id: int
    slug: str
    spec: ServerSpec = field(repr=False)
    revision: bytes


@dataclass(frozen=True, slots=True)
class Route:
    """Where an exposed name leads."""

    server: Server
    tool: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """One server with what it offers, prepared for lists; reused from table to table while neither changes."""

    server: Server
    catalog: Catalog | None
    prefixed: tuple[ExposedTool, ...]
    original: tuple[ExposedTool, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What one door serves. `complete` is false while a server of it has never been listed."""

    key: str
    tools: tuple[ExposedTool, ...]
    routes: Mapping[str, Route]
    positions: Mapping[str, int]
    instructions: str | None
    complete: bool
    shadowed: int = 0


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """Every endpoint by its key, and every server by its slug."""

    endpoints: Mapping[str, Endpoint]
    servers: Mapping[str, Server]

    def endpoint(self, key: str) -> Endpoint:
        """Raises UNKNOWN_SERVER when there is no such endpoint."""
        if (endpoint := self.endpoints.get(key)) is None:
            raise GatewayError(Kind.UNKNOWN_SERVER, f"no server {key[:64]!r} is registered here")
        return endpoint


def shelf(server: Server, catalog: Catalog | None) -> Shelf:
    """`catalog` (None while the server was never listed) prepared under both namings."""
    if catalog is None:
        return Shelf(server, None, (), ())
    return Shelf(server, catalog, exposed(catalog, server.slug), exposed(catalog, None))


def table(shelves: Sequence[Shelf]) -> RoutingTable:
    """The table over `shelves`, in the registry's order."""
    endpoints = {shelf.server.slug: _endpoint(shelf.server.slug, [(shelf, shelf.original)]) for shelf in shelves}
    endpoints[AGGREGATE] = _endpoint(AGGREGATE, [(shelf, shelf.prefixed) for shelf in shelves])
    return RoutingTable(endpoints, {shelf.server.slug: shelf.server for shelf in shelves})


def find(endpoint: Endpoint, name: str) -> Route:
    """Where `name` leads. Raises UNKNOWN_TOOL (MCP 2026-07-28 `server/tools` §Error Handling)."""
    if (route := endpoint.routes.get(name)) is None:
        raise GatewayError(Kind.UNKNOWN_TOOL, f"Unknown tool: {name[:128]}")
    return route


def page(endpoint: Endpoint, era: Era, cursor: str | None) -> tuple[list[bytes], str | None]:
    """One page of tool definitions and the cursor of the next. Raises INVALID_PARAMS for a cursor that is not ours.

    A cursor names the last tool of the page before, so that it survives a change of the list as long as that tool is
    still there.
    """
    start = 0 if cursor is None else _after(endpoint, cursor)
    chosen = endpoint.tools[start : start + PAGE_SIZE]
    definitions = [tool.modern if era is Era.MODERN else tool.legacy for tool in chosen]
    more = start + PAGE_SIZE < len(endpoint.tools)
    return definitions, _cursor(chosen[-1].exposed) if more else None


def _endpoint(key: str, offers: Sequence[tuple[Shelf, tuple[ExposedTool, ...]]]) -> Endpoint:
    routes: dict[str, Route] = {}
    tools: list[ExposedTool] = []
    shadowed = 0
    for shelf, offered in offers:
        for tool in offered:
            if tool.exposed in routes:
                shadowed += 1
                continue
            routes[tool.exposed] = Route(shelf.server, tool.original)
            tools.append(tool)
    return Endpoint(
        key=key,
        tools=tuple(tools),
        routes=routes,
        positions={tool.exposed: index for index, tool in enumerate(tools)},
        instructions=_instructions(shelf for shelf, _ in offers),
        complete=all(shelf.catalog is not None for shelf, _ in offers),
        shadowed=shadowed,
    )


def _instructions(shelves: Iterable[Shelf]) -> str | None:
    """Every server's instructions under a heading, each cut to 2,000 characters; a lone server's stand alone."""
    found = [
        (s.server.slug, s.catalog.instructions) for s in shelves if s.catalog is not None and s.catalog.instructions
    ]
    if len(found) == 1:
        return found[0][1]
    return "\n\n".join(f"# {slug}\n{text[:2_000]}" for slug, text in found) or None


def _cursor(last: str) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(["tools", last])).rstrip(b"=").decode()


def _after(endpoint: Endpoint, cursor: str) -> int:
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        kind, last = msgspec.json.decode(raw, type=tuple[str, str])
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise GatewayError(Kind.INVALID_PARAMS, "the cursor was not issued here; list again without it") from error
    if kind != "tools" or last not in endpoint.positions:
        raise GatewayError(Kind.INVALID_PARAMS, "the list has changed since this cursor; list again without it")
    return endpoint.positions[last] + 1
