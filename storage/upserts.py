"""Inserts that may meet their row again.

Which question: what happens when a row is written a second time? Touches nothing: these are statements. The rule: no
statement here needs to know whether the row exists; running one twice, or in another order, ends in the same row.
"""

from __future__ import annotations

from sqlalchemy import Table, func
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.sql.dml import Insert

from storage.dialects import Dialect


def once(dialect: Dialect, table: Table) -> Insert:
    """Insert a row; one with the same key stays as it is."""
    if dialect == "mysql":
        key = next(iter(table.primary_key))
        return mysql.insert(table).on_duplicate_key_update({key.name: key})
    return _excluding(dialect, table).on_conflict_do_nothing()


def ranked(dialect: Dialect, table: Table, key: tuple[str, ...], rank: str, kept: frozenset[str]) -> Insert:
    """Insert a row; where `key` is taken, the row with the higher `rank` wins whole, but for the columns `kept`, which
    must not be inserted: MySQL knows no new value of a column that is not.
    """
    columns = [column.name for column in table.columns if column.name not in kept]
    if dialect != "mysql":
        excluding = _excluding(dialect, table)
        grown = {name: excluding.excluded[name] for name in columns if name not in key}
        return excluding.on_conflict_do_update(
            index_elements=key, set_=grown, where=excluding.excluded[rank] > table.c[rank]
        )
    # MySQL evaluates assignments from left to right and would compare with a rank already overwritten.
    insert = mysql.insert(table)
    columns.sort(key=lambda name: name == rank)
    grows = insert.inserted[rank] > table.c[rank]
    return insert.on_duplicate_key_update(
        [(name, func.IF(grows, insert.inserted[name], table.c[name])) for name in columns if name not in key]
    )


def added(dialect: Dialect, table: Table, sums: tuple[str, ...]) -> Insert:
    """Insert a row; where its primary key is taken, the columns `sums` grow by the new values."""
    if dialect == "mysql":
        insert = mysql.insert(table)
        return insert.on_duplicate_key_update([(name, table.c[name] + insert.inserted[name]) for name in sums])
    excluding = _excluding(dialect, table)
    grown = {name: table.c[name] + excluding.excluded[name] for name in sums}
    return excluding.on_conflict_do_update(index_elements=list(table.primary_key), set_=grown)


def _excluding(dialect: Dialect, table: Table) -> postgresql.Insert | sqlite.Insert:
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
