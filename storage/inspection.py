"""What stands in a MySQL or MariaDB database.

Which question: which tables, columns, keys and relations are here? Reads `information_schema`; changes nothing. The
rule: the two servers describe the same column in different words, and here is the only place that knows both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.documented import ColumnShape, Shapes

WIDTH = re.compile(r"^((?:small|medium|big)?int|tinyint(?!\(1\)))\(\d+\)")
"""A display width; only `tinyint(1)` means something by it."""
JSON_CHECK = re.compile(r"json_valid\(`(\w+)`\)")
NOW = re.compile(r"current_timestamp(?:\(\))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TableShape:
    """How a table is kept."""

    engine: str
    row_format: str
    charsets: frozenset[str]
    """Of its text columns."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """A database's base tables, and the names of its views. `references` are (table, column, other table)."""

    tables: Mapping[str, TableShape]
    views: frozenset[str]
    columns: Shapes
    references: frozenset[tuple[str, str, str]]


async def inspect(connection: AsyncConnection) -> Inspection:
    """Look at the connection's database."""
    columns = await _columns(connection)
    charsets = await _charsets(connection)
    tables = await connection.execute(
        text(
            "SELECT table_name, engine, row_format FROM information_schema.tables"
            " WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'"
        )
    )
    views = await connection.scalars(
        text("SELECT table_name FROM information_schema.views WHERE table_schema = DATABASE()")
    )
    return Inspection(
        {
            name: TableShape(engine, row_format, frozenset(charsets.get(name, ())))
            for name, engine, row_format in tables
        },
        frozenset(views),
        columns,
        await _references(connection),
    )


def default_of(default: str | bytes | None) -> str | None:
    """A column's default as its value. MariaDB writes it as an expression: quoted, `NULL`, `current_timestamp()`."""
    word = None if default is None else _text(default)
    if word is None or word == "NULL":
        return None
    if NOW.fullmatch(word):
        return "CURRENT_TIMESTAMP"
    quoted = len(word) > 1 and word[0] == word[-1] == "'"
    return word[1:-1].replace("''", "'").replace("\\\\", "\\") if quoted else word


async def _columns(connection: AsyncConnection) -> Shapes:
    json_columns = await _json_columns(connection)
    rows = await connection.execute(
        text(
            "SELECT table_name, column_name, column_type, is_nullable, column_key, column_default, extra"
            " FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position"
        )
    )
    shapes: dict[str, dict[str, ColumnShape]] = {}
    for table, column, kind, null, key, default, extra in rows:
        kind = "json" if (table, column) in json_columns else WIDTH.sub(r"\1", _text(kind))
        shape = ColumnShape(kind, null == "YES", key or None, default_of(default), _extra(extra))
        shapes.setdefault(table, {})[column] = shape
    return shapes


async def _json_columns(connection: AsyncConnection) -> frozenset[tuple[str, str]]:
    """MariaDB keeps JSON as text with a check."""
    version = (await connection.execute(text("SELECT VERSION()"))).scalar_one()
    if "mariadb" not in version.lower():
        return frozenset()
    checks = await connection.execute(
        text(
            "SELECT table_name, check_clause FROM information_schema.check_constraints"
            " WHERE constraint_schema = DATABASE()"
        )
    )
    return frozenset((table, match[1]) for table, clause in checks if (match := JSON_CHECK.search(clause)))


async def _charsets(connection: AsyncConnection) -> Mapping[str, set[str]]:
    rows = await connection.execute(
        text(
            "SELECT DISTINCT table_name, character_set_name FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND character_set_name IS NOT NULL"
        )
    )
    charsets: dict[str, set[str]] = {}
    for table, charset in rows:
        charsets.setdefault(table, set()).add(charset)
    return charsets


async def _references(connection: AsyncConnection) -> frozenset[tuple[str, str, str]]:
    rows = await connection.execute(
        text(
            "SELECT table_name, column_name, referenced_table_name FROM information_schema.key_column_usage"
            " WHERE table_schema = DATABASE() AND referenced_table_name IS NOT NULL"
        )
    )
    return frozenset((table, column, other) for table, column, other in rows)


def _extra(extra: str) -> str | None:
    words = NOW.sub("", extra).replace("DEFAULT_GENERATED", "").lower().split()
    return {"on update": "update", "auto_increment": "auto_increment", "": None}.get(" ".join(words), " ".join(words))


def _text(value: str | bytes) -> str:
    """MySQL answers some columns of `information_schema` as bytes."""
    return value.decode() if isinstance(value, bytes) else value
