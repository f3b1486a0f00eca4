"""The fleet: what is listed when, and who hears of it; over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientSession, web

from gateway import fleet as fleets
from gateway.catalog import Catalog
from gateway.clock import Clock
from gateway.fleet import Fleet
from gateway.protocol.listed import Listed
from gateway.protocol.versions import Era
from gateway.routing import ALL, Server
from gateway.settings import ServerSpec
from gateway.upstream.connection import client_session
from gateway.upstream.server import Upstream
from gateway.upstream.values import Audience
from storage.tasks import Tasks
from tests.support.audience import Heard
from tests.support.mcp_http import Asked, McpServer
from tests.support.streams import Listens, Streams
from tests.support.upstreams import terms
from tests.support.waiting import until

TOOLS = {"tools": {"listChanged": True}}


class NoStore:
    """Nothing outlives the test."""

    async def load(self) -> Mapping[int, Catalog]:
        return {}

    async def store(self, server_id: int, catalog: Catalog) -> None: ...


class Watcher:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.catalogs: list[Catalog] = []

    def table_changed(self) -> None: ...

    def catalog_changed(self, server: Server, catalog: Catalog) -> None:
        self.catalogs.append(catalog)

    def server_removed(self, server: Server) -> None: ...


class Harbour:
    """A fleet of the servers that a test names."""

    def __init__(self, http: ClientSession) -> None:
        self._http = http
        self.heard = Heard()
        self.watcher = Watcher()
        self.tasks = Tasks("test")
        self.fleet = Fleet(self._build, NoStore(), self.tasks, self.watcher, Clock(), lambda server: self.heard)

    def set(self, server: McpServer, revision: bytes = b"1", **spec: Any) -> None:
        self.fleet.set([Server(1, "peer", ServerSpec(url=server.url, **spec), revision)], (ALL,), retire_after=0.0)

    def tools(self) -> list[str]:
        """The names that are offered now."""
        return [name.removeprefix("peer__") for name in self.fleet.table.endpoints[""].books[Listed.TOOLS].routes]

    async def settled(self) -> None:
        """Wait until the server was listed, and once more because of its watch."""
        await until(lambda: len(self.watcher.catalogs) >= 2)

    async def quiet(self) -> None:
        """Wait until nothing is listed any more that was wished for."""
        await asyncio.sleep(2 * fleets.QUIET + 0.2)

    def _build(self, server: Server, known: Era | None, audience: Audience) -> Upstream:
        around = replace(terms(), slug=server.slug, spec=server.spec)
        return Upstream(around, self._http, known_era=known, audience=audience)


@pytest.fixture
async def harbour() -> AsyncIterator[Harbour]:
    async with client_session() as http:
        harbour = Harbour(http)
        try:
            yield harbour
        finally:
            await harbour.fleet.close(0.0)
            await harbour.tasks.close()


@asynccontextmanager
async def peer(**eras: bool) -> AsyncIterator[tuple[McpServer, Streams, Listens]]:
    async with McpServer(**eras) as server:
        server.capabilities = TOOLS
        streams, listens = Streams(server), Listens(server)
        yield server, streams, listens
        for stream in (*streams.all, *listens.all):
            stream.close()


def named(*names: str) -> list[Any]:
    return [{"name": name, "inputSchema": {}} for name in names]


@pytest.mark.point(25)
@pytest.mark.trap(35)
@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_burst_of_changes_costs_two_listings_and_the_last_is_not_lost(harbour: Harbour, era: str) -> None:
    async with peer(**{era: True}) as (server, streams, listens):
        harbour.set(server)
        await harbour.settled()
        await harbour.quiet()
        before = len(server.named("tools/list"))
        stream = (await streams.opened()) if era == "legacy" else (await listens.opened())
        for number in range(200):
            server.definitions = named(f"tool{number}")
            await stream.say("notifications/tools/list_changed")
        await until(lambda: harbour.tools() == ["tool199"])
        await harbour.quiet()
        assert len(server.named("tools/list")) - before <= 2
        assert harbour.tools() == ["tool199"]


@pytest.mark.trap(35)
async def test_a_change_during_a_listing_is_followed_by_another(harbour: Harbour) -> None:
    async with peer(legacy=True) as (server, streams, _):
        harbour.set(server)
        await harbour.settled()
        await harbour.quiet()
        stream, release, asked = await streams.opened(), asyncio.Event(), len(server.named("tools/list"))

        async def slowly(request: Asked) -> web.StreamResponse:
            stale = request.result({"tools": named("stale")})
            await release.wait()
            return stale

        server.answers["tools/list"] = slowly
        await stream.say("notifications/tools/list_changed")
        await server.saw("tools/list", asked + 1)
        del server.answers["tools/list"]
        server.definitions = named("fresh")
        await stream.say("notifications/tools/list_changed")
        release.set()
        await until(lambda: harbour.tools() == ["fresh"])


@pytest.mark.trap(35)
async def test_a_server_that_announces_a_change_whenever_it_is_listed_is_listed_ever_more_rarely(
    harbour: Harbour,
) -> None:
    async with peer(modern=True) as (server, _, listens):

        async def announced(asked: Asked) -> web.StreamResponse:
            for listen in listens.open:
                await listen.say("notifications/tools/list_changed")
            return asked.result({"tools": named("same")})

        server.answers["tools/list"] = announced
        harbour.set(server)
        await server.saw("tools/list", 4)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await server.saw("tools/list", 5)
        assert loop.time() - begun > 2 * fleets.QUIET
        assert {catalog.sha256 for catalog in harbour.watcher.catalogs} == {harbour.watcher.catalogs[0].sha256}


@pytest.mark.parametrize(("fruitless", "seconds"), [(0, 0.5), (1, 0.5), (2, 1.0), (3, 2.0), (7, 30.0), (10**6, 30.0)])
def test_the_quiet_after_a_listing_grows_only_with_listings_that_found_nothing(fruitless: int, seconds: float) -> None:
    assert fleets.quiet(fruitless) == seconds


@pytest.mark.trap(36)
async def test_a_server_that_comes_back_with_other_tools_is_listed_again(harbour: Harbour) -> None:
    async with peer(legacy=True) as (server, streams, _):
        harbour.set(server)
        await harbour.settled()
        assert harbour.tools() == ["count", "echo"]
        server.sessions.clear()
        server.definitions = named("other")
        (await streams.opened()).cut()
        await until(lambda: harbour.tools() == ["other"])


async def test_what_is_no_change_of_a_list_reaches_the_audience(harbour: Harbour) -> None:
    async with peer(legacy=True) as (server, streams, _):
        harbour.set(server)
        stream = await streams.opened()
        await stream.say("notifications/message", {"level": "info", "data": "x"})
        await harbour.heard.until(lambda: harbour.heard.all)
        assert harbour.heard.all == [("house", "message", {"level": "info", "data": "x"})]


async def test_maintenance_ends_the_watch_and_its_end_begins_it_again(harbour: Harbour) -> None:
    async with peer(legacy=True) as (server, streams, _):
        harbour.set(server)
        first = await streams.opened()
        harbour.set(server, maintenance=True)
        await first.ended()
        await server.until(lambda: not server.sessions)
        server.definitions = named("after")
        harbour.set(server)
        await streams.opened(1)
        await until(lambda: harbour.tools() == ["after"])


async def test_a_server_under_maintenance_from_the_start_is_not_watched(harbour: Harbour) -> None:
    async with peer(legacy=True) as (server, streams, _):
        harbour.set(server, maintenance=True)
        await until(lambda: harbour.watcher.catalogs)
        await server.until(lambda: not server.sessions)
        assert streams.asked == 0


async def test_the_watch_of_a_server_that_left_the_fleet_ends(harbour: Harbour) -> None:
    async with peer(legacy=True) as (server, streams, _):
        harbour.set(server)
        stream = await streams.opened()
        harbour.fleet.set([], (), retire_after=5.0)
        await stream.ended()
        await server.until(lambda: not server.sessions)


async def test_a_server_that_was_changed_is_watched_once_and_keeps_its_followers(harbour: Harbour) -> None:
    async with peer(modern=True) as (server, _, listens):
        server.capabilities = {**TOOLS, "resources": {"subscribe": True}}
        harbour.set(server)
        first = await listens.opened()
        await harbour.fleet.upstreams[1].follow(frozenset({"file:///a"}))
        harbour.set(server, revision=b"2")
        await until(lambda: first.asked.gone.is_set() and len(listens.open) == 1)
        assert listens.open[0].filter == {"toolsListChanged": True, "resourceSubscriptions": ["file:///a"]}


async def test_the_fleet_closes_at_once_whatever_is_watched(harbour: Harbour) -> None:
    async with peer(legacy=True) as (server, streams, _):
        harbour.set(server)
        stream = await streams.opened()
        async with asyncio.timeout(2):
            await harbour.fleet.close(5.0)
        await stream.ended()
        assert server.sessions == {}
