"""Calls whose gateway ended before they did.

Which question: what becomes of rows that nobody will ever finish? Touches `server_calls` and `call_tallies`. The rule:
they end as `unknown`, of a rank below a real end: should their gateway be alive after all, its own end of the call
still replaces ours.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.attempts import repeated
from storage.database import Database
from storage.records import CallUid, Outcome, RecordState, Status
from storage.schema import journals, replicas, server_calls
from storage.tallies import Count, tally

SEEN_WITHIN = timedelta(minutes=10)
"""A replica that said so much lately that it is alive keeps its open rows."""

CHUNK = 500
REASON = "gateway_ended"
MESSAGE = "the gateway ended before the call did; whether the server carried it out is not known"


async def close_orphans(db: Database, *, spared: Collection[int] = ()) -> int:
    """Close what earlier runs left open; returns how many rows that were.

    For start-up, before calls are taken; the journals `spared`, whose ends are on a disk here, and those of replicas
    seen within the last 10 minutes are left alone. Raises `DatabaseUnavailable`.
    """
    closed, now = 0, datetime.now(UTC)

    async def transaction() -> int:
        async with db.writing() as connection:
            orphans = (await connection.execute(_orphans(spared, now))).all()
            await _close(connection, orphans, now)
            await tally(connection, db.dialect, [_count(row) for row in orphans if row.journal_id is not None])
            return len(orphans)

    while some := await repeated(transaction):  # fewer than a chunk may mean that another gateway was sooner
        closed += some
    return closed


async def close_journal(db: Database, journal_id: int) -> int:
    """Close what the run of this journal left open, and the journal itself; returns how many rows that were. For when
    all that it wrote down is in the database. Raises `DatabaseUnavailable`.
    """
    closed, now = 0, datetime.now(UTC)
    calls = server_calls.c
    left: Select[Any] = select(calls.id, calls.call_uid, calls.server_id, calls.journal_id).where(
        calls.journal_id == journal_id, calls.record_state == RecordState.OPEN
    )

    async def transaction() -> int:
        async with db.writing() as connection:
            orphans = (await connection.execute(left.order_by(calls.id).limit(CHUNK).with_for_update())).all()
            await _close(connection, orphans, now)
            await tally(connection, db.dialect, [_count(row) for row in orphans])
            if not orphans:
                await connection.execute(update(journals).where(journals.c.id == journal_id).values(closed_at=now))
            return len(orphans)

    while some := await repeated(transaction):
        closed += some
    return closed


def _orphans(spared: Collection[int], now: datetime) -> Select[Any]:
    """Rows to close, locked: of two gateways that start together each row is closed, and counted, by one."""
    calls = server_calls.c
    alive = (
        select(journals.c.id)
        .join(replicas, replicas.c.id == journals.c.replica_id)
        .where(replicas.c.seen_at > now - SEEN_WITHIN)
    )
    journal = or_(calls.journal_id.is_(None), calls.journal_id.not_in(alive))
    open_rows = select(calls.id, calls.call_uid, calls.server_id, calls.journal_id).where(
        calls.record_state == RecordState.OPEN, calls.call_uid.is_not(None), journal
    )
    if spared:
        open_rows = open_rows.where(or_(calls.journal_id.is_(None), calls.journal_id.not_in(list(spared))))
    return open_rows.order_by(calls.id).limit(CHUNK).with_for_update()


async def _close(connection: AsyncConnection, orphans: Sequence[Row[Any]], now: datetime) -> None:
    if not orphans:
        return
    calls = server_calls.c
    await connection.execute(
        update(server_calls)
        .where(calls.id.in_([row.id for row in orphans]), calls.record_state == RecordState.OPEN)
        .values(
            record_state=RecordState.RECOVERED.value,
            status=Status.FAILED.value,
            outcome=Outcome.UNKNOWN.value,
            reason=REASON,
            error_message=MESSAGE,
            updated_at=now,
        )
    )


def _count(row: Row[Any]) -> Count:
    return Count(CallUid(row.call_uid), row.server_id, Outcome.UNKNOWN, row.journal_id)
