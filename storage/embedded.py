"""The embedded database: how a SQLite file is opened, and how transactions begin in it.

Which question: which promises does every connection to the file make? Touches the file and the driver's thread. The
rule: a transaction that will write says so when it begins. A deferred one that turns to writing fails at once while
another one writes, whatever the busy timeout.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import WeakSet

import aiosqlite
from sqlalchemy import Connection

from storage.cursors import Cursor

BUSY_SECONDS = 5.0
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")


class _Connection(sqlite3.Connection):
    """A connection that lets go of the file when it is closed. A statement that was cut short is never finished, and
    SQLite keeps a closed connection's transaction, with its lock, until the last statement is gone.
    """

    def close(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # it is closed already
            if self.in_transaction:
                self.rollback()
        super().close()


class _Driver(aiosqlite.Connection):
    """A connection that may be stopped while it is being closed, as SQLAlchemy does when somebody stops waiting for
    that: the thread ends with the first stop, and whoever waited for another one would wait for ever.
    """

    stopped = False

    def cursor(self) -> Cursor:  # type: ignore[override]
        """One that needs its thread once for a statement."""
        return Cursor(self._conn, self._execute)

    def stop(self) -> asyncio.Future[Any] | None:
        if self.stopped:
            return None
        self.stopped = True
        return super().stop()

    async def close(self) -> None:
        if (ending := self.stop()) is not None:
            await ending

    def join(self) -> None:
        """Wait, bounded, until the thread has ended."""
        self._thread.join(BUSY_SECONDS)


class Connections:
    """The connections of one database, each with a thread of its own."""

    def __init__(self) -> None:
        self._drivers: WeakSet[_Driver] = WeakSet()

    async def open(self, file: str, **options: Any) -> aiosqlite.Connection:
        """As `opened`."""
        connection = await opened(file, **options)
        self._drivers.add(connection)
        return connection

    async def ended(self) -> None:
        """Wait for those that were closed, if need be by somebody who did not wait: a thread's last word is for a loop
        that still runs.
        """
        for driver in [driver for driver in self._drivers if driver.stopped]:
            await asyncio.to_thread(driver.join)


async def opened(file: str, **options: Any) -> _Driver:
    """Open the file in the driver's autocommit mode, so that nobody but `begin` begins. Raises `sqlite3.Error`."""
    own = {"timeout": BUSY_SECONDS, "isolation_level": None, "factory": _Connection}
    connection = _Driver(partial(sqlite3.connect, file, **options | own), iter_chunk_size=64)
    connection._thread.daemon = True
    try:
        await connection
    except sqlite3.Error:
        await asyncio.to_thread(connection._thread.join)  # it has a last word for this loop, which may be closed soon
        raise
    try:
        for pragma in PRAGMAS:
            async with connection.execute(f"PRAGMA {pragma}"):
                pass
    except BaseException:
        await connection.close()
        raise
    return connection


def begin(connection: Connection) -> None:
    """Begin as the connection's options say."""
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
