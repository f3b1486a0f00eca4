"""Work that one gateway does for all.

Which question: is it our turn? Touches `leases`, by the database's clock. The rule: a claim counts only once it is
committed; whoever cannot say that it was, has not got it.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import or_, update

from storage.database import Database
from storage.errors import DatabaseContended
from storage.moments import database_now
from storage.schema import leases
from storage.upserts import once


class Lease:
    """The lease `name`, as `owner` (32 hexadecimal digits) asks for it."""

    def __init__(self, db: Database, name: str, owner: str) -> None:
        self._db = db
        self._name = name
        self._owner = owner

    async def claim(self, seconds: float) -> bool:
        """Take it, or keep it, for so long; False while another has it. Raises `DatabaseUnavailable`."""
        try:
            return await self._claimed(seconds)
        except DatabaseContended:
            return False

    async def release(self) -> None:
        """Leave it to others. Raises `DatabaseUnavailable`."""
        async with self._db.writing() as connection:
            own = update(leases).where(leases.c.name == self._name, leases.c.owner == self._owner)
            await connection.execute(own.values(owner=None))

    async def _claimed(self, seconds: float) -> bool:
        async with self._db.writing() as connection:
            now = await database_now(connection, self._db.dialect)
            until = now + timedelta(seconds=seconds)
            await connection.execute(
                once(self._db.dialect, leases), {"name": self._name, "owner": None, "token": 0, "until": now}
            )
            free = or_(leases.c.owner.is_(None), leases.c.owner == self._owner, leases.c.until < now)
            taken = update(leases).where(leases.c.name == self._name, free)
            values = {"owner": self._owner, "token": leases.c.token + 1, "until": until}
            return (await connection.execute(taken.values(values))).rowcount == 1
