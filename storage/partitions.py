"""Tables in days: made, made ahead, and dropped.

Which question: which parts have `server_calls` and `server_call_payloads`, and how do they get others? Touches the
schema of MySQL, MariaDB and PostgreSQL. The rule: everything may be run again after any interruption, and a row that
goes with its day is counted as one that goes alone would be.

MySQL copies a table while it cuts it into days, and knows no foreign keys on such a table. PostgreSQL keeps what is
there as one part, copies nothing, and keeps the keys. Both want the time of a row in every unique key.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, Table, delete, func, inspect, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import days, generations, migrate
from storage.database import Database
from storage.days import Part
from storage.moments import database_now
from storage.records import RecordState, Status
from storage.schema import generations as marks
from storage.schema import journals, server_call_payloads, server_calls

TABLES: tuple[Table, ...] = (server_call_payloads, server_calls)
"""Children first."""

PATIENCE = 5
"""Seconds that a change of parts waits for transactions that use the table: others queue behind it."""

LAST = re.compile(r"TO \('([^']+)'\)")

_MYSQL_PARTS = text(
    "SELECT partition_name, partition_description FROM information_schema.partitions"
    " WHERE table_schema = DATABASE() AND table_name = :table AND partition_name IS NOT NULL"
    " ORDER BY partition_ordinal_position"
)
_POSTGRESQL_PARTS = text(
    "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    " WHERE i.inhparent = to_regclass(:table)"
)
_VIEWS = text("SELECT DISTINCT view_name FROM information_schema.view_table_usage WHERE table_name = :table")
"""PostgreSQL's: a view goes on reading the table that it was made of, which becomes a part."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """A table, its parts if it is cut into days, and otherwise what that would cost: the foreign keys that have to go,
    and what forbids it.
    """

    table: str
    parts: int
    foreign_keys: tuple[str, ...]
    obstacles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of the unique keys without the time beside the primary one, of the foreign keys, and of the tables that
    have foreign keys to this one.
    """

    unique: tuple[str, ...]
    foreign: tuple[str, ...]
    referring: tuple[str, ...]


async def outlook(db: Database, table: Table) -> Outlook:
    """Look; changes nothing."""
    async with db.reading() as connection:
        have = await parts_of(connection, table)
        keys = await connection.run_sync(_keys, table)
        views = await connection.scalars(_VIEWS, {"table": table.name}) if db.dialect == "postgresql" else ()
        obstacles = [
            *(f"{name} is unique without created_at: drop it, or add created_at to it" for name in keys.unique),
            *(f"the table {name} has a foreign key to {table.name}: drop it" for name in keys.referring),
            *(f"the view {name} reads {table.name}: drop it, and make it again afterwards" for name in views),
        ]
    if have:
        return Outlook(table.name, len(have), (), ())
    return Outlook(table.name, 0, keys.foreign if _on_mysql(db) else (), tuple(obstacles))


async def partition(db: Database, table: Table) -> int:
    """Cut `table` into days, unless it is, and make the days ahead; how many parts it has then. Raises `UpgradeFailed`,
    `DatabaseUnavailable`. Only for who has seen its outlook: foreign keys are dropped on MySQL.
    """
    async with migrate.alone(db, migrate.PATIENCE) as connection:
        if not await parts_of(connection, table):
            now = await database_now(connection, db.dialect)
            await (_cut_on_mysql if _on_mysql(db) else _cut_on_postgresql)(connection, table, now)
    await ahead(db, table)
    async with db.reading() as connection:
        return len(await parts_of(connection, table))


async def ahead(db: Database, table: Table) -> int:
    """Make the days ahead of a table that is cut into days; how many were missing. Raises as `partition` does."""
    async with db.reading() as connection:
        have = await parts_of(connection, table)
        now = await database_now(connection, db.dialect)
        newest = await _newest_of_rest(connection, table) if have and not _on_mysql(db) else None
    new = days.missing(have, now, newest)
    if new:
        async with _changing(db) as connection:
            for statement in _adding(db, table, new):
                await connection.exec_driver_sql(statement)
    return len(new)


async def drop(db: Database, table: Table, before: datetime, others: bool) -> int:
    """Drop the days that lie wholly before `before`, unless a call is in them that has to stay; how many rows of
    `server_calls` went with them. Raises as `partition` does.
    """
    async with db.reading() as connection:
        old = days.gone(await parts_of(connection, table), before)
    rows = 0
    for part in old:
        async with db.reading() as connection:
            stays = await _stays(connection, part, others or table is server_call_payloads)
        if not stays:
            rows += await (_drop_on_mysql if _on_mysql(db) else _drop_on_postgresql)(db, table, part)
    return rows


async def parts_of(connection: AsyncConnection, table: Table) -> list[Part]:
    """The parts of a table, in their order; none where it is not cut, and on SQLite."""
    if connection.dialect.name == "sqlite":
        return []
    query = _MYSQL_PARTS if connection.dialect.name == "mysql" else _POSTGRESQL_PARTS
    found = [(name, _until(bound)) for name, bound in await connection.execute(query, {"table": table.name})]
    found.sort(key=lambda one: one[1] or datetime.max.replace(tzinfo=UTC))
    since = [None, *(until for _, until in found)]
    return [
        Part(name.removeprefix(f"{table.name}_"), start, until)
        for (name, until), start in zip(found, since, strict=False)
    ]


def _keys(connection: Connection, table: Table) -> Keys:
    schema = inspect(connection)
    unique = [
        one for one in schema.get_indexes(table.name) if one["unique"] and "created_at" not in one["column_names"]
    ]
    others = (name for name in schema.get_table_names() if name != table.name)
    referring = (
        name for name in others if any(key["referred_table"] == table.name for key in schema.get_foreign_keys(name))
    )
    foreign = (str(key["name"]) for key in schema.get_foreign_keys(table.name))
    return Keys(tuple(str(one["name"]) for one in unique), tuple(foreign), tuple(referring))


async def _cut_on_mysql(connection: AsyncConnection, table: Table, now: datetime) -> None:
    """Two statements, of which each does a whole step."""
    if foreign := (await connection.run_sync(_keys, table)).foreign:
        clauses = ", ".join(f"DROP FOREIGN KEY `{key}`" for key in foreign)
        await connection.exec_driver_sql(f"ALTER TABLE {table.name} {clauses}")
    first = await connection.scalar(select(func.min(table.c.created_at))) or now
    key = "" if table is server_call_payloads else "DROP PRIMARY KEY, ADD PRIMARY KEY (id, created_at)"
    cut = f"PARTITION BY RANGE COLUMNS (created_at) ({_listed(days.parts(first, now))})"
    await connection.exec_driver_sql(f"ALTER TABLE {table.name} {key} {cut}")


async def _cut_on_postgresql(connection: AsyncConnection, table: Table, now: datetime) -> None:
    """One transaction. What is there becomes the part of everything until now."""
    name, old = table.name, f"{table.name}_{days.BEFORE}"
    defined = await connection.execute(
        text(
            "SELECT i.relname, pg_get_indexdef(i.oid), x.indisprimary FROM pg_index x"
            " JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = to_regclass(:table)"
        ),
        {"table": name},
    )
    indexes = [(index, definition, primary) for index, definition, primary in defined]
    foreign = await connection.execute(
        text(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = to_regclass(:table) AND contype = 'f'"
        ),
        {"table": name},
    )
    keys = [(key, definition) for key, definition in foreign]
    newest = await connection.scalar(select(func.max(table.c.created_at))) or now
    until = max(days.day_of(now), days.day_of(newest)) + days.DAY
    primary_key = "id, created_at" if table is server_calls else "created_at, call_uid, part"

    async def run(statement: str) -> None:
        await connection.exec_driver_sql(statement.replace("%", "%%"))

    await run(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
    for index, _, primary in indexes:
        if primary:
            await run(f"ALTER TABLE {name} DROP CONSTRAINT {index}")
        else:
            await run(f"ALTER INDEX {index} RENAME TO {_short(index)}")
    await run(f"ALTER TABLE {name} RENAME TO {old}")
    await run(f"ALTER TABLE {old} ADD CONSTRAINT {_short(f'pk_{name}')} PRIMARY KEY ({primary_key})")
    await run(
        f"CREATE TABLE {name} (LIKE {old} INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (created_at)"
    )
    for index, definition, primary in indexes:
        if primary:
            await run(f"ALTER TABLE {name} ADD CONSTRAINT {index} PRIMARY KEY ({primary_key})")
        else:
            await run(definition)
    for key, definition in keys:
        await run(f"ALTER TABLE {name} ADD CONSTRAINT {key} {definition}")
    if (
        sequence := await connection.scalar(text("SELECT pg_get_serial_sequence(:table, 'id')"), {"table": old})
        if table is server_calls
        else None
    ):
        await run(f"ALTER SEQUENCE {sequence} OWNED BY {name}.id")
    await run(
        f"ALTER TABLE {name} ATTACH PARTITION {old} FOR VALUES FROM (MINVALUE) TO ('{until:%Y-%m-%d} 00:00:00+00')"
    )
    await run(f"CREATE TABLE {name}_{days.REST} PARTITION OF {name} DEFAULT")


def _adding(db: Database, table: Table, new: Sequence[Part]) -> list[str]:
    if _on_mysql(db):
        rest = Part(days.REST, new[-1].until, None)
        return [f"ALTER TABLE {table.name} REORGANIZE PARTITION {days.REST} INTO ({_listed([*new, rest])})"]
    return [
        f"CREATE TABLE IF NOT EXISTS {table.name}_{part.name} PARTITION OF {table.name}"
        f" FOR VALUES FROM ('{part.since:%Y-%m-%d} 00:00:00+00') TO ('{part.until:%Y-%m-%d} 00:00:00+00')"
        for part in new
    ]


async def _drop_on_postgresql(db: Database, table: Table, part: Part) -> int:
    """Rows, their counts and the day, in one transaction."""
    async with _changing(db) as connection:
        rows = await _counted(connection, part, 1) if table is server_calls else 0
        await connection.exec_driver_sql(f"DROP TABLE {table.name}_{part.name}")
    return rows


async def _drop_on_mysql(db: Database, table: Table, part: Part) -> int:
    """A change of schema is no part of a transaction here. A mark says that the rows are counted as gone while they are
    still there; whoever finds it does not count them again, and if the day cannot be dropped, they are counted back.
    """
    rows, mark = 0, f"dropping:{part.name}"
    if table is server_calls:
        async with db.writing() as connection:
            if not await generations.current(connection, mark):
                await generations.hold(connection, mark)
                await generations.bump(connection, mark)
                await _counted(connection, part, 1)
            rows = sum((await _by_journal(connection, part)).values())
    try:
        async with _changing(db) as connection:
            await connection.exec_driver_sql(f"ALTER TABLE {table.name} DROP PARTITION {part.name}")
    except BaseException:
        if table is server_calls:
            await _taken_back(db, part, mark)
        raise
    async with db.writing() as connection:
        await connection.execute(delete(marks).where(marks.c.name == mark))
    return rows


async def _taken_back(db: Database, part: Part, mark: str) -> None:
    """What was asked may have been done although nobody said so."""
    async with db.writing() as connection:
        if part.name in {one.name for one in await parts_of(connection, server_calls)}:
            await _counted(connection, part, -1)
        await connection.execute(delete(marks).where(marks.c.name == mark))


async def _counted(connection: AsyncConnection, part: Part, sign: int) -> int:
    """Count the rows of a day as gone, or as there again."""
    gone = await _by_journal(connection, part)
    for journal_id, rows in sorted((one, rows) for one, rows in gone.items() if one is not None):
        counted = update(journals).where(journals.c.id == journal_id)
        await connection.execute(counted.values(purged=journals.c.purged + sign * rows))
    return sum(gone.values())


async def _by_journal(connection: AsyncConnection, part: Part) -> Counter[int | None]:
    of = server_calls.c.journal_id
    found = await connection.execute(select(of, func.count()).where(*_within(part)).group_by(of))
    return Counter({row[0]: row[1] for row in found})


async def _stays(connection: AsyncConnection, part: Part, others: bool) -> bool:
    """Whether a call of that time has to stay: it is under way, or another application's. An index tells each."""
    calls = server_calls.c
    staying = [calls.record_state == RecordState.OPEN, calls.status == Status.IN_PROGRESS.value]
    for one in staying if others else [*staying, calls.call_uid.is_(None)]:
        if (await connection.execute(select(calls.id).where(one, *_within(part)).limit(1))).first() is not None:
            return True
    return False


def _within(part: Part) -> list[ColumnElement[bool]]:
    created = server_calls.c.created_at
    since = [] if part.since is None else [created >= part.since]
    return [*since, *([] if part.until is None else [created < part.until])]


async def _newest_of_rest(connection: AsyncConnection, table: Table) -> datetime | None:
    """PostgreSQL makes no day for which there are rows already."""
    found = await connection.scalar(text(f"SELECT max(created_at) FROM {table.name}_{days.REST}"))  # noqa: S608
    return found if isinstance(found, datetime) else None


@asynccontextmanager
async def _changing(db: Database) -> AsyncIterator[AsyncConnection]:
    """A connection that waits for others for a short time only."""
    async with migrate.alone(db, PATIENCE) as connection:
        yield connection


def _listed(new: Sequence[Part]) -> str:
    return ", ".join(f"PARTITION {part.name} VALUES LESS THAN ({_limit(part)})" for part in new)


def _limit(part: Part) -> str:
    return "MAXVALUE" if part.until is None else f"'{part.until:%Y-%m-%d} 00:00:00'"


def _until(bound: str) -> datetime | None:
    """`'2026-11-24 00:00:00'` of MySQL, `FOR VALUES FROM (…) TO ('2026-11-24 00:00:00+00')` of PostgreSQL."""
    match = LAST.search(bound)
    words = match[1] if match else bound.strip("'")
    try:
        found = datetime.fromisoformat(words)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _short(name: str) -> str:
    return f"{name[:54]}_before"


def _on_mysql(db: Database) -> bool:
    return db.dialect == "mysql"
