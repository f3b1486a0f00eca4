"""What the rows of another back end lack, filled in.

Which question: what can the gateway know of a row that it did not write? Touches the documented tables of an adopted
database, a few rows at a time, so that whoever is inserting waits for no more than that. The rule: no column that the
other back end knows is changed, `updated_at` included, which MySQL would otherwise refresh in every row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Table, and_, case, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import Database
from storage.schema import chat_messages, chat_sessions, server_calls, users

CHUNK = 500
MICROSECONDS_PER_MILLISECOND = 1_000

LONGEST_MS = 366 * 86_400_000
"""More is no duration of a call, whatever stands there."""
LAST = "9999-01-01"
"""What began later has no room for a time zone and a duration."""


async def backfill(db: Database, timezone: tzinfo) -> Mapping[str, int]:
    """Give public ids to users, sessions and messages, and exact times to calls. The other back end wrote its times
    in `timezone`. Returns how many rows of each table were filled; safe to repeat.
    """
    filled = {table.name: await _public_ids(db, table) for table in (users, chat_sessions, chat_messages)}
    return {**filled, server_calls.name: await _times(db, timezone)}


async def _public_ids(db: Database, table: Table) -> int:
    count = last = 0
    while True:
        async with db.writing() as connection:
            wanting = and_(table.c.public_id.is_(None), table.c.id > last)
            found = await connection.execute(select(table.c.id).where(wanting).order_by(table.c.id).limit(CHUNK))
            ids = found.scalars().all()
            if not ids:
                return count
            public_id = case({id_: uuid4().hex for id_ in ids}, value=table.c.id)
            await _fill(connection, table, ids, {"public_id": public_id})
        count, last = count + len(ids), ids[-1]


async def _times(db: Database, timezone: tzinfo) -> int:
    count = last = 0
    calls = server_calls.c
    while True:
        async with db.writing() as connection:
            wanting = and_(calls.call_uid.is_(None), calls.started_at.is_(None), calls.id > last)
            found = await connection.execute(
                select(calls.id, calls.created_at).where(wanting).order_by(calls.id).limit(CHUNK)
            )
            local = {row.id: row.created_at for row in found}
            if not local:
                return count
            for offset, ids in _by_offset(local, timezone).items():
                await _fill(connection, server_calls, ids, _exact(offset))
        count, last = count + len(local), max(local)


def _by_offset(local: Mapping[int, datetime], timezone: tzinfo) -> Mapping[timedelta, list[int]]:
    """Ids by the distance of their local times from UTC, which changes with summer time."""
    groups: dict[timedelta, list[int]] = {}
    for id_, created_at in local.items():
        offset = created_at.replace(tzinfo=timezone).utcoffset() or timedelta()
        groups.setdefault(offset, []).append(id_)
    return groups


def _exact(offset: timedelta) -> Mapping[str, ColumnElement[Any]]:
    """A call's `response_time` is in milliseconds; where it is not known, or is none, neither is the call's end."""
    calls = server_calls.c
    total_us = case(
        (calls.response_time.between(0, LONGEST_MS), func.round(calls.response_time * MICROSECONDS_PER_MILLISECOND))
    )
    local = func.least(calls.created_at, LAST)
    started_at = func.timestampadd(text("SECOND"), -int(offset.total_seconds()), local)
    finished_at = func.timestampadd(text("MICROSECOND"), total_us, started_at)
    return {"started_at": started_at, "finished_at": finished_at, "total_us": total_us}


async def _fill(
    connection: AsyncConnection, table: Table, ids: Sequence[int], values: Mapping[str, ColumnElement[Any]]
) -> None:
    kept = {"updated_at": table.c.updated_at}
    await connection.execute(update(table).where(table.c.id.in_(ids)).values({**values, **kept}))
