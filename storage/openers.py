"""How a connection is opened, beyond what the drivers do.

Which question: may this host be written to, and does it show what others have written? Touches the drivers. The rule:
a connection that leaves here can do what the gateway needs; where it cannot, it is closed, and an error of the driver's
says why.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pymysql.err import MySQLError, OperationalError

from storage.escaping import EscapingConnection

READ_ONLY = 1290
MYSQL_FAILURES = (OSError, MySQLError)
"""What the driver raises when a host cannot be used."""

CAUSAL = 7
"""`wsrep_sync_wait`: reading, changing and inserting all wait for what other nodes have committed."""


async def mysql(**options: Any) -> EscapingConnection:
    """On a Galera cluster, statements see what was committed on any node."""
    return await _prepared(await EscapingConnection.open(**options), writable=False)


async def writable_mysql(**options: Any) -> EscapingConnection:
    """The same, on a host that can be written to."""
    return await _prepared(await EscapingConnection.open(**options), writable=True)


async def writable_postgresql(**options: Any) -> Any:
    """A connection of asyncpg to a host that is no standby."""
    driver = import_module("asyncpg")
    connection = await driver.connect(**options)
    try:
        if await connection.fetchval("SELECT pg_is_in_recovery()"):
            raise driver.ReadOnlySQLTransactionError("the host is a standby")
    except BaseException:
        connection.terminate()
        raise
    return connection


def postgresql_failures() -> tuple[type[Exception], ...]:
    """What asyncpg raises when a host cannot be used."""
    driver = import_module("asyncpg")
    return (OSError, driver.PostgresError, driver.InterfaceError)


async def _prepared(connection: EscapingConnection, *, writable: bool) -> EscapingConnection:
    try:
        async with connection.cursor() as cursor:
            await cursor.execute("SHOW VARIABLES WHERE Variable_name IN ('wsrep_on', 'read_only')")
            said = dict(await cursor.fetchall())
            if writable and said.get("read_only") not in ("OFF", "0"):
                raise OperationalError(READ_ONLY, "the host is read-only")
            if said.get("wsrep_on") == "ON":
                await cursor.execute("SELECT 1")  # a node that is not part of its cluster refuses this
                await cursor.execute(f"SET SESSION wsrep_sync_wait = {CAUSAL}")
    except BaseException:
        connection.close()
        raise
    return connection
