"""Legacy sessions of clients, as far as their sealed ids cannot speak for themselves.

Which question: which session ids are worth nothing any more? Touches `client_sessions`. The rule: an end is written
before the client hears of it, and forgotten only once the id has expired by itself.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import delete, select, update

from storage.database import Database
from storage.schema import client_sessions
from storage.upserts import once


async def end(db: Database, sid: str, user_id: int, expires: float) -> None:
    """The session has ended; `expires` is when its id would have, in seconds since the Unix epoch. Raises
    `DatabaseUnavailable`.
    """
    now = datetime.now(UTC)
    row = {"sid": sid, "user_id": user_id, "expires_at": datetime.fromtimestamp(expires, UTC)}
    async with db.writing() as connection:
        await connection.execute(once(db.dialect, client_sessions).values(**row))
        await connection.execute(
            update(client_sessions)
            .where(client_sessions.c.sid == sid, client_sessions.c.ended_at.is_(None))
            .values(ended_at=now)
        )
        await connection.execute(delete(client_sessions).where(client_sessions.c.expires_at < now))


async def ended(db: Database) -> dict[str, float]:
    """Every ended session whose id has not expired: sid → expiry, in seconds since the Unix epoch. Raises
    `DatabaseUnavailable`.
    """
    columns = client_sessions.c
    query = select(columns.sid, columns.expires_at).where(
        columns.ended_at.is_not(None), columns.expires_at >= datetime.now(UTC)
    )
    async with db.reading() as connection:
        return {row.sid: row.expires_at.timestamp() for row in await connection.execute(query)}
