"""Statements of the embedded database, each in one visit to its thread.

Which question: how often does a statement change between the event loop and the database's thread? Touches that thread.
The rule: once there and back. A busy gateway pays milliseconds for each change, and the driver's own cursors need four:
one to be made, one to run, one for the rows, one to be closed.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Self

AT_ONCE = 1_000
"""Rows that come with the statement; more are left where they are until somebody wants them."""

Visit = Callable[..., Awaitable[Any]]
"""Runs a function with its arguments in the thread."""


class Cursor:
    """What SQLAlchemy needs of a cursor of aiosqlite. `visit` runs things in the thread of `connection`."""

    def __init__(self, connection: sqlite3.Connection, visit: Visit) -> None:
        self.description: Sequence[Any] | None = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1
        self._connection = connection
        self._visit = visit
        self._rows: deque[Any] = deque()
        self._open: sqlite3.Cursor | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def execute(self, sql: str, parameters: Iterable[Any] = ()) -> Self:
        """Run a statement, and bring its first rows."""
        await self._visit(self._run, sqlite3.Cursor.execute, sql, parameters)
        return self

    async def executemany(self, sql: str, parameters: Iterable[Iterable[Any]]) -> Self:
        """Run a statement again and again."""
        await self._visit(self._run, sqlite3.Cursor.executemany, sql, parameters)
        return self

    async def fetchone(self) -> Any:
        """The next row; None when there is none."""
        rows = await self.fetchmany(1)
        return rows[0] if rows else None

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """The next rows."""
        wanted = self.arraysize if size is None else size
        while len(self._rows) < wanted and self._open is not None:
            await self._visit(self._fetch, max(AT_ONCE, wanted))
        return [self._rows.popleft() for _ in range(min(wanted, len(self._rows)))]

    async def fetchall(self) -> list[Any]:
        """All rows that are left."""
        while self._open is not None:
            await self._visit(self._fetch, AT_ONCE)
        rows = list(self._rows)
        self._rows.clear()
        return rows

    async def close(self) -> None:
        """Let go of the statement, if it is not at its end."""
        if self._open is not None:
            await self._visit(self._leave)

    def _run(self, how: Callable[..., sqlite3.Cursor], sql: str, parameters: Any) -> None:
        """In the thread."""
        self._leave()
        self._rows.clear()
        cursor = self._connection.cursor()
        try:
            how(cursor, sql, parameters)
        except BaseException:
            cursor.close()
            raise
        self.description, self.rowcount, self.lastrowid = cursor.description, cursor.rowcount, cursor.lastrowid
        self._open = cursor
        self._fetch(AT_ONCE)

    def _fetch(self, most: int) -> None:
        """In the thread."""
        if self._open is None:
            return
        rows = self._open.fetchmany(most) if self.description is not None else []
        self._rows.extend(rows)
        if len(rows) < most:
            self._leave()

    def _leave(self) -> None:
        """In the thread."""
        if self._open is not None:
            self._open.close()
            self._open = None
