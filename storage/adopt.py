"""Taking over a database that another application made and goes on using.

Which question: may this `mcp_chat` database become ours, and what happens to it then? Reads `information_schema` and
the documented tables; then adds to them, and fills in what is new. The rule: nothing that is there is lost or changed,
the other application's revision included, and a run that was killed anywhere is finished by running it again.

Theory of operation: the documented tables are what our first revision makes. So a database that has them is marked
as being at that revision, in a version table of our own, and then upgraded like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path

from sqlalchemy import Select, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import migrate
from storage.backfill import backfill
from storage.database import Database
from storage.differences import differences
from storage.documented import RELATIONS, documented
from storage.dump import dump
from storage.errors import AdoptionRefused
from storage.inspection import Inspection, inspect
from storage.schema import DOCUMENTED, metadata, users

LOCAL = "local"

NOT_A_VALUE = {"datetime": "MONTH({0}) = 0 OR DAYOFMONTH({0}) = 0", "json": "JSON_VALID({0}) = 0"}
"""By type: MySQL's dates of day or month 0, and what MariaDB keeps for JSON while its checks are off."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What an adoption would find and do, in sentences. With `refusals` it does nothing. `rows` counts the rows of the
    documented tables.
    """

    notes: tuple[str, ...]
    refusals: tuple[str, ...]
    steps: tuple[str, ...]
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Adoption:
    """What an adoption did. `filled` counts the rows per table that got what they lacked."""

    revision: str
    filled: Mapping[str, int]


async def examine(db: Database) -> Examination:
    """Look, and change nothing. Raises `AdoptionRefused` where there is nothing to take over."""
    status = await _adoptable(db)
    async with db.reading() as connection:
        found = await inspect(connection)
        if found.tables.keys().isdisjoint(DOCUMENTED):
            raise AdoptionRefused(
                f"{db.label}: holds no table of an mcp_chat database; for a new one {migrate.COMMAND}"
            )
        compared = () if status.current else tuple(differences(found))
        refusals = tuple(one.text for one in compared if one.refused)
        notes = tuple(one.text for one in compared if not one.refused)
        if refusals := refusals or tuple(await _refused_rows(connection)):
            return Examination(notes, refusals, (), {})
        return Examination(
            notes=(*notes, *await _notes_on_rows(connection)),
            refusals=(),
            steps=tuple(_steps(found)),
            rows={table: await _count(connection, _rows(table)) for table in DOCUMENTED},
        )


async def adopt(db: Database, timezone: tzinfo, backup: Path | None) -> Adoption:
    """Take the database over; the other application's times are of `timezone`. With `backup` the whole database is
    first written there. Raises `AdoptionRefused` naming every reason, before anything is changed.
    """
    found = await examine(db)
    if found.refusals:
        raise AdoptionRefused("\n".join((f"{db.label} cannot be adopted:", *found.refusals)))
    if backup is not None:
        await dump(db, backup)
    await migrate.claim(db)
    status = await migrate.upgrade(db)
    return Adoption(status.head, await backfill(db, timezone))


async def _adoptable(db: Database) -> migrate.SchemaStatus:
    if db.dialect != "mysql":
        raise AdoptionRefused(
            f"{db.label}: only MySQL and MariaDB have mcp_chat databases; for a new one {migrate.COMMAND}"
        )
    status = await migrate.status(db)
    if status.current is not None and status.version_table == migrate.OUR_TABLE:
        raise AdoptionRefused(f"{db.label}: is the gateway's own already; to bring it up to date {migrate.COMMAND}")
    return status


def _steps(found: Inspection) -> list[str]:
    added = {
        table: [column.name for column in metadata.tables[table].columns if column.name not in found.columns[table]]
        for table in DOCUMENTED
    }
    new = sorted(metadata.tables.keys() - found.tables.keys())
    return [
        f"keep the gateway's revision in {migrate.BESIDE_ANOTHERS}; {migrate.OUR_TABLE} stays as it is",
        *(f"add to {table}: {', '.join(columns)}" for table, columns in added.items() if columns),
        *([f"create {', '.join(new)}"] if new else []),
        "fill public ids and exact times in, leaving every documented column, updated_at included, as it is",
    ]


async def _refused_rows(connection: AsyncConnection) -> list[str]:
    """Values that a relaxed server let in, and that no strict one takes when a table is altered or a time is read."""
    refusals = []
    for table, columns in documented().items():
        wrong = {name: NOT_A_VALUE[one.type].format(name) for name, one in columns.items() if one.type in NOT_A_VALUE}
        counts = ", ".join(f"SUM({condition})" for condition in wrong.values())
        found = (await connection.execute(text(f"SELECT {counts} FROM {table}"))).one()  # noqa: S608
        for (name, condition), count in zip(wrong.items(), found, strict=True):
            if count:
                theirs = f"SELECT id FROM {table} WHERE {condition}"  # noqa: S608
                refusals.append(
                    f"{table}.{name}: {count} rows hold no valid {columns[name].type}; mend those of {theirs}"
                )
    return refusals


async def _notes_on_rows(connection: AsyncConnection) -> list[str]:
    notes = []
    for table, column, other in RELATIONS:
        if lost := await _count(connection, _orphans(table, column, other)):
            notes.append(f"{table}.{column}: {lost} rows name a row of {other} that is not there; left as they are")
    twice = await connection.execute(
        text("SELECT name, GROUP_CONCAT(id ORDER BY id) FROM mcp_servers GROUP BY BINARY name HAVING COUNT(*) > 1")
    )
    notes += [f"mcp_servers: the rows {ids} are all named {name!r}; left as they are" for name, ids in twice]
    if await _count(connection, _rows("users").where(users.c.username == LOCAL)):
        notes.append("users: there is a user `local`; calls without an API key will be recorded as theirs")
    return notes


def _rows(table: str) -> Select[int]:
    return select(func.count()).select_from(metadata.tables[table])


def _orphans(table: str, column: str, other: str) -> Select[int]:
    child, parent = metadata.tables[table], metadata.tables[other]
    both = child.outerjoin(parent, parent.c.id == child.c[column])
    return select(func.count()).select_from(both).where(parent.c.id.is_(None))


async def _count(connection: AsyncConnection, query: Select[int]) -> int:
    return int((await connection.execute(query)).scalar_one())
