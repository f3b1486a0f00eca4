"""The door to the database.

Which question: where do statements run, in which transaction, and what if the database is gone? Touches the network or
the embedded file. The rule: whoever needs rows asks for `reading()` or `writing()` and holds the connection for no
longer than its own statements take, never across a call to a server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.dialects import Dialect, address_of, engine_of
from storage.embedded import Connections
from storage.errors import DatabaseUnavailable
from storage.failures import meaning_of
from storage.settings import DatabaseSettings


class Database:
    """A pool of connections to one database. Making one does no I/O; a URL that cannot be used raises
    `DatabaseMisconfigured`.

    Failures of the database itself leave both contexts as `DatabaseUnavailable`, or as its subclass
    `DatabaseContended` when the same transaction is worth running again at once.
    """

    def __init__(self, settings: DatabaseSettings) -> None:
        self._address = address_of(settings.url)
        self._settings = settings
        self._embedded = Connections()
        self._engine = engine_of(self._address, settings, self._embedded)
        self._writer = self._engine.execution_options(writing=True)

    def __repr__(self) -> str:
        return f"<Database {self.label}>"

    @property
    def dialect(self) -> Dialect:
        """MariaDB is `mysql`."""
        return self._address.dialect

    @property
    def label(self) -> str:
        """What people and logs may see: engine, place and name, never a credential."""
        return self._address.label

    @property
    def foreign_keys(self) -> bool:
        """Whether the schema has foreign key constraints."""
        return self._settings.foreign_keys

    @property
    def busy(self) -> int:
        """Connections in use at this moment."""
        return int(self._engine.pool.checkedout())  # type: ignore[attr-defined]

    @property
    def idle(self) -> int:
        """Connections open and unused at this moment."""
        return int(self._engine.pool.checkedin())  # type: ignore[attr-defined]

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection whose statements see one snapshot; nothing is committed."""
        async with self._translated(), self._connection(self._engine) as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A connection inside one transaction: committed at the end, rolled back by an exception."""
        async with self._translated(), self._connection(self._writer) as connection, connection.begin():
            yield connection

    async def close(self) -> None:
        """Close the pool; connections in use are closed when they are returned."""
        await self._engine.dispose()
        await self._embedded.ended()

    @asynccontextmanager
    async def _connection(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        """The drivers' own timeouts do not cover a server that accepts and says nothing, so the checkout has one."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._settings.connect_timeout):
                    connection = await stack.enter_async_context(engine.connect())
            except TimeoutError as error:
                raise DatabaseUnavailable(f"{self.label} cannot be used: {self._why_it_took_so_long()}") from error
            except OSError as error:
                raise DatabaseUnavailable(f"{self.label} cannot be used: {error}") from error
            yield connection

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        try:
            yield
        except DBAPIError as error:
            meaning = meaning_of(error, self.label)
            if meaning is None:
                raise
            raise meaning from error

    def _why_it_took_so_long(self) -> str:
        seconds = f"{self._settings.connect_timeout:g} s"
        if self.busy >= self._settings.pool_size:
            return f"all {self._settings.pool_size} connections (database.pool_size) were in use for {seconds}"
        return f"no answer within {seconds}"
