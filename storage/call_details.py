"""One recorded call, whole.

Which question: what was asked and answered, to which chat did it belong, and in which rounds? Reads `server_calls`,
`server_call_payloads` and the chat that a call is linked to. The rule: everything is found by an index, however many
calls there are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.call_filters import CallFilter
from storage.calls import CallRow, page, row_of, rows_where
from storage.database import Database
from storage.records import CallUid, Outcome
from storage.schema import chat_messages, chat_sessions, server_call_payloads, server_calls

UID_DIGITS = 32
MOST_ROUNDS = 100
PATIENCE = timedelta(hours=1)
"""A question of a server's is answered within this time, or never: then its state has expired."""

EXCERPT = 200
"""Characters of a chat message that are read."""


@dataclass(frozen=True, slots=True)
class CallDetail:
    """One call whole: its JSON columns, and its exact bytes, redacted and capped, where they are kept."""

    row: CallRow
    request_data: str
    response_data: str | None
    request_body: bytes | None
    response_body: bytes | None


@dataclass(frozen=True, slots=True)
class Chat:
    """The chat session and message that a call is linked to; `kind` is `mcp` for automatic ones. What another back end
    has deleted is None.
    """

    session_uid: str | None
    title: str | None
    kind: str | None
    message_uid: str | None
    message_type: str | None
    excerpt: str | None


async def find(db: Database, call_uid: str, *, user_id: int | None = None) -> CallDetail | None:
    """One call by its uid, if it is this user's. Raises `DatabaseUnavailable`."""
    calls = server_calls.c
    query = rows_where(calls.call_uid == call_uid).add_columns(calls.request_data, calls.response_data)
    if user_id is not None:
        query = query.where(calls.user_id == user_id)
    async with db.reading() as connection:
        row = (await connection.execute(query)).first()
        return None if row is None else (await _details(connection, [row]))[0]


async def details(db: Database, rows: Sequence[CallRow]) -> list[CallDetail]:
    """The same calls whole, in the same order; those that have gone meanwhile are left out. Raises
    `DatabaseUnavailable`.
    """
    calls = server_calls.c
    query = rows_where(calls.id.in_([row.id for row in rows])).add_columns(calls.request_data, calls.response_data)
    async with db.reading() as connection:
        found = {row.id: row for row in await connection.execute(query)}
        return await _details(connection, [found[row.id] for row in rows if row.id in found])


async def beginning(db: Database, digits: str, limit: int) -> list[CallRow]:
    """The first `limit` calls whose uid begins with `digits`, in the order of their uids. Raises
    `DatabaseUnavailable`.
    """
    uid = server_calls.c.call_uid
    within = uid.between(digits.ljust(UID_DIGITS, "0"), digits.ljust(UID_DIGITS, "f"))
    async with db.reading() as connection:
        rows = await connection.execute(rows_where(within).order_by(uid).limit(limit))
        return [row_of(row) for row in rows]


async def rounds(db: Database, row: CallRow) -> list[CallRow]:
    """The calls of one operation in order, `row` among them: each but the first answers what the server asked. Raises
    `DatabaseUnavailable`.
    """
    if row.operation_uid is None or (row.round == 0 and row.outcome != Outcome.INPUT_REQUIRED):
        return [row]
    wanted = CallFilter(operation_uid=CallUid(row.operation_uid), user=row.user)
    found, place = {row.id: row}, None
    while True:
        rows, place = await page(db, wanted, limit=MOST_ROUNDS, before=place, oldest_first=True)
        found |= {one.id: one for one in rows}
        in_order = sorted(found.values(), key=lambda one: (one.round, one.started_at or one.created_at))
        if place is None or len(found) >= MOST_ROUNDS or _is_last(in_order[-1], place.created_at):
            return in_order


async def chat_of(db: Database, row: CallRow) -> Chat:
    """What `row` is linked to. Raises `DatabaseUnavailable`."""
    sessions, messages = chat_sessions.c, chat_messages.c
    text = func.substr(messages.content, 1, EXCERPT).label("content")
    in_chat = select(sessions.public_id, sessions.title, sessions.kind).where(sessions.id == row.session_id)
    said = select(messages.public_id, messages.message_type, text).where(messages.id == row.message_id)
    async with db.reading() as connection:
        session = (await connection.execute(in_chat)).first()
        message = (await connection.execute(said)).first()
    return Chat(
        session_uid=session and session.public_id,
        title=session and session.title,
        kind=session and session.kind,
        message_uid=message and message.public_id,
        message_type=message and message.message_type,
        excerpt=message and message.content,
    )


def _is_last(row: CallRow, seen: datetime) -> bool:
    """Whether no round follows `row`, everything up to `seen` having been looked at."""
    ended = row.finished_at
    return ended is not None and (row.outcome != Outcome.INPUT_REQUIRED or seen > ended + PATIENCE)


async def _details(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> list[CallDetail]:
    bodies = await _bodies(connection, rows)
    return [
        CallDetail(
            row_of(row),
            row.request_data,
            row.response_data,
            bodies.get((row.call_uid, 0)),
            bodies.get((row.call_uid, 1)),
        )
        for row in rows
    ]


async def _bodies(connection: AsyncConnection, rows: Collection[Row[Any]]) -> Mapping[tuple[str, int], bytes]:
    """(uid, part) → exact bytes. The key of the payloads begins with the time of the call."""
    payloads = server_call_payloads.c
    keys = [(row.created_at, row.call_uid) for row in rows if row.call_uid is not None]
    if not keys:
        return {}
    query = select(payloads.call_uid, payloads.part, payloads.body)
    times = payloads.created_at.in_({created_at for created_at, _ in keys})
    found = await connection.execute(query.where(times, payloads.call_uid.in_([uid for _, uid in keys])))
    return {(row.call_uid, row.part): bytes(row.body) for row in found}
