"""Several hosts of one database: who is asked next, on fakes and on real servers behind lines that break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.hosts import Failover, Host, split
from storage.settings import DatabaseSettings
from tests.faults.proxy import Mode, Proxy
from tests.support.engines import Engines, MySQLEngine, params
from tests.support.servers import MariaDB, StandbyPostgreSQL

ONE, TWO, THREE = (Host(name, 3306) for name in ("one", "two", "three"))


class TestSplit:
    @pytest.mark.parametrize(
        ("url", "first", "hosts"),
        [
            ("mysql://u:p@one:1,two,[::1]:3/x?a=b", "mysql://u:p@one:1/x?a=b", "one:1 two [::1]:3"),
            ("mysql://one,two/x", "mysql://one/x", "one two"),
            ("postgresql://u:p,q@one,two", "postgresql://u:p,q@one", "one two"),
            ("mysql://u:p,q@one/x,y", "mysql://u:p,q@one/x,y", ""),
            ("sqlite:///a,b.db", "sqlite:///a,b.db", ""),
            ("nothing, at all", "nothing, at all", ""),
        ],
    )
    def test_takes_hosts_apart_and_nothing_else(self, url: str, first: str, hosts: str) -> None:
        rest, found = split(url)
        assert (rest, " ".join(map(str, found))) == (first, hosts)

    @pytest.mark.parametrize("hosts", ["one,", ",one", "one,two:x", "one,two:1:2", "one,[::1", "one, two"])
    def test_refuses_what_is_no_host(self, hosts: str) -> None:
        with pytest.raises(ValueError, match="is no host"):
            split(f"mysql://{hosts}/x")


class Hosts:
    """Those in `down` fail, those in `silent` never answer."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.silent: set[str] = set()
        self.asked: list[str] = []

    async def connect(self, *, host: str, port: int, **_: Any) -> str:
        self.asked.append(host)
        if host in self.silent:
            await asyncio.Event().wait()
        if host in self.down:
            raise ConnectionRefusedError(host)
        return f"{host}:{port}"


@pytest.fixture
def hosts() -> Hosts:
    return Hosts()


@pytest.fixture
def failover(hosts: Hosts) -> Failover[str]:
    return Failover((ONE, TWO, Host("three", None)), hosts.connect, (OSError,), 0.05)


class TestTheNextConnection:
    async def test_goes_to_the_first_host_while_it_answers(self, hosts: Hosts, failover: Failover[str]) -> None:
        assert [await failover.open() for _ in range(3)] == ["one:3306"] * 3

    async def test_goes_on_to_the_next_and_stays_there(
        self, hosts: Hosts, failover: Failover[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        hosts.down.add("one")
        assert await failover.open() == "two:3306"
        hosts.down.clear()
        assert await failover.open() == "two:3306"
        assert "host one:3306 cannot be used; two:3306 takes its place" in caplog.text

    async def test_comes_round_to_the_first_again(self, hosts: Hosts, failover: Failover[str]) -> None:
        hosts.down |= {"one", "two"}
        assert await failover.open(port=5) == "three:5"
        hosts.down = {"three"}
        assert await failover.open() == "one:3306"

    async def test_waits_for_a_silent_host_only_so_long(self, hosts: Hosts, failover: Failover[str]) -> None:
        hosts.silent.add("one")
        assert await failover.open() == "two:3306"

    async def test_fails_as_the_last_host_did_when_all_do(self, hosts: Hosts, failover: Failover[str]) -> None:
        hosts.down |= {"one", "two", "three"}
        with pytest.raises(ConnectionRefusedError, match="three"):
            await failover.open()
        assert hosts.asked == ["one", "two", "three"]

    async def test_is_not_tried_elsewhere_for_a_fault_of_our_own(self, hosts: Hosts) -> None:
        async def broken(**_: Any) -> str:
            hosts.asked.append("asked")
            raise KeyError("a mistake")

        with pytest.raises(KeyError):
            await Failover((ONE, TWO, THREE), broken, (OSError,), 1).open()
        assert hosts.asked == ["asked"]


@asynccontextmanager
async def two_lines(engines: Engines, name: str) -> AsyncIterator[tuple[Proxy, Proxy, Database]]:
    """One server that is reached by two lines, and its database by either."""
    url = await engines[name].empty()
    parts = make_url(url)
    async with Proxy(parts.port) as one, Proxy(parts.port) as two:
        account = url[: url.index("@") + 1]
        several = f"{account}127.0.0.1:{one.port},127.0.0.1:{two.port}/{parts.database}"
        db = Database(DatabaseSettings(url=several, connect_timeout=2))
        yield one, two, db
        await db.close()
    await engines[name].drop(url)


async def answers(db: Database) -> bool:
    try:
        async with db.writing() as connection:
            return (await connection.scalar(text("SELECT 42"))) == 42
    except DatabaseUnavailable:
        return False


@pytest.mark.engine
@pytest.mark.parametrize("name", params("mariadb", "postgresql"))
class TestADatabaseWithTwoHosts:
    @pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.SILENT])
    async def test_answers_while_one_of_them_does(self, engines: Engines, name: str, mode: Mode) -> None:
        async with two_lines(engines, name) as (one, two, db):
            assert await answers(db)
            one.become(mode)
            assert True in [await answers(db) for _ in range(2)]
            one.become(Mode.PASS)
            two.become(mode)
            assert True in [await answers(db) for _ in range(2)]

    async def test_is_unavailable_when_none_does(self, engines: Engines, name: str) -> None:
        async with two_lines(engines, name) as (one, two, db):
            assert await answers(db)
            one.become(Mode.REFUSE)
            two.become(Mode.REFUSE)
            assert [await answers(db) for _ in range(2)] == [False, False]


@pytest.mark.engine
class TestAHostThatOnlyReads:
    """A replica, or a primary that was relieved."""

    async def test_of_mariadb_is_passed_over(self, engines: Engines) -> None:
        ours = engines["mariadb"]
        url = await ours.empty()
        name, port = make_url(url).database, make_url(url).port
        replica = MariaDB()
        try:
            await MySQLEngine(replica)._run("SET GLOBAL read_only = ON", f"CREATE DATABASE {name}")
            async with database(f"mysql://root@127.0.0.1:{replica.port},127.0.0.1:{port}/{name}") as db:
                assert await port_of(db, "SELECT @@port") == port
            async with database(f"mysql://root@127.0.0.1:{replica.port},127.0.0.1:{replica.port}/{name}") as db:
                with pytest.raises(DatabaseUnavailable, match="read-only"):
                    await port_of(db, "SELECT @@port")
        finally:
            replica.stop()
            await ours.drop(url)

    async def test_of_postgresql_is_passed_over(self, engines: Engines) -> None:
        ours = engines["postgresql"]
        url = await ours.empty()
        port = make_url(url).port
        standby = StandbyPostgreSQL()
        try:
            async with database(f"postgresql://test@127.0.0.1:{standby.port},127.0.0.1:{port}/postgres") as db:
                assert await port_of(db, "SELECT inet_server_port()") == port
            async with database(f"postgresql://test@127.0.0.1:{standby.port},127.0.0.1:{standby.port}/postgres") as db:
                with pytest.raises(DatabaseUnavailable, match="standby"):
                    await port_of(db, "SELECT inet_server_port()")
        finally:
            standby.stop()
            await ours.drop(url)


@asynccontextmanager
async def database(url: str) -> AsyncIterator[Database]:
    db = Database(DatabaseSettings(url=url, connect_timeout=10))
    yield db
    await db.close()


async def port_of(db: Database, question: str) -> Any:
    async with db.reading() as connection:
        return await connection.scalar(text(question))
