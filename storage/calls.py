"""Recorded calls, for whoever wants to see them.

Which question: which calls were made, by whom, to what, and how did they end? Reads `server_calls` with the names of
servers and users. The rule: pages go by key, not by offset, so that a page stays right while rows are added.

Rows of another back end have neither `call_uid` nor `outcome`; they are shown by their status.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, Select, and_, false, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import Database
from storage.records import RecordState
from storage.schema import mcp_servers, server_call_payloads, server_calls, users

IN_PROGRESS = "in_progress"
"""Beside the outcomes: a call that has not ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFilter:
    """Which calls are wanted; what is None does not matter.

    `server` is a slug, or the name of a server without one; `tool` the server's own name of it; `outcome` an outcome
    or `in_progress`; `user` a name as it is stored. Calls that started at `since` or later, and before `until`.
    """

    server: str | None = None
    tool: str | None = None
    outcome: str | None = None
    user: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Cursor(NamedTuple):
    """The place of a call in the order of pages."""

    created_at: datetime
    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRow:
    """One call. `outcome` is None while it is under way; `server` is the slug, or the name of a server without one."""

    id: int
    call_uid: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    server: str
    method: str | None
    tool: str | None
    status: str
    outcome: str | None
    reason: str | None
    error_message: str | None
    response_ms: float | None
    upstream_ms: float | None
    user: str | None
    link: str | None
    session_id: int
    message_id: int
    client_name: str | None
    client_version: str | None
    client_era: str | None
    server_era: str | None
    attempts: int
    request_bytes: int | None
    response_bytes: int | None

    @property
    def cursor(self) -> Cursor:
        """What `page` takes to go on after this call."""
        return Cursor(self.created_at, self.id)


@dataclass(frozen=True, slots=True)
class CallDetail:
    """One call whole: its JSON columns, and its exact bytes, redacted and capped, where they are kept."""

    row: CallRow
    request_data: str
    response_data: str | None
    request_body: bytes | None
    response_body: bytes | None


async def page(db: Database, wanted: CallFilter, *, limit: int, before: Cursor | None = None) -> list[CallRow]:
    """The newest `limit` calls, newest first, that come after `before` in that order. Raises `DatabaseUnavailable`."""
    calls = server_calls.c
    query = rows_where().order_by(calls.created_at.desc(), calls.id.desc()).limit(limit)
    if before is not None:  # the first condition says nothing new, but an index finds its place by it
        later = or_(calls.created_at < before.created_at, calls.id < before.id)
        query = query.where(calls.created_at <= before.created_at, later)
    async with db.reading() as connection:
        rows = await connection.execute(query.where(*await conditions(connection, wanted)))
        return [row_of(row) for row in rows]


async def find(db: Database, call_uid: str) -> CallDetail | None:
    """One call by its uid. Raises `DatabaseUnavailable`."""
    calls, payloads = server_calls.c, server_call_payloads.c
    query = rows_where(calls.call_uid == call_uid).add_columns(calls.request_data, calls.response_data)
    async with db.reading() as connection:
        row = (await connection.execute(query)).first()
        parts = await connection.execute(select(payloads.part, payloads.body).where(payloads.call_uid == call_uid))
        bodies = {part: bytes(body) for part, body in parts}
    if row is None:
        return None
    return CallDetail(row_of(row), row.request_data, row.response_data, bodies.get(0), bodies.get(1))


def rows_where(*conditions: ColumnElement[bool]) -> Select[Any]:
    """The columns of `row_of`, under `conditions`."""
    calls = server_calls.c
    left = server_calls.outerjoin(mcp_servers, mcp_servers.c.id == calls.server_id)
    names = (mcp_servers.c.slug, mcp_servers.c.name.label("server_name"), users.c.username)
    columns = [column for column in calls if column.name not in ("request_data", "response_data")]
    return select(*columns, *names).select_from(left.outerjoin(users, users.c.id == calls.user_id)).where(*conditions)


async def conditions(connection: AsyncConnection, wanted: CallFilter) -> list[ColumnElement[bool]]:
    """What `wanted` says of `rows_where`. Names are looked up first: only by the ids in the calls themselves can an
    index tell the newest ones.
    """
    calls, found = server_calls.c, list[ColumnElement[bool]]()
    if wanted.server is not None:
        by_name = and_(mcp_servers.c.slug.is_(None), mcp_servers.c.name == wanted.server)
        servers = select(mcp_servers.c.id).where(or_(mcp_servers.c.slug == wanted.server, by_name))
        found.append(_one_of(calls.server_id, await connection.scalars(servers)))
    if wanted.user is not None:
        people = select(users.c.id).where(users.c.username == wanted.user)
        found.append(_one_of(calls.user_id, await connection.scalars(people)))
    if wanted.tool is not None:
        found.append(calls.target == wanted.tool)
    if wanted.since is not None:
        found += [calls.created_at >= wanted.since, or_(calls.started_at.is_(None), calls.started_at >= wanted.since)]
    if wanted.until is not None:
        found += [calls.created_at <= wanted.until, or_(calls.started_at.is_(None), calls.started_at < wanted.until)]
    if wanted.outcome is not None:
        is_open = calls.record_state == RecordState.OPEN
        found.append(is_open if wanted.outcome == IN_PROGRESS else calls.outcome == wanted.outcome)
    return found


def row_of(row: Row[Any]) -> CallRow:
    """One row of `rows_where`."""
    same = {name: getattr(row, name) for name in CallRow.__dataclass_fields__ if hasattr(row, name)}
    return CallRow(
        **same,
        server=row.slug or row.server_name or str(row.server_id),
        tool=row.target,
        response_ms=row.response_time if row.total_us is None else row.total_us / 1_000,
        upstream_ms=None if row.upstream_us is None else row.upstream_us / 1_000,
        user=row.username,
    )


def _one_of(column: ColumnElement[int], ids: Iterable[int]) -> ColumnElement[bool]:
    return or_(false(), *(column == id_ for id_ in ids))
