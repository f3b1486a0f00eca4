"""The registered servers as running things: their upstreams, their catalogs, and the routing table over them.

Which question: which servers do we have, what do they offer, and which table follows from it? Touches the upstreams
and the store of catalogs. The rule: derived state is rebuilt, never patched; a table is swapped by one assignment,
and a server that changed gets a new upstream while the old one finishes its calls.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from gateway import catalog as catalogs
from gateway.catalog import Catalog
from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.protocol.jsonrpc import Message
from gateway.protocol.listed import Listed
from gateway.protocol.mirrors import Mirror
from gateway.protocol.versions import Era
from gateway.routing import ALL, RoutingTable, Selection, Server, Shelf, shelf, table
from gateway.upstream.scopes import is_of_session
from gateway.upstream.server import Upstream
from gateway.upstream.switchboard import LISTS_CHANGED
from gateway.upstream.values import NOBODY, Audience, Discovery, ScopeKey
from health.probe import Observation
from storage.errors import StorageError
from storage.tasks import Tasks

log = logging.getLogger(__name__)

QUIET = 0.5
"""Seconds from one listing of a server to the next, however often it says that something has changed."""
RELIST_SECONDS = 5.0
LONGEST_QUIET = 30.0
"""The same for a server that goes on saying so while nothing changes."""

STORE_SECONDS = 5.0
"""How long catalogs that are being stored may still take when the fleet is closed."""


class CatalogStore(Protocol):
    """Where the last good catalog of each server outlives this process."""

    async def load(self) -> Mapping[int, Catalog]: ...

    async def store(self, server_id: int, catalog: Catalog) -> None: ...


class FleetWatcher(Protocol):
    """Who hears of changes: the live value is built anew, metrics count. Never raises."""

    def table_changed(self) -> None: ...

    def catalog_changed(self, server: Server, catalog: Catalog) -> None: ...

    def server_removed(self, server: Server) -> None: ...


class Fleet:
    """Every registered and enabled server.

    `build` makes the upstream of a server, which speaks to the audience that it is given: the one that `audience_of`
    makes, but for changed lists, which the fleet hears itself.
    """

    def __init__(
        self,
        build: Callable[[Server, Era | None, Audience], Upstream],
        store: CatalogStore,
        tasks: Tasks,
        watcher: FleetWatcher,
        clock: Clock,
        audience_of: Callable[[Server], Audience] = lambda _: NOBODY,
    ) -> None:
        self._build = build
        self._store = store
        self._tasks = tasks
        self._storing = Tasks("storing catalogs")
        self._watcher = watcher
        self._clock = clock
        self._audience_of = audience_of
        self._members: dict[int, _Member] = {}
        self._stored: dict[int, Catalog] = {}
        self._selections: tuple[Selection, ...] = (ALL,)
        self.table: RoutingTable = table(())
        self.upstreams: Mapping[int, Upstream] = {}

    async def restore(self) -> None:
        """Learn the catalogs that were stored before this process began."""
        self._stored = dict(await self._store.load())

    def set(
        self, servers: Sequence[Server], selections: Sequence[Selection], retire_after: float, *, anew: bool = True
    ) -> None:
        """Make `servers`, in this order, the fleet, and `selections` the endpoints before several of them. Upstreams
        that are not among them, or changed, take no new calls and get `retire_after` seconds for those in flight.
        Unless this is `anew`, names that several servers offer stay where they are.
        """
        before = self._members
        self._selections = tuple(selections)
        self._members = {server.id: self._member(server, before.get(server.id)) for server in servers}
        for old in before.values():
            if self._members.get(old.server.id) is not old:
                self._retire(old, retire_after)
        self._rebuild(anew=anew)

    async def settle(self, endpoint: str, seconds: float) -> None:
        """Wait until each server of `endpoint` was listed or failed once, at most `seconds`. A server that somebody
        has waited for in vain delays nobody else.
        """
        waited_for = [
            member
            for member in self._members.values()
            if self._stands_behind(member.server.slug, endpoint) and not member.settled.is_set()
        ]
        if not waited_for:
            return
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(member.settled.wait() for member in waited_for))
        except TimeoutError:
            for member in waited_for:
                member.settled.set()

    def _stands_behind(self, slug: str, endpoint: str) -> bool:
        found = self.table.endpoints.get(endpoint)
        return found is not None and slug in found.by_slug

    def observed(self, server_id: int, observation: Observation) -> None:
        """A probe's result: list the server again when it offers something else than we know."""
        member = self._members.get(server_id)
        if member is None or not observation.ok:
            return
        known = None if member.shelf.catalog is None or not member.fresh else member.shelf.catalog.sha256
        if known is None or observation.catalog_sha256 not in (None, known):
            self.refresh(server_id)

    async def relist(self, server_id: int, tool: str | None) -> tuple[Mirror, ...]:
        """List the server anew, since it says that a call of `tool` did not come as its schema wants; the arguments
        that go into headers now. Waits some seconds at most for a listing that begins after this; one under way may
        have asked before the server changed.
        """
        if (member := self._members.get(server_id)) is None:
            return ()
        listing = member.begun + 1
        member.wanted.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(RELIST_SECONDS):
                while member.ended < listing:
                    member.relisted.clear()
                    await member.relisted.wait()
        shown = member.shelf.original.get(Listed.TOOLS, ())
        return next((entry.mirrors for entry in shown if entry.original == tool), ())

    def refresh(self, server_id: int) -> None:
        """List the server in the background; at most one listing runs, and a wish during it is not lost."""
        if (member := self._members.get(server_id)) is not None:
            member.wanted.set()

    def end_session(self, sid: str) -> None:
        """Free, in the background, what every server holds for a client's legacy session: no client waits for a
        server to say goodbye.
        """
        for member in self._members.values():
            self._tasks.spawn(member.upstream.end_session(sid), f"end a session with {member.server.slug}")

    async def sweep(self, now: float) -> None:
        """End sessions and children of servers that were idle too long; `now` is monotonic seconds."""
        for member in tuple(self._members.values()):
            await member.upstream.sweep(now)

    async def close(self, grace: float) -> None:
        """End every upstream."""
        members, self._members = tuple(self._members.values()), {}
        for member in members:
            member.listing.cancel()
        await asyncio.gather(*(member.upstream.close(grace) for member in members))
        await self._storing.close(STORE_SECONDS)

    def _member(self, server: Server, known: _Member | None) -> _Member:
        if known is not None and known.server.revision == server.revision and known.server.slug == server.slug:
            if known.server.spec.maintenance and not server.spec.maintenance:
                known.wanted.set()
            known.server = server
            known.shelf = shelf(server, known.shelf.catalog)
            if server.spec.maintenance:
                known.upstream.unwatch()
            return known
        stored = self._stored.get(server.id)
        ear = _Ear(self._audience_of(server), partial(self.refresh, server.id))
        upstream = self._build(server, None if stored is None else stored.era, ear)
        if known is not None:
            upstream.succeed(known.upstream)
        member = _Member(server, upstream, stored)
        member.listing = self._tasks.spawn(self._keep_listed(member), f"listing {server.slug}")
        return member

    async def _keep_listed(self, member: _Member) -> None:
        """List the server when that is wished: at once after some quiet, and then not too often."""
        fruitless = 0
        while True:
            await member.wanted.wait()
            member.wanted.clear()
            fruitless = 0 if await self._list(member) else fruitless + 1
            await asyncio.sleep(quiet(fruitless))
            if not member.wanted.is_set():
                fruitless = 0

    async def _list(self, member: _Member) -> bool:
        """Ask the server for all that it offers; whether that was something else than before."""
        before = member.shelf.catalog
        member.begun += 1
        try:
            discovery = await member.upstream.discover()
            self._listed(member, discovery)
            if not member.server.spec.maintenance:
                member.upstream.watch(discovery)
            await self._remember(member)
        except GatewayError as error:
            log.warning("server %s could not be listed: %s", member.server.slug, error.message)
        finally:
            member.settled.set()
            member.ended = member.begun
            member.relisted.set()
        now = member.shelf.catalog
        return now is not None and (before is None or before.sha256 != now.sha256)

    def _listed(self, member: _Member, discovery: Discovery) -> None:
        for flaw in discovery.flaws:
            log.warning("server %s: %s", member.server.slug, flaw)
        found = catalog_of(discovery, member.shelf.catalog, self._clock.wall_us())
        same = member.shelf.catalog is not None and member.shelf.catalog.sha256 == found.sha256
        member.fresh = True
        member.shelf = shelf(member.server, found)
        if self._members.get(member.server.id) is member:
            self._watcher.catalog_changed(member.server, found)
            if not same:
                log.info("server %s offers %s", member.server.slug, _told(found))
            self._rebuild()

    async def _remember(self, member: _Member) -> None:
        catalog = member.shelf.catalog
        if catalog is None or self._stored.get(member.server.id) == catalog:
            return
        self._stored[member.server.id] = catalog
        await asyncio.shield(self._storing.spawn(self._keep(member.server, catalog), member.server.slug))

    async def _keep(self, server: Server, catalog: Catalog) -> None:
        """Runs to its end when the listing is called off: what was shown to clients is known after a restart."""
        try:
            await self._store.store(server.id, catalog)
        except StorageError as error:
            log.warning("the catalog of %s was not stored: %s", server.slug, error)

    def _retire(self, member: _Member, seconds: float) -> None:
        member.listing.cancel()
        self._tasks.spawn(member.upstream.close(seconds), f"retiring {member.server.slug}")
        if member.server.id not in self._members:
            self._watcher.server_removed(member.server)

    def _rebuild(self, *, anew: bool = False) -> None:
        """Before every server has been listed or has failed, the order of the file alone decides who has a name: it
        must not depend on which of them answers first.
        """
        members = self._members.values()
        keeps = not anew and all(member.settled.is_set() for member in members)
        self.table = table([member.shelf for member in members], self._selections, self.table if keeps else None)
        self.upstreams = {server_id: member.upstream for server_id, member in self._members.items()}
        self._watcher.table_changed()


class _Member:
    """One server of the fleet. `fresh`: listed by this process; `settled`: listed, failed or given up once; `begun` and
    `ended`: the number of the last listing that did.
    """

    listing: asyncio.Task[None]

    def __init__(self, server: Server, upstream: Upstream, stored: Catalog | None) -> None:
        self.server = server
        self.upstream = upstream
        self.shelf: Shelf = shelf(server, stored)
        self.fresh = False
        self.settled = asyncio.Event()
        self.relisted = asyncio.Event()
        self.begun = self.ended = 0
        self.wanted = asyncio.Event()
        self.wanted.set()


def _told(catalog: Catalog) -> str:
    """`3 tools, 1 prompt`."""
    words = {Listed.RESOURCES: "resource", Listed.TEMPLATES: "resource template", Listed.PROMPTS: "prompt"}
    counts = [(len(catalog.offers.get(listed, ())), words.get(listed, "tool")) for listed in Listed]
    return ", ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in counts if n) or "nothing"


class _Ear:
    """The audience of one server's upstream: `changed` hears that lists have, `inner` all the rest, and that lists of
    a client's own session have.
    """

    def __init__(self, inner: Audience, changed: Callable[[], None]) -> None:
        self._inner = inner
        self._changed = changed

    def heard(self, scope: ScopeKey, message: Message) -> None:
        news = message.method in LISTS_CHANGED
        if news:
            self._changed()
        if not news or is_of_session(scope):
            self._inner.heard(scope, message)

    async def asked(self, scope: ScopeKey, request: Message) -> bytes:
        return await self._inner.asked(scope, request)


def quiet(fruitless: int) -> float:
    """Seconds without a listing after one; `fruitless` are those in a row that were asked for and found nothing new."""
    return min(QUIET * 2.0 ** max(0, min(fruitless, 16) - 1), LONGEST_QUIET)


def catalog_of(discovery: Discovery, before: Catalog | None, now_us: int) -> Catalog:
    """What was found; a list that could not be had this time stays as it was `before`."""
    kept = {} if before is None else {listed: before.offers.get(listed, ()) for listed in discovery.missing}
    found = {listed: catalogs.entries_of(listed, definitions) for listed, definitions in discovery.offers.items()}
    texts = {listed: [one.definition for one in entries] for listed, entries in kept.items()}
    return Catalog(
        era=discovery.era,
        protocol_version=discovery.protocol_version,
        capabilities=discovery.capabilities,
        server_info=discovery.server_info,
        instructions=discovery.instructions,
        offers={**kept, **found},
        sha256=catalogs.digest({**texts, **discovery.offers}),
        fetched_us=now_us,
    )
