"""A backup of a MySQL or MariaDB database, as SQL that makes it again.

Which question: what stood in this database at one moment? Reads everything in one snapshot and writes one file. The
rule: a file under its final name is complete; what this dump could not bring back (views, triggers, programs, unusual
types) is a refusal that names it, never a gap.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import Database
from storage.errors import AdoptionRefused

HEAD = """\
-- {label}
-- Restore into an empty database: mysql DATABASE < THIS_FILE
SET NAMES utf8mb4;
SET time_zone = '+00:00';
SET foreign_key_checks = 0;
SET unique_checks = 0;
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
"""
TAIL = """
SET foreign_key_checks = 1;
SET unique_checks = 1;
-- complete
"""
STATEMENT_CHARACTERS = 500_000
"""One INSERT, unless a single row is longer: well below any server's `max_allowed_packet`."""
ROWS_AT_ONCE = 200

AS_IT_IS = "{0}"
AS_TEXT = "CAST({0} AS CHAR)"
EXACTLY = "{0} + 0E0"
AS_NUMBER = "{0} + 0"
READ_AS = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint", "year"), AS_IT_IS),
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"), AS_IT_IS),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), AS_IT_IS),
    **dict.fromkeys(("decimal", "date", "time", "datetime", "timestamp", "json"), AS_TEXT),
    **dict.fromkeys(("float", "double"), EXACTLY),
    "bit": AS_NUMBER,
}
"""How a column is read so that its literal brings the same value back: a FLOAT shows only six of its digits, and a
zero date is nothing that Python knows."""

BEYOND_US = """
SELECT 'the view', table_name FROM information_schema.views WHERE table_schema = DATABASE()
UNION ALL SELECT 'the trigger', trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()
UNION ALL SELECT 'the routine', routine_name FROM information_schema.routines WHERE routine_schema = DATABASE()
UNION ALL SELECT 'the event', event_name FROM information_schema.events WHERE event_schema = DATABASE()
UNION ALL SELECT CONCAT('the ', COALESCE(engine, ''), ' table'), table_name FROM information_schema.tables
  WHERE table_schema = DATABASE() AND table_type <> 'VIEW' AND (table_type <> 'BASE TABLE' OR engine <> 'InnoDB')
"""

COLUMNS = """
SELECT table_name, column_name, data_type FROM information_schema.columns NATURAL JOIN information_schema.tables
WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND COALESCE(generation_expression, '') = ''
ORDER BY table_name, ordinal_position
"""

Columns = Sequence[tuple[str, str]]
"""Name and type of a table's columns, those left out that the database computes."""


async def dump(db: Database, file: Path) -> None:
    """Write the whole database to `file`, which must not exist; it will be readable by its owner alone. Raises
    `AdoptionRefused` when that would not be all of it, OSError when the file cannot be written.
    """
    async with db.reading() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ")
        await _refuse_what_is_beyond_us(connection)
        tables = await _tables(connection)
        await connection.execute(text("START TRANSACTION WITH CONSISTENT SNAPSHOT"))
        with _complete_or_nothing(file) as output:
            output.write(HEAD.format(label=db.label))
            for table, columns in tables.items():
                async for statement in _statements(connection, table, columns):
                    output.write(statement)
            output.write(TAIL)


async def _refuse_what_is_beyond_us(connection: AsyncConnection) -> None:
    found = (await connection.execute(text(BEYOND_US))).all()
    if found:
        names = ", ".join(f"{kind} {name}" for kind, name in found)
        raise AdoptionRefused(f"the backup would lack {names}: make one with mysqldump, then say --no-backup")


async def _tables(connection: AsyncConnection) -> dict[str, list[tuple[str, str]]]:
    tables: dict[str, list[tuple[str, str]]] = {}
    for table, column, kind in await connection.execute(text(COLUMNS)):
        if kind not in READ_AS:
            raise AdoptionRefused(
                f"the backup cannot hold {table}.{column} of type {kind}: make one with mysqldump, then say --no-backup"
            )
        tables.setdefault(table, []).append((column, kind))
    return tables


async def _statements(connection: AsyncConnection, table: str, columns: Columns) -> AsyncIterator[str]:
    shown = (await connection.execute(_sql(f"SHOW CREATE TABLE {_quoted(table)}"))).one()[1]
    yield f"\n{shown};\n"
    expressions = ", ".join(READ_AS[kind].format(_quoted(name)) for name, kind in columns)
    names = ", ".join(_quoted(name) for name, _ in columns)
    raw: Any = (await connection.get_raw_connection()).driver_connection
    async with connection.stream(_sql(f"SELECT {expressions} FROM {_quoted(table)}")) as rows:  # noqa: S608
        async for some in rows.partitions(ROWS_AT_ONCE):
            for values in _batches(f"({','.join(raw.escape(value) for value in row)})" for row in some):
                yield f"INSERT INTO {_quoted(table)} ({names}) VALUES\n{values};\n"


def _batches(rows: Iterator[str]) -> Iterator[str]:
    batch: list[str] = []
    for row in rows:
        batch.append(row)
        if sum(map(len, batch)) > STATEMENT_CHARACTERS:
            yield ",\n".join(batch)
            batch = []
    if batch:
        yield ",\n".join(batch)


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _sql(statement: str) -> TextClause:
    """A statement whose colons belong to names."""
    return text(statement.replace(":", r"\:"))


@contextmanager
def _complete_or_nothing(file: Path) -> Iterator[TextIO]:
    if file.exists():
        raise AdoptionRefused(f"the backup {file} exists already: name another file")
    partial = file.with_name(f"{file.name}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as output:
            yield output
            output.flush()
            os.fsync(output.fileno())
        partial.rename(file)
    finally:
        partial.unlink(missing_ok=True)
