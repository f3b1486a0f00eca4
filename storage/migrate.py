"""Bringing the schema of a database to this version of the gateway.

Which question: which revision does this database have, and how does it get the newest? Touches the schema. The rule:
`upgrade` never touches tables that another application made; taking those over is `storage.adopt`'s, on request.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import Database
from storage.errors import DatabaseContended, SchemaOutdated, UpgradeFailed
from storage.failures import words_of
from storage.schema import DOCUMENTED

OUR_TABLE = "alembic_version"
BESIDE_ANOTHERS = "mcp_gateway_version"
"""Our version table where another application keeps its own revision in `alembic_version`."""

FIRST = "gateway_0001"
PREFIX = "gateway_"
LOCK = "mcp-gateway upgrade"
PATIENCE = 60
"""Seconds to wait for another upgrade, and for a transaction that is using a table. Others queue behind a statement
that waits for a table, so that it must not wait for long.
"""
COMMAND = "run `mcp-gateway db upgrade`"


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """What a database's schema is. `current` is None where there is none of ours; `occupied` tells that the documented
    tables stand there nevertheless, made by another application.
    """

    current: str | None
    head: str
    pending: tuple[str, ...]
    version_table: str
    occupied: bool

    @property
    def is_current(self) -> bool:
        return self.current == self.head


async def status(db: Database) -> SchemaStatus:
    """Read the revision; changes nothing."""
    async with db.reading() as connection:
        return await connection.run_sync(_status)


async def require_current(db: Database) -> None:
    """Raise `SchemaOutdated` unless the schema is the one this version needs."""
    found = await status(db)
    if not found.is_current:
        raise SchemaOutdated(f"{db.label}: {what_to_do(found)}")


async def upgrade(db: Database, to: str = "head", patience: int = PATIENCE) -> SchemaStatus:
    """Run the pending revisions, in one transaction where the engine has transactional DDL. Safe to repeat after
    any interruption, and safe against a second process that does the same.

    Raises `SchemaOutdated` where it must not run (on another application's tables, on the schema of a newer version),
    `DatabaseContended` when others were in the way for `patience` seconds, `UpgradeFailed` when the database refused.
    """
    if (found := await status(db)).is_current:
        return found
    async with alone(db, patience) as connection:
        found = await connection.run_sync(_status)
        if found.occupied or found.current not in (None, *_revisions()):
            raise SchemaOutdated(f"{db.label}: {what_to_do(found)}")
        await connection.run_sync(_run, found.version_table, db.foreign_keys, partial(command.upgrade, revision=to))
        return await connection.run_sync(_status)


async def claim(db: Database) -> None:
    """Mark another application's tables as our first revision, in a version table of our own. Only for who has seen
    that they are as documented: `storage.adopt`. Raises as `upgrade` does.
    """
    async with alone(db, PATIENCE) as connection:
        found = await connection.run_sync(_status)
        if found.current is None:
            stamp = partial(command.stamp, revision=FIRST)
            await connection.run_sync(_run, BESIDE_ANOTHERS, db.foreign_keys, stamp)


def what_to_do(found: SchemaStatus) -> str:
    """One sentence for people, when the schema is not current."""
    if found.occupied:
        return (
            "another application's tables stand here; to take an `mcp_chat` database over run `mcp-gateway db adopt`, "
            "otherwise name an empty database"
        )
    if found.current is not None and not found.pending:
        return f"its schema ({found.current}) was made by a newer mcp-gateway: install that version"
    return f"its schema is {found.current or 'empty'} and this version needs {found.head}: {COMMAND}"


def _run(connection: Connection, version_table: str, foreign_keys: bool, command: Callable[[Config], None]) -> None:
    """Run one of Alembic's commands on a connection whose transaction the caller owns."""
    config = _config()
    config.attributes.update(connection=connection, version_table=version_table, foreign_keys=foreign_keys)
    command(config)


def _status(connection: Connection) -> SchemaStatus:
    tables = set(inspect(connection).get_table_names())
    version_table = BESIDE_ANOTHERS if BESIDE_ANOTHERS in tables else OUR_TABLE
    found = _version(connection, version_table) if version_table in tables else None
    current = found if found is not None and found.startswith(PREFIX) else None
    return SchemaStatus(
        current=current,
        head=_revisions()[-1],
        pending=_after(current),
        version_table=version_table,
        occupied=current is None and (found is not None or not tables.isdisjoint(DOCUMENTED)),
    )


def _version(connection: Connection, table: str) -> str | None:
    """What stands in a version table, which may be another tool's."""
    if "version_num" not in {column["name"] for column in inspect(connection).get_columns(table)}:
        return f"{table} of another shape"
    found = connection.execute(text(f"SELECT version_num FROM {table}")).scalar()  # noqa: S608
    return None if found is None else str(found)


def _after(current: str | None) -> tuple[str, ...]:
    known = _revisions()
    if current is None:
        return known
    return known[known.index(current) + 1 :] if current in known else ()


def _revisions() -> tuple[str, ...]:
    """Every revision, oldest first."""
    script = ScriptDirectory.from_config(_config())
    return tuple(reversed([one.revision for one in script.walk_revisions()]))


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return config


@asynccontextmanager
async def alone(db: Database, patience: int) -> AsyncIterator[AsyncConnection]:
    """A transaction, committed at the end, beside which no other upgrade of this database runs."""
    begin = _alone_on_mysql if db.dialect == "mysql" else _alone_elsewhere
    try:
        async with begin(db, patience) as connection:
            yield connection
    except DBAPIError as error:
        raise UpgradeFailed(f"{db.label} refused a step of the upgrade: {words_of(error.orig)}") from error


@asynccontextmanager
async def _alone_elsewhere(db: Database, patience: int) -> AsyncIterator[AsyncConnection]:
    """On SQLite a writing transaction keeps every other writer out already."""
    async with db.writing() as connection:
        if db.dialect == "postgresql":
            await connection.execute(text(f"SET LOCAL lock_timeout = '{patience}s'"))
            await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:lock))"), {"lock": LOCK})
        yield connection


@asynccontextmanager
async def _alone_on_mysql(db: Database, patience: int) -> AsyncIterator[AsyncConnection]:
    """DDL commits, so that the lock is not a transaction's; it may be released only after the last commit."""
    name = "SHA2(CONCAT(:lock, DATABASE()), 224)"
    async with db.reading() as connection:
        taken = await connection.execute(text(f"SELECT GET_LOCK({name}, {patience})"), {"lock": LOCK})
        if not taken.scalar():
            raise DatabaseContended(f"{db.label}: another process has been upgrading it for {patience} s")
        try:
            await connection.execute(text(f"SET SESSION lock_wait_timeout = {patience}"))
            yield connection
            await connection.commit()
            await connection.execute(text(f"SELECT RELEASE_LOCK({name})"), {"lock": LOCK})
        finally:
            await connection.invalidate()  # with the connection go its settings, and the lock whatever happened
