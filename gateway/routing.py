"""The routing table: which server and thing an exposed name means, on which endpoint.

Which question: where does this name lead, and what does this endpoint list? Pure. The rule: a table is built whole
and never changed; names are looked up, never split; only a URI, which may stand in no list, says by itself whose it is.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import msgspec
from msgspec import Raw

from gateway import capabilities, task_ids, templates, uris
from gateway.capabilities import Capabilities
from gateway.catalog import Catalog, ExposedEntry, exposed
from gateway.errors import GatewayError, Kind
from gateway.glossary import Glossary
from gateway.methods import Names
from gateway.ownership import Hidden
from gateway.ownership import owners as owners_of
from gateway.protocol import jsonrpc
from gateway.protocol.edits import opened
from gateway.protocol.jsonrpc import NotAnObject
from gateway.protocol.listed import Listed
from gateway.protocol.mirrors import Mirror
from gateway.protocol.params import Params
from gateway.protocol.versions import Era
from gateway.settings import ServerSpec
from gateway.task_ids import Holder, TaskIds, TaskNames
from gateway.uris import AS_THEY_ARE, Naming

PAGE_SIZE = 1_000
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


def find(endpoint: Endpoint, names: Names, params: Params) -> Route:
    """Where a request goes that names a thing in its params. Raises INVALID_PARAMS and UNKNOWN_TOOL
    (MCP 2026-07-28 `server/tools` §Error Handling, `server/resources` §Error Handling).
    """
    match names:
        case Names.TOOL:
            return _named(endpoint, Listed.TOOLS, params.word("name"))
        case Names.PROMPT:
            return _named(endpoint, Listed.PROMPTS, params.word("name"))
        case Names.URI:
            return find_resource(endpoint, params.word("uri"))
        case Names.REF:
            return _referred(endpoint, params)


def find_resource(endpoint: Endpoint, uri: str) -> Route:
    """The server of a resource, listed or not. Raises INVALID_PARAMS, which names the URI."""
    if (route := endpoint.whole(uri)) is not None:
        return route
    if (known := endpoint.books[Listed.RESOURCES].routes.get(uri) or endpoint.pages.get(uri)) is not None:
        return known
    slug = uris.slug_in(uri) if endpoint.prefixed else None
    if slug is not None and (server := endpoint.by_slug.get(slug)) is not None:
        naming = endpoint.naming_of(server)
        return Route(server, naming.back(uri), naming)
    for template, route in endpoint.books[Listed.TEMPLATES].routes.items():
        if templates.matches(template, uri):
            return Route(route.server, route.naming.back(uri), route.naming)
    if (only := _only_owner(endpoint)) is not None:
        return Route(only, uri)
    raise GatewayError(Kind.INVALID_PARAMS, "Resource not found", data={"uri": uri}, reason="unknown_resource")


def page(endpoint: Endpoint, listed: Listed, era: Era, cursor: str | None) -> tuple[list[bytes], str | None]:
    """One page of definitions and the cursor of the next. Raises INVALID_PARAMS for a cursor that is not ours.

    A cursor names the last entry of the page before, so that it survives a change of the list as long as that entry
    is still there.
    """
    book = endpoint.books[listed]
    start = 0 if cursor is None else _after(book, listed, cursor)
    chosen = book.entries[start : start + PAGE_SIZE]
    more = start + PAGE_SIZE < len(book.entries)
    return [entry.text[era] for entry in chosen], _cursor(listed, chosen[-1].exposed) if more else None


def changes(before: RoutingTable, after: RoutingTable, era: Era) -> Mapping[str, tuple[str, ...]]:
    """Endpoint → the notifications that tell clients of `era` what has changed there. An endpoint that has come or
    gone has nobody to tell.
    """
    told = {}
    for key, endpoint in after.endpoints.items():
        old = before.endpoints.get(key)
        if old is None or old is endpoint:
            continue
        changed = (listed for listed in Listed if old.books[listed].marks[era] != endpoint.books[listed].marks[era])
        if methods := tuple(dict.fromkeys(listed.changed for listed in changed)):
            told[key] = methods
    return told


def _named(endpoint: Endpoint, listed: Listed, name: str) -> Route:
    """A server that was never listed may offer anything, on its own endpoint."""
    if (route := endpoint.books[listed].routes.get(name)) is not None:
        return route
    if not endpoint.complete and (whole := endpoint.whole(name)) is not None:
        return whole
    if listed is Listed.TOOLS:
        if (called_by_a_page := endpoint.apps_tools.get(name)) is not None:
            return called_by_a_page
        raise GatewayError(Kind.UNKNOWN_TOOL, f"Unknown tool: {name[:128]}")
    raise GatewayError(Kind.INVALID_PARAMS, f"Unknown prompt: {name[:128]}", reason="unknown_prompt")


def _only_owner(endpoint: Endpoint) -> Server | None:
    """The one server that has resources, where URIs stay as they are: any URI can only be for it."""
    books = (endpoint.books[listed] for listed in (Listed.RESOURCES, Listed.TEMPLATES))
    owners = {route.server.slug: route.server for book in books for route in book.routes.values()}
    return next(iter(owners.values())) if len(owners) == 1 and not endpoint.prefixed else None


def _referred(endpoint: Endpoint, params: Params) -> Route:
    """What an argument is completed for: a prompt, or a resource by URI or template."""
    try:
        ref = jsonrpc.members(params.members.get("ref", Raw(b"null")))
    except NotAnObject as error:
        raise GatewayError(Kind.INVALID_PARAMS, "Invalid params: ref must be an object") from error
    name, uri = (jsonrpc.word(ref.get(member, b"null")) for member in ("name", "uri"))
    if jsonrpc.string(ref.get("type", b"null")) == "ref/prompt" and name is not None:
        return endpoint.whole(name) or _named(endpoint, Listed.PROMPTS, name)
    if uri is None:
        raise GatewayError(Kind.INVALID_PARAMS, "Invalid params: ref must name a prompt, or a resource by its uri")
    return endpoint.books[Listed.TEMPLATES].routes.get(uri) or find_resource(endpoint, uri)


def find_task(endpoint: Endpoint, holder: Holder, ids: TaskIds, name: str) -> Route:
    """The server of a task. Raises INVALID_PARAMS, in the same words whatever is wrong."""
    if holder.bare:
        return Route(endpoint.servers[0], name)
    server_id, task_id = ids.read(holder, name)
    for server in endpoint.servers:
        if server.id == server_id:
            tasks = ids.names(holder, server_id, {task_id: name})
            return Route(server, task_id, endpoint.naming_of(server), tasks=tasks)
    raise task_ids.unknown_task()


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


def _cursor(listed: Listed, last: str) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([listed.value, last])).rstrip(b"=").decode()


def _after(book: Book, listed: Listed, cursor: str) -> int:
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        kind, last = msgspec.json.decode(raw, type=tuple[str, str])
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise GatewayError(Kind.INVALID_PARAMS, "the cursor was not issued here; list again without it") from error
    if kind != listed or last not in book.positions:
        raise GatewayError(Kind.INVALID_PARAMS, "the list has changed since this cursor; list again without it")
    return book.positions[last] + 1
