"""Which frames of a journal are in the database.

Which question: was this batch applied already? Touches `journals`, one row per writer's run. The rule: a journal has
one writer, which moves its row from batch to batch in the batch's own transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.batch import Batch
from storage.database import Database
from storage.dialects import Dialect
from storage.errors import DatabaseBehind
from storage.schema import journals
from storage.upserts import once


@dataclass(frozen=True, slots=True)
class JournalRow:
    """One writer's run: a random id of 63 bits, and the replica it belongs to (a UUID, 32 hexadecimal digits)."""

    id: int
    replica_id: str
    opened_at: datetime

    async def claim(self, connection: AsyncConnection, dialect: Dialect, batch: Batch) -> bool:
        """Take `batch` for this transaction; False when an earlier one has applied it. Raises `DatabaseBehind` when the
        database lacks what comes before it, unless the batch leaps over that.
        """
        if batch.low == 0:
            await connection.execute(once(dialect, journals), self._row())
        if await self._moved(connection, batch, journals.c.applied_frame == batch.low):
            return True
        applied, started_seq = await _progress(connection, self.id)
        if applied >= batch.high:
            return False
        if not batch.leaps:
            raise DatabaseBehind(applied, started_seq, batch.low)
        await connection.execute(once(dialect, journals), self._row())
        return await self._moved(connection, batch)

    async def set_aside(self, connection: AsyncConnection, calls: int) -> None:
        """Count calls that have no row."""
        await connection.execute(
            update(journals).where(journals.c.id == self.id).values(set_aside=journals.c.set_aside + calls)
        )

    async def close(self, connection: AsyncConnection) -> None:
        """Say that nothing more will come."""
        await connection.execute(update(journals).where(journals.c.id == self.id).values(closed_at=datetime.now(UTC)))

    async def _moved(self, connection: AsyncConnection, batch: Batch, *conditions: ColumnElement[bool]) -> bool:
        moved = update(journals).where(journals.c.id == self.id, *conditions)
        result = await connection.execute(moved.values(applied_frame=batch.high, started_seq=batch.last_seq))
        return result.rowcount == 1

    def _row(self) -> dict[str, object]:
        return {"id": self.id, "replica_id": self.replica_id, "worker": 0, "opened_at": self.opened_at}


async def progress(db: Database, journal_id: int) -> tuple[int, int]:
    """The last frame of this journal, and the last call, that are in the database; 0 when none is. Raises
    `DatabaseUnavailable`.
    """
    async with db.reading() as connection:
        return await _progress(connection, journal_id)


async def _progress(connection: AsyncConnection, journal_id: int) -> tuple[int, int]:
    columns = select(journals.c.applied_frame, journals.c.started_seq)
    found = (await connection.execute(columns.where(journals.c.id == journal_id))).first()
    return (0, 0) if found is None else (found.applied_frame, found.started_seq)
