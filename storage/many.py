"""Many rows in one statement.

Which question: how do the rows of a batch reach the database while the gateway is busy? Touches the connection that it
is given. The rule: SQLite gets many rows in one step, since after each step its thread has to wait for the
interpreter's lock, 5 ms at worst; the drivers of the other engines do that by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import Insert

Row = Mapping[str, Any]

_VALUES = re.compile(r"(?P<before>.*? VALUES )(?P<row>\((?:\?(?:, )?)+\))(?P<after>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Text:
    """A statement of SQLite taken apart; `columns` in the order of its parameters, each with what makes its values fit
    for the driver.
    """

    before: str
    row: str
    after: str
    columns: tuple[tuple[str, Callable[[Any], Any] | None], ...]

    def of(self, rows: Sequence[Row]) -> tuple[str, tuple[Any, ...]]:
        values = [row[name] if fit is None else fit(row[name]) for row in rows for name, fit in self.columns]
        return f"{self.before}{', '.join([self.row] * len(rows))}{self.after}", tuple(values)


class Many:
    """Runs `insert`, which may say what happens when a row is there already, for rows that name the same columns."""

    def __init__(self, insert: Insert) -> None:
        self._insert = insert
        self._texts: dict[tuple[str, ...], _Text] = {}

    async def write(self, connection: AsyncConnection, rows: Sequence[Row]) -> None:
        """Some tens of rows; none is no statement."""
        if not rows:
            return
        if connection.dialect.name == "sqlite":
            text, values = self._text(tuple(rows[0]), connection.dialect).of(rows)
            await connection.exec_driver_sql(text, values)
        else:
            await connection.execute(self._insert, rows)

    def _text(self, names: tuple[str, ...], dialect: Dialect) -> _Text:
        if names not in self._texts:
            self._texts[names] = _taken_apart(self._insert, names, dialect)
        return self._texts[names]


def _taken_apart(insert: Insert, names: tuple[str, ...], dialect: Dialect) -> _Text:
    compiled = insert.compile(dialect=dialect, column_keys=names)
    parts = _VALUES.fullmatch(str(compiled))
    order: Sequence[str] = compiled.positiontup or ()
    if parts is None or sorted(order) != sorted(names):
        raise LookupError(f"an insert into {insert.table} with other parameters than its row cannot take many rows")
    fits = ((name, insert.table.c[name].type.dialect_impl(dialect).bind_processor(dialect)) for name in order)
    return _Text(parts["before"], parts["row"], parts["after"], tuple(fits))
