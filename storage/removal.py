"""One transaction that takes something away.

Which question: what goes together with a call, and in which order? Touches `server_calls`, `server_call_payloads` and
`journals`; `chat_sessions` and `chat_messages` of ours alone. The rule: children go before their parents, and what goes
is counted in the transaction in which it goes, so that everything adds up however often it is interrupted.

Rows are found without a lock, and locked by their ids alone: writers insert beside them meanwhile. Several that remove
the same rows wait for each other, and each row is counted by one of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Delete, and_, case, delete, exists, literal, not_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.dialects import Dialect
from storage.links import KIND
from storage.payloads import Omission
from storage.records import RecordState, Status
from storage.schema import (
    api_calls,
    chat_messages,
    chat_sessions,
    files,
    journals,
    server_call_payloads,
    server_calls,
    server_transitions,
)
from storage.types import JsonText

GONE = msgspec.json.encode({"$omitted": Omission.RETENTION}).decode()
"""Stands in a call whose payloads have gone before it."""


def ended(others: bool) -> ColumnElement[bool]:
    """Calls that may go: never one that is under way, and another application's only where that is wanted."""
    calls = server_calls.c
    over = and_(calls.record_state != RecordState.OPEN, calls.status != Status.IN_PROGRESS.value)
    return over if others else and_(over, calls.call_uid.is_not(None))


async def remove_calls(
    connection: AsyncConnection, dialect: Dialect, ids: Sequence[int], others: bool
) -> tuple[int, int]:
    """Remove what is still there of these calls: how many they were, and how many payloads they had."""
    calls = server_calls.c
    locked = select(calls.id, calls.journal_id).where(calls.id.in_(ids), ended(others)).with_for_update()
    found = (await connection.execute(locked)).all()
    if not found:
        return 0, 0
    here = [row.id for row in found]
    payloads = (await connection.execute(_payloads_of(dialect, here))).rowcount
    await connection.execute(delete(server_calls).where(calls.id.in_(here)))
    # The running journal's row is what its writer begins each batch with: it is held for the shortest time this way.
    for journal_id, gone in sorted(Counter(row.journal_id for row in found if row.journal_id is not None).items()):
        counted = update(journals).where(journals.c.id == journal_id)
        await connection.execute(counted.values(purged=journals.c.purged + gone))
    return len(here), payloads


async def strip_calls(connection: AsyncConnection, dialect: Dialect, ids: Sequence[int], others: bool) -> int:
    """Take from these calls what was asked and answered; how many they were."""
    calls = server_calls.c
    locked = select(calls.id).where(calls.id.in_(ids), ended(others)).with_for_update()
    here = list(await connection.scalars(locked))
    if here:
        await connection.execute(_payloads_of(dialect, here))
        answered = case((calls.response_data.is_not(None), literal(GONE, JsonText())))
        bare = update(server_calls).where(calls.id.in_(here))
        values = {"request_data": GONE, "response_data": answered, "updated_at": calls.updated_at}
        await connection.execute(bare.values(values))
    return len(here)


async def remove_sessions(connection: AsyncConnection, ids: Sequence[int]) -> int:
    """Remove those of these automatic sessions that nothing is in but our own anchor; how many they were."""
    sessions, messages = chat_sessions.c, chat_messages.c
    # Locked first and looked at afterwards: what a snapshot of before the lock shows may have changed since.
    held = list(await connection.scalars(select(sessions.id).where(sessions.id.in_(ids)).with_for_update()))
    empty = list(await connection.scalars(select(sessions.id).where(sessions.id.in_(held), is_empty())))
    if empty:
        await connection.execute(delete(chat_messages).where(messages.session_id.in_(empty)))
        await connection.execute(delete(chat_sessions).where(sessions.id.in_(empty)))
    return len(empty)


async def remove_transitions(connection: AsyncConnection, until: Any) -> int:
    """Remove the history up to this moment; how many rows that were."""
    found = await connection.execute(delete(server_transitions).where(server_transitions.c.at <= until))
    return found.rowcount


def is_empty() -> ColumnElement[bool]:
    """Automatic sessions in which there is nothing but our anchor, and to which nothing refers."""
    sessions, messages = chat_sessions.c, chat_messages.c
    ours = and_(messages.message_type == "system", messages.content == "", messages.is_active.is_(False))
    said = and_(messages.session_id == sessions.id, not_(ours))
    inside = messages.session_id == sessions.id
    referring = (
        said,
        server_calls.c.session_id == sessions.id,
        api_calls.c.session_id == sessions.id,
        and_(inside, server_calls.c.message_id == messages.id),
        and_(inside, files.c.message_id == messages.id),
        and_(inside, api_calls.c.message_id == messages.id),
    )
    nothing = (~exists().where(one).correlate(chat_sessions) for one in referring)
    return and_(sessions.kind == KIND, *nothing)


def _payloads_of(dialect: Dialect, ids: Sequence[int]) -> Delete:
    """By the key of each: the times of a server's calls may lie far apart, with others' payloads between them."""
    payloads, calls = server_call_payloads.c, server_calls.c
    key = (payloads.created_at, payloads.call_uid)
    if dialect == "sqlite":
        theirs = select(calls.created_at, calls.call_uid).where(calls.id.in_(ids))
        return delete(server_call_payloads).where(tuple_(*key).in_(theirs))
    same = and_(payloads.created_at == calls.created_at, payloads.call_uid == calls.call_uid)
    return delete(server_call_payloads).where(same, calls.id.in_(ids))
