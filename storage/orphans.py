"""Calls whose gateway ended before they did.

Which question: which open calls will nobody ever finish, and what becomes of them? Touches `server_calls` and
`call_tallies`. The rule: they end as `unknown`, of a rank below a real end: should their gateway be alive after all,
its own end of the call still replaces ours.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.attempts import repeated
from storage.database import Database
from storage.moments import database_now
from storage.records import CallUid, Outcome, RecordState, Status
from storage.schema import journals, replicas, server_calls
from storage.tallies import Count, tally

CHUNK = 500
REASON = "gateway_ended"
MESSAGE = "the gateway ended before the call did; whether the server carried it out is not known"


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A run of a gateway that has open calls: `journal_id` None, or without a `replica_id`, where nothing is known of
    it. `newest` is when the last of the calls began; `seen_at` when its installation was seen.
    """

    journal_id: int | None
    newest: datetime
    replica_id: str | None = None
    opened_at: datetime | None = None
    closed: bool = False
    seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a gateway knows of itself and of the time: its installation, the journals on its disk (its own and those
    that it will adopt), the database's clock, and after how long an installation counts as gone.
    """

    replica_id: str
    local: Collection[int]
    now: datetime
    after: timedelta


def is_dead(run: Unfinished, around: Surroundings, still: bool) -> bool:
    """Whether nobody will finish the run's calls; `still`: we have watched its installation give no sign of life."""
    if run.journal_id is not None and run.journal_id in around.local:
        return False  # its end is on our disk, and will be written
    if run.closed or run.replica_id == around.replica_id:
        return True
    horizon = around.now - around.after
    if run.seen_at is not None:
        return still and run.seen_at < horizon
    return run.newest < horizon and (run.opened_at is None or run.opened_at < horizon)


async def unfinished(db: Database) -> tuple[list[Unfinished], datetime]:
    """Every run with open calls, and the database's time. Raises `DatabaseUnavailable`."""
    of, newest = server_calls.c.journal_id, func.max(server_calls.c.created_at)
    open_calls = select(of, newest.label("newest")).where(*_open()).group_by(of).subquery()
    runs = open_calls.outerjoin(journals, journals.c.id == open_calls.c.journal_id)
    columns: tuple[Any, ...] = (*open_calls.c, *journals.c["replica_id", "opened_at", "closed_at"], replicas.c.seen_at)
    query = select(*columns).select_from(runs.outerjoin(replicas, replicas.c.id == journals.c.replica_id))
    async with db.reading() as connection:
        found = [_run(row) for row in await connection.execute(query)]
        return found, await database_now(connection, db.dialect)


async def close_run(db: Database, journal_id: int | None) -> int:
    """Close what a run left open, and its journal; returns how many calls that were. Raises `DatabaseUnavailable`."""
    closed, now = 0, datetime.now(UTC)
    of = server_calls.c.journal_id
    left = _rows(of.is_(None) if journal_id is None else of == journal_id)

    async def transaction() -> int:
        async with db.writing() as connection:
            orphans = (await connection.execute(left)).all()
            await _close(connection, orphans, now)
            await tally(connection, db.dialect, [_count(row) for row in orphans if row.journal_id is not None])
            if not orphans:
                ended = update(journals).where(journals.c.id == journal_id, journals.c.closed_at.is_(None))
                await connection.execute(ended.values(closed_at=now))
            return len(orphans)

    while some := await repeated(transaction):  # fewer than a chunk may mean that another gateway was sooner
        closed += some
    return closed


def _open() -> tuple[ColumnElement[bool], ...]:
    return server_calls.c.record_state == RecordState.OPEN, server_calls.c.call_uid.is_not(None)


def _rows(of_run: ColumnElement[bool]) -> Select[Any]:
    """Rows to close, locked: of two gateways that close them together each row is closed, and counted, by one."""
    calls = server_calls.c
    columns = calls["id", "call_uid", "server_id", "journal_id"]
    return select(*columns).where(*_open(), of_run).order_by(calls.id).limit(CHUNK).with_for_update()


def _run(row: Row[Any]) -> Unfinished:
    newest = row.newest if row.newest.tzinfo is not None else row.newest.replace(tzinfo=UTC)
    return Unfinished(row.journal_id, newest, row.replica_id, row.opened_at, row.closed_at is not None, row.seen_at)


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
