"""The database's clock.

Which question: what time is it where all gateways look? Touches one connection. The rule: what gateways tell each other
by time is told and compared by this clock alone; their own may be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.dialects import Dialect

_SECONDS: Mapping[Dialect, str] = {
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
    "mysql": "SELECT UNIX_TIMESTAMP(NOW(6))",
    "postgresql": "SELECT EXTRACT(EPOCH FROM clock_timestamp())",
}


async def database_now(connection: AsyncConnection, dialect: Dialect) -> datetime:
    """The moment at which the database is asked; to a millisecond at least."""
    seconds = await connection.scalar(text(_SECONDS[dialect]))
    return datetime.fromtimestamp(float(seconds or 0), UTC)
