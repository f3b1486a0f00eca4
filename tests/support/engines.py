"""Every database engine that the product supports, for tests that must hold on all of them.

`database` is a database of its own for one test, with the newest schema; `empty_database` is one with nothing in it;
both run once per engine. `TEST_MYSQL_URL` (`mysql://root@127.0.0.1:3306/`, an account that may create databases) adds
a MySQL server. An engine that this machine lacks is named in pytest's header and left out; in CI it is a failure.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Protocol

import aiomysql
import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url

from storage import migrate
from storage.database import Database
from storage.settings import DatabaseSettings
from tests.support.absence import absent
from tests.support.servers import MariaDB, PostgreSQL, Server, scratch

TEST_MYSQL_URL = "TEST_MYSQL_URL"
INSTALLED = {"mariadb": MariaDB, "postgresql": PostgreSQL}


class Engine(Protocol):
    """Where databases are made. Each is new and nobody else's; `drop` removes it."""

    async def empty(self) -> str: ...

    async def migrated(self) -> str: ...

    async def drop(self, url: str) -> None: ...


class SQLiteEngine:
    """Databases are files; a migrated one is a copy."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()
        self._template: str | None = None

    async def empty(self) -> str:
        return f"sqlite:///{self._folder}/{next(self._numbers)}.db"

    async def migrated(self) -> str:
        if self._template is None:
            self._template = await _migrate(await self.empty())
        url = await self.empty()
        shutil.copy(make_url(self._template).database, make_url(url).database)
        return url

    async def drop(self, url: str) -> None:
        for file in self._folder.glob(f"{Path(make_url(url).database).name}*"):
            file.unlink()


class MySQLEngine:
    """MySQL knows no template: a migrated database repeats the statements that show the first one."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._numbers = count()
        self._template: list[str] = []

    async def empty(self) -> str:
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        await self._run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return self._server.url(name)

    async def migrated(self) -> str:
        url = await self.empty()
        if self._template:
            await self._run("SET foreign_key_checks = 0", f"USE {make_url(url).database}", *self._template)
        else:
            await _migrate(url)
            self._template = await _statements(url)
        return url

    async def drop(self, url: str) -> None:
        await self._run(f"DROP DATABASE {make_url(url).database}")

    async def _run(self, *statements: str) -> None:
        url = make_url(self._server.url(""))
        connection = await aiomysql.connect(
            host=url.host, port=url.port, user=url.username, password=url.password or "", charset="utf8mb4"
        )
        try:
            async with connection.cursor() as cursor:
                with warnings.catch_warnings(action="ignore"):  # MySQL deprecates what it shows: `tinyint(1)`
                    for statement in statements:
                        await cursor.execute(statement)
            await connection.commit()
        finally:
            connection.close()


class PostgreSQLEngine:
    """A migrated database is made from a template."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._numbers = count()
        self._template: str | None = None

    async def empty(self) -> str:
        return await self._create("template0")

    async def migrated(self) -> str:
        if self._template is None:
            self._template = make_url(await _migrate(await self.empty())).database
        return await self._create(self._template)

    async def drop(self, url: str) -> None:
        await self._run(f"DROP DATABASE {make_url(url).database}")

    async def _create(self, template: str) -> str:
        name = f"test_{next(self._numbers)}"
        await self._run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self._server.url(name)

    async def _run(self, statement: str) -> None:
        connection = await asyncpg.connect(self._server.url("postgres"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


class GivenMySQL:
    """The server of `TEST_MYSQL_URL`."""

    name = "mysql"

    def __init__(self) -> None:
        self._url: URL = make_url(os.environ[TEST_MYSQL_URL])

    def url(self, database: str) -> str:
        return self._url.set(database=database).render_as_string(hide_password=False)

    def stop(self) -> None:
        """It is not ours."""


class Engines:
    """Every engine of this test process; a server starts when the first test asks for it."""

    def __init__(self, folder: Path) -> None:
        self._engines: dict[str, Engine] = {"sqlite": SQLiteEngine(folder)}
        self._servers: list[Server] = []

    def __getitem__(self, name: str) -> Engine:
        if name not in self._engines:
            self._engines[name] = self._start(name)
        return self._engines[name]

    def stop(self) -> None:
        for server in self._servers:
            server.stop()

    def _start(self, name: str) -> Engine:
        if name in INSTALLED and (missing := INSTALLED[name].missing()):
            absent(missing)
        server = INSTALLED.get(name, GivenMySQL)()
        self._servers.append(server)
        return PostgreSQLEngine(server) if name == "postgresql" else MySQLEngine(server)


def names() -> list[str]:
    """The engines to test on: those that are here, and in CI those that should be."""
    in_ci = os.environ.get("CI") == "true"
    installed = [name for name, server in INSTALLED.items() if in_ci or not server.missing()]
    return ["sqlite", *installed, *(["mysql"] if TEST_MYSQL_URL in os.environ else [])]


def params(*only: str) -> list[object]:
    """Parameters for a fixture that runs once per engine, or once per engine of `only`."""
    return [
        pytest.param(name, marks=[pytest.mark.engine] if name != "sqlite" else [])
        for name in names()
        if not only or name in only
    ]


def pytest_report_header() -> list[str]:
    left_out = [missing for server in INSTALLED.values() if (missing := server.missing())]
    return [f"database engines: {', '.join(names())}", *(f"left out: {missing}" for missing in left_out)]


@pytest.fixture(scope="session")
def engines() -> Iterator[Engines]:
    """The engines, for tests that choose one themselves."""
    folder = scratch()
    running = Engines(folder)
    yield running
    running.stop()
    shutil.rmtree(folder)


@pytest.fixture(params=params())
async def database(request: pytest.FixtureRequest, engines: Engines) -> AsyncIterator[Database]:
    """A database with the newest schema, once per engine."""
    async with made(engines[request.param], migrated=True) as db:
        yield db


@pytest.fixture(params=params())
async def empty_database(request: pytest.FixtureRequest, engines: Engines) -> AsyncIterator[Database]:
    """A database with nothing in it, once per engine."""
    async with made(engines[request.param]) as db:
        yield db


@asynccontextmanager
async def made(engine: Engine, *, migrated: bool = False, **settings: object) -> AsyncIterator[Database]:
    """A database that lives as long as the context. `settings` are those of `DatabaseSettings`."""
    url = await (engine.migrated() if migrated else engine.empty())
    db = Database(DatabaseSettings(url=url, **settings))
    try:
        yield db
    finally:
        await db.close()
        await engine.drop(url)


@asynccontextmanager
async def made_again(db: Database) -> AsyncIterator[Database]:
    """A second pool on the same database, as a second process would have."""
    other = Database(db._settings)
    try:
        yield other
    finally:
        await other.close()


async def _migrate(url: str) -> str:
    db = Database(DatabaseSettings(url=url))
    try:
        await migrate.upgrade(db)
    finally:
        await db.close()
    return url


async def _statements(url: str) -> list[str]:
    """What makes the tables of this database, and the two rows that every new database has."""
    db = Database(DatabaseSettings(url=url))
    try:
        async with db.reading() as connection:
            tables = (await connection.execute(text("SHOW TABLES"))).scalars().all()
            shown = [(await connection.execute(text(f"SHOW CREATE TABLE {table}"))).one()[1] for table in tables]
            version = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one()
    finally:
        await db.close()
    return [
        *shown,
        f"INSERT INTO alembic_version VALUES ('{version}')",
        "INSERT INTO users (username, hashed_password, public_id) VALUES ('local', '!', REPLACE(UUID(), '-', ''))",
    ]
