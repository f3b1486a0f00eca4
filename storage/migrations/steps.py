"""The two moves of every revision: make a table, and add to one.

Which question: which statements are still missing for this step? Touches the schema of the database that a revision
runs on. The rule: MySQL cannot roll back DDL, and a process can be killed between any two statements; so each
statement here does a whole step, and is left out when the database shows that the step was done.

Widening a column is MySQL's alone. The documented database lives there, with its documented sizes; on SQLite and
PostgreSQL it was never anything but ours, so that revision 1 made those columns wide at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from alembic import op
from sqlalchemy import CheckConstraint, Column, Connection, Enum, ForeignKeyConstraint, MetaData, Table, inspect

from storage.migrations.widening import Wider, definition

Key = tuple[str, ...]
Columns = Sequence[Column[Any]]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a table has or gains.

    `keys` and `unique` are tuples of column names; `references` maps a column to the table whose `id` it holds;
    `wider` maps a column to what it becomes on MySQL.
    """

    columns: Columns = ()
    keys: Sequence[Key] = ()
    unique: Sequence[Key] = ()
    references: Mapping[str, str] = field(default_factory=dict)
    wider: Mapping[str, Wider] = field(default_factory=dict)


def on_mysql() -> bool:
    """Whether the revision runs on MySQL or MariaDB."""
    return op.get_bind().dialect.name == "mysql"


def create(table: str, shape: Shape) -> None:
    """Make a table, unless it is there, and its keys. On MySQL the references come with the keys, in one ALTER."""
    later = replace(shape, columns=())
    if on_mysql():
        _create(table, shape.columns)
    else:
        _create(table, shape.columns, *_checks(shape.columns), *_foreign_keys(table, shape))
        later = replace(later, references={})
    add(table, later)


def add(table: str, shape: Shape) -> None:
    """Give an existing table what it lacks of `shape`: on MySQL in one ALTER, elsewhere one by one."""
    connection = op.get_bind()
    lacking = _lacking(connection, table, shape)
    if on_mysql():
        if clauses := ", ".join(_clauses(connection, table, lacking)):
            _alter(connection, f"ALTER TABLE {table} {clauses}")
        return
    for column, words in _definitions(connection, lacking.columns):
        constraints = _inline(table, column, lacking.references)
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {words}{constraints}")
    for kind, name, key in _indexes(table, lacking):
        connection.exec_driver_sql(f"CREATE {kind} {name} ON {table} ({', '.join(key)})")


def _create(table: str, columns: Columns, *constraints: CheckConstraint | ForeignKeyConstraint) -> None:
    if table not in inspect(op.get_bind()).get_table_names():
        op.create_table(table, *columns, *constraints, mysql_engine="InnoDB", mysql_charset="utf8mb4")


def _alter(connection: Connection, statement: str) -> None:
    """MySQL copies the rows of a table that grows wider, and would check each again: an adopted table may hold rows
    whose parents are gone. A new reference needs no check, its column is NULL everywhere.
    """
    connection.exec_driver_sql("SET foreign_key_checks = 0")
    connection.exec_driver_sql(statement.replace("%", "%%"))
    connection.exec_driver_sql("SET foreign_key_checks = 1")


def _lacking(connection: Connection, table: str, shape: Shape) -> Shape:
    """A statement is atomic: where everything new is there, the widening that came with it was done too."""
    schema = inspect(connection)
    columns = {column["name"] for column in schema.get_columns(table)}
    indexes = {index["name"] for index in schema.get_indexes(table)}
    referring = {name for one in schema.get_foreign_keys(table) for name in one["constrained_columns"]}
    lacking = replace(
        shape,
        columns=[column for column in shape.columns if column.name not in columns],
        keys=[key for key in shape.keys if _name("ix", table, key) not in indexes],
        unique=[key for key in shape.unique if _name("uq", table, key) not in indexes],
        references={key: other for key, other in _references(shape).items() if key not in referring},
    )
    return lacking if lacking.columns or lacking.keys or lacking.unique or lacking.references else Shape()


def _clauses(connection: Connection, table: str, lacking: Shape) -> Iterator[str]:
    for _, words in _definitions(connection, lacking.columns):
        yield f"ADD COLUMN {words}"
    for column_name, wider in lacking.wider.items():
        yield f"MODIFY COLUMN `{column_name}` {definition(connection, table, column_name, wider)}"
    for kind, name, key in _indexes(table, lacking):
        yield f"ADD {kind} {name} ({', '.join(f'`{part}`' for part in key)})"
    for column_name, other in lacking.references.items():
        constraint = _name("fk", table, (column_name,))
        yield f"ADD CONSTRAINT {constraint} FOREIGN KEY (`{column_name}`) REFERENCES {other} (id)"


def _definitions(connection: Connection, columns: Columns) -> Iterator[tuple[Column[Any], str]]:
    """Each column in the engine's words, without constraints."""
    Table("alone", MetaData(), *columns)
    compiler = connection.dialect.ddl_compiler(connection.dialect, None)  # type: ignore[arg-type]
    return ((column, compiler.get_column_specification(column)) for column in columns)


def _inline(table: str, column: Column[Any], references: Mapping[str, str]) -> str:
    """SQLite adds no constraint to a table that exists, but takes a column together with its constraints."""
    check = f" {_check(column.name, column.type)}" if isinstance(column.type, Enum) else ""
    other = references.get(column.name)
    return check + (f" CONSTRAINT {_name('fk', table, (column.name,))} REFERENCES {other} (id)" if other else "")


def _checks(columns: Columns) -> Iterator[CheckConstraint]:
    return (CheckConstraint(_condition(one.name, one.type)) for one in columns if isinstance(one.type, Enum))


def _check(column: str, kind: Enum) -> str:
    return f"CHECK ({_condition(column, kind)})"


def _condition(column: str, kind: Enum) -> str:
    words = ", ".join(f"'{word}'" for word in kind.enums)
    return f"{column} IN ({words})"


def _foreign_keys(table: str, shape: Shape) -> Iterator[ForeignKeyConstraint]:
    for key, other in _references(shape).items():
        yield ForeignKeyConstraint([key], [f"{other}.id"], name=_name("fk", table, (key,)))


def _references(shape: Shape) -> Mapping[str, str]:
    """None at all where the administrator wants a schema without foreign keys."""
    return shape.references if op.get_context().opts["foreign_keys"] else {}


def _indexes(table: str, shape: Shape) -> Iterator[tuple[str, str, Key]]:
    yield from (("INDEX", _name("ix", table, key), key) for key in shape.keys)
    yield from (("UNIQUE INDEX", _name("uq", table, key), key) for key in shape.unique)


def _name(kind: str, table: str, key: Key) -> str:
    return "_".join((kind, table, *key))
