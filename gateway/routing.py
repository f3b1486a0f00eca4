"""The routing table: which servers stand behind which endpoint, and what each of them offers there.

Which question: what does this endpoint offer, and what has changed from one table to the next? Pure. The rule: a table
is built whole and never changed; `gateway.lookup` finds names in it, `gateway.paging` shows its lists.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from gateway import capabilities, task_ids
from gateway.capabilities import Capabilities
from gateway.catalog import Catalog, ExposedEntry, exposed
from gateway.errors import GatewayError, Kind
from gateway.glossary import Glossary
from gateway.ownership import Hidden
from gateway.ownership import owners as owners_of
from gateway.protocol.edits import opened
from gateway.protocol.listed import Listed
from gateway.protocol.mirrors import Mirror
from gateway.protocol.versions import Era
from gateway.settings import ServerSpec
from gateway.task_ids import Holder, TaskNames
from gateway.uris import AS_THEY_ARE, Naming

AGGREGATE = ""
"""The key of the endpoint `/mcp`; a server's own is its slug, a group's is `groups/<name>`."""

_GROUPS = "groups/"


@dataclass(frozen=True, slots=True)
class Server:
    """A registered server: its row's id, its slug, its settings with secrets resolved, and their revision."""

    id: int
    slug: str
    spec: ServerSpec = field(repr=False)
    revision: bytes


@dataclass(frozen=True, slots=True)
class Route:
    """Where a call goes: `target` is the server's own name of the tool, prompt, resource or task, "" for a method that
    names none; `naming` is what the server's URIs are called on the endpoint, `tasks` what its tasks are called for the
    caller.
    """

    server: Server
    target: str
    naming: Naming = AS_THEY_ARE
    mirrors: tuple[Mirror, ...] = ()
    tasks: TaskNames = task_ids.AS_THEY_ARE

    @property
    def glossary(self) -> Glossary:
        """What the server's things are called for the client."""
        return Glossary(self.naming, self.tasks)


@dataclass(frozen=True, slots=True)
class Shelf:
    """One server with what it offers, prepared for lists; reused from table to table while neither changes."""

    server: Server
    catalog: Catalog | None
    prefixed: Mapping[Listed, tuple[ExposedEntry, ...]]
    original: Mapping[Listed, tuple[ExposedEntry, ...]]

    def offered(self, naming: Naming) -> Mapping[Listed, tuple[ExposedEntry, ...]]:
        """What it offers under this naming."""
        return self.original if naming.slug is None else self.prefixed


@dataclass(frozen=True, slots=True)
class Selection:
    """The servers behind one endpoint: `slugs` None is every server; `prefixed` puts their slugs before their names;
    `description` stands before their instructions.
    """

    key: str
    slugs: frozenset[str] | None = None
    prefixed: bool = True
    description: str | None = None


ALL = Selection(AGGREGATE)


@dataclass(frozen=True, slots=True)
class Book:
    """One kind of things on one endpoint, in order; `marks` tell one list from another, as each era sees it."""

    entries: tuple[ExposedEntry, ...]
    routes: Mapping[str, Route]
    positions: Mapping[str, int]
    marks: Mapping[Era, bytes]
    hidden: tuple[Hidden, ...] = ()


@dataclass(frozen=True)
class Endpoint:
    """What one door serves. `complete` is false while a server of it has never been listed."""

    key: str
    servers: tuple[Server, ...]
    prefixed: bool
    books: Mapping[Listed, Book] = field(repr=False)
    capabilities: Mapping[Era, Capabilities] = field(repr=False)
    instructions: str | None
    complete: bool
    selection: Selection = ALL
    shelves: tuple[Shelf, ...] = field(default=(), repr=False)
    """What stands behind it, in order."""

    @property
    def tools(self) -> tuple[ExposedEntry, ...]:
        return self.books[Listed.TOOLS].entries

    @property
    def hidden(self) -> tuple[Hidden, ...]:
        """What is not seen here since another server has its name."""
        return tuple(hidden for book in self.books.values() for hidden in book.hidden)

    @property
    def kind(self) -> str:
        """`aggregate`, `group` or `server`."""
        if self.key == AGGREGATE:
            return "aggregate"
        return "group" if self.key.startswith(_GROUPS) else "server"

    @property
    def path(self) -> str:
        """Where clients find it."""
        return {"aggregate": "/mcp", "group": f"/{self.key}/mcp"}.get(self.kind, f"/servers/{self.key}/mcp")

    @property
    def is_shared(self) -> bool:
        """Several servers may stand behind it."""
        return self.kind != "server"

    @cached_property
    def by_slug(self) -> Mapping[str, Server]:
        return {server.slug: server for server in self.servers}

    @cached_property
    def personal(self) -> tuple[Shelf, ...]:
        """Those of servers that get headers of the client's, and may offer each client something else."""
        return tuple(shelf for shelf in self.shelves if shelf.server.spec.forward_headers)

    def shelf_of(self, server_id: int) -> Shelf | None:
        """What a server offers here; None when it does not stand behind this endpoint."""
        return next((shelf for shelf in self.shelves if shelf.server.id == server_id), None)

    @cached_property
    def mute(self) -> frozenset[int]:
        """The servers that complete no arguments, where others may."""
        known = ((s.server, s.catalog) for s in self.shelves if self.is_shared and s.catalog is not None)
        return frozenset(s.id for s, catalog in known if "completions" not in opened(catalog.capabilities))

    @cached_property
    def pages(self) -> Mapping[str, Route]:
        """The pages that tools advertise, by URI, whether they are listed or not; of two equal ones the first."""
        pages: dict[str, Route] = {}
        book = self.books[Listed.TOOLS]
        for entry in book.entries:
            route = book.routes[entry.exposed]
            for uri in entry.pages:
                pages.setdefault(route.naming.out(uri), Route(route.server, uri, route.naming))
        return pages

    @cached_property
    def apps_tools(self) -> Mapping[str, Route]:
        """Tools by their servers' own names, as pages call them, where no two servers have one of a name (MCP Apps)."""
        own: dict[str, list[Route]] = {}
        book = self.books[Listed.TOOLS]
        for entry in book.entries if self.prefixed else ():
            if entry.for_apps:
                own.setdefault(entry.original, []).append(book.routes[entry.exposed])
        return {name: routes[0] for name, routes in own.items() if len(routes) == 1}

    def naming_of(self, server: Server) -> Naming:
        """What the URIs of `server` are called here."""
        return Naming(server.slug) if self.prefixed else AS_THEY_ARE

    def holder(self, user_id: int, *, known: bool) -> Holder:
        """A user as one who is given the ids of tasks; `known` by a key, so that users can be told apart."""
        return Holder(user_id, self.key, bare=not known and not self.is_shared)

    def whole(self, target: str = "") -> Route | None:
        """The route of what can only be for the one server of this endpoint; None when it has several."""
        return None if self.is_shared else Route(self.servers[0], target)


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """Every endpoint by its key, and every server by its slug."""

    endpoints: Mapping[str, Endpoint]
    servers: Mapping[str, Server]

    def hidden(self) -> Iterator[tuple[Endpoint, Hidden]]:
        """What is not seen, and where."""
        return ((endpoint, hidden) for endpoint in self.endpoints.values() for hidden in endpoint.hidden)

    def endpoint(self, key: str) -> Endpoint:
        """Raises UNKNOWN_SERVER when there is no such endpoint."""
        if (endpoint := self.endpoints.get(key)) is None:
            kind = "group" if key.startswith(_GROUPS) else "server"
            words = f"no {kind} {key.removeprefix(_GROUPS)[:64]!r} is registered here"
            raise GatewayError(Kind.UNKNOWN_SERVER, words)
        return endpoint


def group_key(name: str) -> str:
    """The key of a group's endpoint."""
    return _GROUPS + name


def shelf(server: Server, catalog: Catalog | None) -> Shelf:
    """`catalog` (None while the server was never listed) prepared under both namings."""
    if catalog is None:
        return Shelf(server, None, {}, {})
    return Shelf(server, catalog, exposed(catalog, server.slug), exposed(catalog, None))


def table(
    shelves: Sequence[Shelf], selections: Iterable[Selection] = (ALL,), before: RoutingTable | None = None
) -> RoutingTable:
    """The table over `shelves`, in the registry's order. Of names that several servers offer on one endpoint, those
    that one of them had in the table `before` stay with it.
    """
    own = (Selection(shelf.server.slug, frozenset({shelf.server.slug}), prefixed=False) for shelf in shelves)
    known = {} if before is None else before.endpoints
    chosen = (*own, *selections)
    endpoints = {selection.key: _endpoint(selection, shelves, known.get(selection.key)) for selection in chosen}
    return RoutingTable(endpoints, {shelf.server.slug: shelf.server for shelf in shelves})


def changes(before: RoutingTable, after: RoutingTable, era: Era) -> Mapping[str, tuple[str, ...]]:
    """Endpoint → the notifications that tell clients of `era` what has changed there. An endpoint that has come or
    gone has nobody to tell.
    """
    known = before.endpoints
    told = {key: differences(known[key], new, era) for key, new in after.endpoints.items() if key in known}
    return {key: methods for key, methods in told.items() if methods}


def differences(before: Endpoint, after: Endpoint, era: Era) -> tuple[str, ...]:
    """The notifications that tell a client of `era` what has changed for it."""
    if before is after:
        return ()
    changed = (listed for listed in Listed if before.books[listed].marks[era] != after.books[listed].marks[era])
    return tuple(dict.fromkeys(listed.changed for listed in changed))


def overlaid(endpoint: Endpoint, own: Mapping[int, Shelf]) -> Endpoint:
    """The endpoint with other shelves for some of its servers, by their ids."""
    shelves = [replace(own.get(shelf.server.id, shelf), server=shelf.server) for shelf in endpoint.shelves]
    return _endpoint(endpoint.selection, shelves, endpoint)


def _endpoint(selection: Selection, shelves: Sequence[Shelf], before: Endpoint | None) -> Endpoint:
    chosen = [shelf for shelf in shelves if selection.slugs is None or shelf.server.slug in selection.slugs]
    offers = [(shelf, Naming(shelf.server.slug) if selection.prefixed else AS_THEY_ARE) for shelf in chosen]
    known = {} if before is None else before.books
    books = {listed: _book(listed, offers, known.get(listed)) for listed in Listed}
    catalogs = [shelf.catalog for shelf in chosen]
    is_shared = selection.key == AGGREGATE or selection.key.startswith(_GROUPS)
    return Endpoint(
        key=selection.key,
        servers=tuple(shelf.server for shelf in chosen),
        prefixed=selection.prefixed,
        books=books,
        capabilities={era: capabilities.advertised(catalogs, era, shared=is_shared) for era in Era},
        instructions=_instructions(chosen, selection.description),
        complete=all(catalog is not None for catalog in catalogs),
        selection=selection,
        shelves=tuple(chosen),
    )


def _book(listed: Listed, offers: Sequence[tuple[Shelf, Naming]], before: Book | None) -> Book:
    had = {} if before is None else {name: route.server.slug for name, route in before.routes.items()}
    offered = [(shelf.server, naming, shelf.offered(naming).get(listed, ())) for shelf, naming in offers]
    owners = owners_of(((server.slug, [entry.exposed for entry in found]) for server, _, found in offered), had)
    routes: dict[str, Route] = {}
    entries: list[ExposedEntry] = []
    hidden: list[Hidden] = []
    for server, naming, found in offered:
        for entry in found:
            if (owner := owners[entry.exposed]) == server.slug:
                routes[entry.exposed] = Route(server, entry.original, naming, entry.mirrors)
                entries.append(entry)
            else:
                hidden.append(Hidden(listed, entry.exposed, server.slug, owner))
    return Book(
        entries=tuple(entries),
        routes=routes,
        positions={entry.exposed: index for index, entry in enumerate(entries)},
        marks={era: hashlib.sha256(b"".join(entry.mark[era] for entry in entries)).digest() for era in Era},
        hidden=tuple(hidden),
    )


def _instructions(shelves: Iterable[Shelf], description: str | None) -> str | None:
    """The description, then every server's instructions under a heading, each cut to 2,000 characters; a lone
    server's stand alone.
    """
    found = [
        (s.server.slug, s.catalog.instructions) for s in shelves if s.catalog is not None and s.catalog.instructions
    ]
    if len(found) == 1 and description is None:
        return found[0][1]
    told = [] if description is None else [description]
    return "\n\n".join([*told, *(f"# {slug}\n{text[:2_000]}" for slug, text in found)]) or None
