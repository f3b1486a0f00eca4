"""Recorded calls, for whoever wants to see them.

Which question: which calls were made, by whom, to what, and how did they end? Reads `server_calls` with the names of
servers and users. The rule: pages go by key, not by offset, so that a page stays right while rows are added; and what
no index can find (a trace, words of an error) is looked for in windows, so that no statement reads the whole table.

Rows of another back end have neither `call_uid` nor `outcome`; they are shown by their status.
"""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, Select, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.call_filters import CallFilter, indexed, searched
from storage.database import Database
from storage.schema import mcp_servers, server_calls, users

WINDOW = 10_000
"""Rows that one statement looks at for what no index can find."""

NEARBY = 1_000
"""Rows among which MySQL looks first for what a page from a place on has."""

_PLACE = struct.Struct(">Iq")


class Cursor(NamedTuple):
    """The place of a call in the order of pages."""

    created_at: datetime
    id: int

    @property
    def token(self) -> str:
        """The place as clients carry it: sixteen characters that mean nothing to them."""
        return base64.urlsafe_b64encode(_PLACE.pack(int(self.created_at.timestamp()), self.id)).decode()

    @classmethod
    def parse(cls, token: str) -> Cursor:
        """The place that `token` is of. Raises ValueError."""
        try:
            seconds, id_ = _PLACE.unpack(base64.b64decode(token, altchars=b"-_", validate=True))
        except (binascii.Error, struct.error, ValueError) as error:
            raise ValueError(f"{token[:32]!r} is no place in a list of calls") from error
        return cls(datetime.fromtimestamp(seconds, UTC), id_)


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
    key_name: str | None
    link: str | None
    session_id: int
    message_id: int
    client_name: str | None
    client_version: str | None
    client_era: str | None
    server_era: str | None
    operation_uid: str | None
    round: int
    attempts: int
    trace_id: str | None
    request_bytes: int | None
    response_bytes: int | None

    @property
    def cursor(self) -> Cursor:
        """What `page` takes to go on after this call."""
        return Cursor(self.created_at, self.id)


_SAME = tuple(field.name for field in fields(CallRow) if field.name in server_calls.c)
"""What is called the same in the table."""


class Page(NamedTuple):
    """Some calls in order, and the place where the next page begins; None once there is nothing more.

    Where calls are searched for, a page may have fewer than were asked for, or none, and be followed by others.
    """

    rows: list[CallRow]
    more: Cursor | None


async def page(
    db: Database,
    wanted: CallFilter,
    *,
    limit: int,
    before: Cursor | None = None,
    oldest_first: bool = False,
    window: int = WINDOW,
) -> Page:
    """The newest calls, newest first, at most `limit`, that come after `before` in that order; or all of it the other
    way round. What no index can find is looked for in `window` rows. Raises `DatabaseUnavailable`.
    """
    order = _Order(oldest_first)
    async with db.reading() as connection:
        beyond, chosen = order.beyond(before), await indexed(connection, wanted)
        found = beyond + chosen
        edge: Cursor | None = None
        if looked_for := searched(wanted):
            edge = await _edge(connection, found, order, window)
            found += looked_for + order.until(edge)
        rows = list[CallRow]()
        if beyond and chosen and edge is None and db.dialect == "mysql":
            nearby = await _edge(connection, beyond, order, min(window, NEARBY))
            rows = await _rows(connection, found + order.until(nearby), order, limit)
        if len(rows) <= limit:
            rows = await _rows(connection, found, order, limit)
    if len(rows) > limit:
        return Page(rows[:limit], rows[limit - 1].cursor)
    return Page(rows, edge)


def rows_where(*conditions: ColumnElement[bool]) -> Select[Any]:
    """The columns of `row_of`, under `conditions`."""
    calls = server_calls.c
    left = server_calls.outerjoin(mcp_servers, mcp_servers.c.id == calls.server_id)
    names = (mcp_servers.c.slug, mcp_servers.c.name.label("server_name"), users.c.username)
    columns = [column for column in calls if column.name not in ("request_data", "response_data")]
    return select(*columns, *names).select_from(left.outerjoin(users, users.c.id == calls.user_id)).where(*conditions)


def row_of(row: Row[Any]) -> CallRow:
    """One row of `rows_where`."""
    same = {name: getattr(row, name) for name in _SAME}
    return CallRow(
        **same,
        server=row.slug or row.server_name or str(row.server_id),
        tool=row.target,
        response_ms=row.response_time if row.total_us is None else row.total_us / 1_000,
        upstream_ms=None if row.upstream_us is None else row.upstream_us / 1_000,
        user=row.username,
    )


class _Order(NamedTuple):
    """The order of pages, in one direction or the other."""

    oldest_first: bool

    @property
    def by(self) -> tuple[ColumnElement[Any], ...]:
        key = (server_calls.c.created_at, server_calls.c.id)
        return key if self.oldest_first else tuple(column.desc() for column in key)

    def beyond(self, place: Cursor | None) -> list[ColumnElement[bool]]:
        """What comes after `place`. The first condition says nothing new, but an index finds its place by it."""
        calls = server_calls.c
        if place is None:
            return []
        if self.oldest_first:
            later = or_(calls.created_at > place.created_at, calls.id > place.id)
            return [calls.created_at >= place.created_at, later]
        return [calls.created_at <= place.created_at, or_(calls.created_at < place.created_at, calls.id < place.id)]

    def until(self, edge: Cursor | None) -> list[ColumnElement[bool]]:
        """What comes no later than `edge`."""
        calls = server_calls.c
        if edge is None:
            return []
        if self.oldest_first:
            earlier = or_(calls.created_at < edge.created_at, calls.id <= edge.id)
            return [calls.created_at <= edge.created_at, earlier]
        return [calls.created_at >= edge.created_at, or_(calls.created_at > edge.created_at, calls.id >= edge.id)]


async def _rows(
    connection: AsyncConnection, found: list[ColumnElement[bool]], order: _Order, limit: int
) -> list[CallRow]:
    """The first rows, and one more if there is one.

    Where most rows have what is asked for, MySQL and MariaDB find them by that alone, without the place, and walk to it
    from the end of the table. A short stretch of time keeps them from it; and what is not in there is rare.
    """
    query = rows_where(*found).order_by(*order.by).limit(limit + 1)
    return [row_of(row) for row in await connection.execute(query)]


async def _edge(
    connection: AsyncConnection, found: list[ColumnElement[bool]], order: _Order, window: int
) -> Cursor | None:
    """The last row of a window; None when there are fewer rows than that."""
    calls = server_calls.c
    query = select(calls.created_at, calls.id).where(*found).order_by(*order.by).offset(window - 1).limit(1)
    row = (await connection.execute(query)).first()
    return None if row is None else Cursor(row.created_at, row.id)
