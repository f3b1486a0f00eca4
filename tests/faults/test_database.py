"""A database that fails under load in every way that databases do: calls go on, and no record is lost."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from storage.database import Database
from storage.errors import DatabaseUnavailable
from tests.faults.gateways import GatewayProcess
from tests.faults.laws import broken, opened, rows, settled
from tests.faults.proxy import Mode, Proxy
from tests.faults.traffic import Load, Traffic, recording
from tests.support import waiting
from tests.support.absence import absent
from tests.support.engines import Engines, MySQLEngine, SQLiteEngine
from tests.support.servers import FaultyMariaDB

CALLS = 100
"""That have to be answered while the database is away."""


@dataclass(frozen=True)
class Scene:
    """A gateway under load, and its database."""

    gateway: GatewayProcess
    traffic: Traffic
    load: Load
    db: Database

    async def goes_on(self) -> None:
        """Wait until so many more calls were answered."""
        goal = len(self.traffic.answered) + CALLS
        await waiting.until(lambda: len(self.traffic.answered) >= goal, every=0.02)

    async def is_recorded(self) -> None:
        """Wait until all that was answered so far has its row."""
        answered = set(self.traffic.answered)
        await waiting.until(lambda: self._has_rows(answered), every=0.1)

    async def _has_rows(self, numbers: set[int]) -> bool:
        try:
            return numbers <= {row.number for row in await rows(self.db)}
        except DatabaseUnavailable:
            return False

    async def settles(self) -> None:
        """The load ends, the backlog drains, and every law holds."""
        await self.load.end()
        await waiting.until(lambda: settled(self.traffic, self.db), every=0.1)
        assert broken(self.traffic, await rows(self.db)) == []
        assert self.traffic.refused == {}
        verified = await asyncio.to_thread(self.gateway.run, "calls", "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr


@asynccontextmanager
async def scene(folder: Path, url: str, seen_as: str | None = None) -> AsyncIterator[Scene]:
    """`seen_as` is the URL by which the gateway reaches the database of `url`."""
    traffic = Traffic()
    config = {
        "database": {"url": seen_as or url, "connect_timeout": 1},
        "recording": {"journal": {"segment_bytes": 262_144}},
    }
    async with opened(url) as db, recording(traffic) as server:
        gateway = GatewayProcess(folder / "gateway", {**config, "servers": {"demo": {"url": server.url}}})
        async with gateway, Load(traffic, gateway.door("demo")) as load:
            yield Scene(gateway, traffic, load, db)


@pytest.fixture
def mariadb() -> Iterator[FaultyMariaDB]:
    if missing := FaultyMariaDB.missing():
        absent(missing)
    server = FaultyMariaDB()
    yield server
    server.stop()


@pytest.mark.engine
@pytest.mark.trap(50)
async def test_a_database_that_is_killed_and_comes_back_has_every_call(mariadb: FaultyMariaDB, tmp_path: Path) -> None:
    async with scene(tmp_path, await MySQLEngine(mariadb).migrated()) as here:
        await here.goes_on()
        mariadb.kill()
        await here.goes_on()
        await asyncio.to_thread(mariadb.start)
        await here.goes_on()
        await here.settles()


@pytest.mark.engine
@pytest.mark.trap(50)
async def test_a_database_that_is_frozen_for_a_while_has_every_call(mariadb: FaultyMariaDB, tmp_path: Path) -> None:
    async with scene(tmp_path, await MySQLEngine(mariadb).migrated()) as here:
        await here.goes_on()
        mariadb.signal(signal.SIGSTOP)
        await here.goes_on()
        mariadb.signal(signal.SIGCONT)
        await here.settles()


@pytest.mark.engine
@pytest.mark.trap(55)
@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.SILENT])
async def test_a_wire_that_breaks_or_falls_silent_costs_no_record(
    mode: Mode, mariadb: FaultyMariaDB, tmp_path: Path
) -> None:
    url = await MySQLEngine(mariadb).migrated()
    async with Proxy(mariadb.port) as proxy, scene(tmp_path, url, proxy.url_of(url)) as here:
        await here.goes_on()
        proxy.become(mode)
        await here.goes_on()
        proxy.become(Mode.PASS)
        await here.goes_on()
        await here.settles()


@pytest.mark.engine
@pytest.mark.trap(49)
async def test_a_gateway_that_is_killed_while_its_database_is_away_has_every_call(
    mariadb: FaultyMariaDB, tmp_path: Path
) -> None:
    url = await MySQLEngine(mariadb).migrated()
    async with Proxy(mariadb.port) as proxy, scene(tmp_path, url, proxy.url_of(url)) as here:
        await here.goes_on()
        proxy.become(Mode.REFUSE)
        await here.goes_on()
        here.gateway.kill()
        proxy.become(Mode.PASS)
        await here.gateway.start()
        await here.goes_on()
        await here.settles()


@pytest.mark.trap(56)
async def test_an_embedded_database_that_is_held_by_somebody_else_has_every_call(
    engines: Engines, tmp_path: Path
) -> None:
    async with scene(tmp_path, await engines["sqlite"].migrated()) as here:
        await here.goes_on()
        async with here.db.writing():
            await here.goes_on()
        await here.settles()


@pytest.mark.trap(56)
async def test_an_embedded_database_without_room_to_grow_has_every_call_once_it_has(tmp_path: Path) -> None:
    """The room is what a file of the gateway's may grow to: the journal's segments fit, the database does not."""
    url = await SQLiteEngine(tmp_path).migrated()
    async with scene(tmp_path, url) as here:
        await here.goes_on()
        grown = Path(str(make_url(url).database)).stat().st_size
        limit_files(here.gateway.pid, grown)
        await here.goes_on()
        limit_files(here.gateway.pid, resource.RLIM_INFINITY)
        await here.settles()


def limit_files(pid: int, size: int) -> None:
    """No file of that process grows beyond `size` bytes from now on."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
