"""Which calls are wanted.

Which question: which rows of `server_calls` does a filter mean? Reads the ids of names. The rule: what indexes can find
is apart from what has to be searched for, so that whoever reads rows knows which statements end soon.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, false, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.records import CallUid, RecordState
from storage.rows import created_at
from storage.schema import chat_sessions, mcp_servers, server_calls, users

IN_PROGRESS = "in_progress"
"""Beside the outcomes: a call that has not ended."""

LONGEST_OPERATION = timedelta(days=2)
"""Between the first round of an operation and its last; each must begin within an hour of the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFilter:
    """Which calls are wanted; what is None does not matter.

    `server` is a slug, or the name of a server without one; `tool` the server's own name of it; `outcome` an outcome
    or `in_progress`; `user` a name as it is stored, `user_id` a row; `session` the id of a chat session or its public
    UUID in 32 digits; `error` words within the error message or the reason. Calls that started at `since` or later, and
    before `until`, and took `min_ms` milliseconds or longer.
    """

    server: str | None = None
    tool: str | None = None
    outcome: str | None = None
    user: str | None = None
    user_id: int | None = None
    session: int | str | None = None
    trace_id: str | None = None
    operation_uid: CallUid | None = None
    min_ms: float | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def conditions(connection: AsyncConnection, wanted: CallFilter) -> list[ColumnElement[bool]]:
    """What `wanted` says of `rows_where`."""
    return await indexed(connection, wanted) + searched(wanted)


async def indexed(connection: AsyncConnection, wanted: CallFilter) -> list[ColumnElement[bool]]:
    """What indexes can find. Names are looked up first: only by the ids in the calls themselves can an index tell the
    newest ones.
    """
    calls, found = server_calls.c, list[ColumnElement[bool]]()
    if wanted.server is not None:
        by_name = and_(mcp_servers.c.slug.is_(None), mcp_servers.c.name == wanted.server)
        servers = select(mcp_servers.c.id).where(or_(mcp_servers.c.slug == wanted.server, by_name))
        found.append(_one_of(calls.server_id, await connection.scalars(servers)))
    if wanted.user is not None:
        people = select(users.c.id).where(users.c.username == wanted.user)
        found.append(_one_of(calls.user_id, await connection.scalars(people)))
    if wanted.user_id is not None:
        found.append(calls.user_id == wanted.user_id)
    if isinstance(wanted.session, str):
        sessions = select(chat_sessions.c.id).where(chat_sessions.c.public_id == wanted.session)
        found.append(_one_of(calls.session_id, await connection.scalars(sessions)))
    if isinstance(wanted.session, int):
        found.append(calls.session_id == wanted.session)
    if wanted.tool is not None:
        found.append(calls.target == wanted.tool)
    if wanted.outcome is not None:
        is_open = calls.record_state == RecordState.OPEN
        found.append(is_open if wanted.outcome == IN_PROGRESS else calls.outcome == wanted.outcome)
    return found + _between(wanted)


def _between(wanted: CallFilter) -> list[ColumnElement[bool]]:
    """The times that `wanted` allows. The id of an operation is that of its first call, and tells when that was."""
    calls, found = server_calls.c, list[ColumnElement[bool]]()
    if wanted.since is not None:
        found += [calls.created_at >= wanted.since, or_(calls.started_at.is_(None), calls.started_at >= wanted.since)]
    if wanted.until is not None:
        found += [calls.created_at <= wanted.until, or_(calls.started_at.is_(None), calls.started_at < wanted.until)]
    if wanted.operation_uid is not None:
        began = created_at(wanted.operation_uid)
        found += [calls.created_at >= began, calls.created_at <= began + LONGEST_OPERATION]
    return found


def searched(wanted: CallFilter) -> list[ColumnElement[bool]]:
    """What can only be seen by looking at each row: an index of it would cost each call more than it is worth."""
    calls, found = server_calls.c, list[ColumnElement[bool]]()
    if wanted.trace_id is not None:
        found.append(calls.trace_id == wanted.trace_id)
    if wanted.operation_uid is not None:
        found.append(calls.operation_uid == wanted.operation_uid)
    if wanted.min_ms is not None:
        by_clock = and_(calls.total_us.is_(None), calls.response_time >= wanted.min_ms)
        found.append(or_(calls.total_us >= round(wanted.min_ms * 1_000), by_clock))
    if wanted.error is not None:
        said = (column.icontains(wanted.error, autoescape=True) for column in (calls.error_message, calls.reason))
        found.append(or_(*said))
    return found


def _one_of(column: ColumnElement[int], ids: Iterable[int]) -> ColumnElement[bool]:
    return or_(false(), *(column == id_ for id_ in ids))
