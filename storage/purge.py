"""What is kept for as long as it should be, goes.

Which question: which rows are due, and in which steps do they go? Touches what `storage.removal` touches, and marks in
`generations`. The rule: each step is a transaction of its own that takes few rows and little time, and there is a rest
after it; whoever stops between two of them has lost nothing, and whoever begins again finds the rest.

Payloads go from the rows of calls as well as from their own table. A mark per server (`stripped:ID`, in seconds since
the Unix epoch) says up to which age that is done, so that nobody looks at the same rows again each time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, func, inspect, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import generations, removal
from storage.attempts import repeated
from storage.bulk import bulk
from storage.database import Database
from storage.links import KIND
from storage.moments import database_now
from storage.pace import Pace
from storage.retention import Ages, Terms
from storage.schema import chat_sessions, mcp_servers, server_calls, server_transitions
from storage.schema import generations as marks

log = logging.getLogger(__name__)

YOUNGEST = timedelta(hours=1)
"""Calls younger than this stay, however little room there is."""

NEARBY = 10
"""Times as many rows as are wanted, among which MySQL looks for them first."""

IN_USE = timedelta(days=2)
"""An automatic session younger than this stays: a day's is used for that day."""

Proceed = Callable[[], Awaitable[bool]]


@dataclass(slots=True)
class Removed:
    """How many of each are gone. `payloads` are calls that have lost theirs and stay; `sessions` automatic ones."""

    calls: int = 0
    payloads: int = 0
    transitions: int = 0
    sessions: int = 0

    def __bool__(self) -> bool:
        return any(getattr(self, one.name) for one in fields(self))


class Place(NamedTuple):
    """Where a walk over calls stands."""

    created_at: datetime
    id: int


class Purge:
    """One round on `terms`. `proceed` is asked before each step whether to go on."""

    def __init__(self, db: Database, terms: Terms, proceed: Proceed, pace: Pace | None = None) -> None:
        self._db = db
        self._terms = terms
        self._proceed = proceed
        self._pace = pace or Pace()
        self._stopped = False
        self.removed = Removed()

    async def run(self) -> Removed:
        """Remove what is due. Raises `DatabaseUnavailable`; what was removed until then stays removed, and counted."""
        async with self._db.reading() as connection:
            now = await database_now(connection, self._db.dialect)
            servers = (await connection.execute(select(mcp_servers.c.id, mcp_servers.c.slug))).all()
        for server in servers:
            await self._of_server(server.id, self._terms.of(server.slug), now)
        if self._terms.size is not None:
            await self._down_to(self._terms.size, now)
        if self._terms.transitions is not None:
            await self._transitions(now - self._terms.transitions)
        if self._terms.shortest is not None or self._terms.size is not None:
            await self._sessions(now - max(self._terms.shortest or IN_USE, IN_USE))
        return self.removed

    async def due(self) -> Removed:
        """What `run` would remove now, by age and by size; sessions are not counted ahead. Changes nothing."""
        found = Removed()
        async with self._db.reading() as connection:
            now = await database_now(connection, self._db.dialect)
            for server in (await connection.execute(select(mcp_servers.c.id, mcp_servers.c.slug))).all():
                ages = self._terms.of(server.slug)
                found.calls += await self._count(connection, self._aged(server.id, ages.calls, now))
                if ages.strips:
                    since = await generations.current(connection, _mark(server.id))
                    between = [server_calls.c.created_at >= _moment(since)]
                    if ages.calls is not None:
                        between.append(server_calls.c.created_at >= now - ages.calls)
                    due = self._aged(server.id, ages.payloads, now)
                    found.payloads += await self._count(connection, [*due, *between])
            if self._terms.size is not None:
                beyond = (await bulk(connection, self._db.dialect)).beyond(self._terms.size)
                found.calls = max(found.calls, beyond)
            if self._terms.transitions is not None:
                old = server_transitions.c.at < now - self._terms.transitions
                query = select(func.count()).select_from(server_transitions).where(old)
                found.transitions = int(await connection.scalar(query) or 0)
        return found

    async def _of_server(self, server_id: int, ages: Ages, now: datetime) -> None:
        if ages.calls is not None:
            await self._remove(self._aged(server_id, ages.calls, now))
        if ages.strips and ages.payloads is not None:
            await self._strip(server_id, now - ages.payloads)

    async def _remove(self, due: Sequence[ColumnElement[bool]], most: int | None = None) -> None:
        async for rows in self._walk(due, most):
            ids = [row.id for row in rows]

            async def step(ids: list[int] = ids) -> None:
                async with self._db.writing() as connection:
                    gone = await removal.remove_calls(connection, self._db.dialect, ids, self._terms.others)
                self.removed.calls += gone[0]

            async with self._timed(len(ids)):
                await repeated(step)

    async def _strip(self, server_id: int, before: datetime) -> None:
        async with self._db.reading() as connection:
            since = _moment(await generations.current(connection, _mark(server_id)))
        calls = server_calls.c
        due = [calls.server_id == server_id, calls.created_at >= since, calls.created_at < before]
        async for rows in self._walk([*due, removal.ended(self._terms.others)]):
            ids, reached = [row.id for row in rows], rows[-1].created_at

            async def step(ids: list[int] = ids, reached: datetime = reached) -> None:
                async with self._db.writing() as connection:
                    gone = await removal.strip_calls(connection, self._db.dialect, ids, self._terms.others)
                    await _reach(connection, server_id, reached)
                self.removed.payloads += gone

            async with self._timed(len(ids)):
                await repeated(step)
        if since < before and await self._goes_on():
            async with self._db.writing() as connection:
                await _reach(connection, server_id, before)

    async def _down_to(self, size: int, now: datetime) -> None:
        async with self._db.reading() as connection:
            beyond = (await bulk(connection, self._db.dialect)).beyond(size)
        if beyond:
            old = server_calls.c.created_at < now - YOUNGEST
            await self._remove([old, removal.ended(False)], beyond)

    async def _transitions(self, before: datetime) -> None:
        at = server_transitions.c.at
        while await self._goes_on():
            query = select(at).where(at < before).order_by(at).limit(self._pace.rows)
            async with self._db.reading() as connection:
                due = (await connection.scalars(query)).all()
            if not due:
                return
            async with self._timed(len(due)), self._db.writing() as connection:
                self.removed.transitions += await removal.remove_transitions(connection, due[-1])

    async def _sessions(self, before: datetime) -> None:
        """Only where the database itself keeps a call from being written into a session that has just gone."""
        async with self._db.reading() as connection:
            if not await connection.run_sync(_are_guarded):
                return
        sessions, last = chat_sessions.c, 0
        while await self._goes_on():
            due = select(sessions.id).where(sessions.kind == KIND, sessions.created_at < before, sessions.id > last)
            async with self._db.reading() as connection:
                ids = list(await connection.scalars(due.order_by(sessions.id).limit(self._pace.rows)))
                empty = list(
                    await connection.scalars(select(sessions.id).where(sessions.id.in_(ids), removal.is_empty()))
                )
            if not ids:
                return
            last = ids[-1]
            async with self._timed(len(ids)):
                await self._remove_sessions(empty)

    async def _remove_sessions(self, ids: list[int]) -> None:
        """A table of another application may refer to one of them: then they stay."""
        if not ids:
            return
        try:
            async with self._db.writing() as connection:
                self.removed.sessions += await removal.remove_sessions(connection, ids)
        except IntegrityError as error:
            log.debug("automatic chat sessions stay, since something refers to them: %s", error.orig)

    async def _walk(
        self, due: Sequence[ColumnElement[bool]], most: int | None = None
    ) -> AsyncIterator[Sequence[Row[Any]]]:
        """The calls that are due, oldest first, as many at a time as the pace says."""
        place, left = Place(datetime.min.replace(tzinfo=UTC), 0), most
        while (left is None or left > 0) and await self._goes_on():
            limit = self._pace.rows if left is None else min(left, self._pace.rows)
            rows = await self._next(due, place, limit)
            if not rows:
                return
            yield rows
            place = Place(rows[-1].created_at, rows[-1].id)
            left = None if left is None else left - len(rows)

    async def _next(self, due: Sequence[ColumnElement[bool]], place: Place, limit: int) -> Sequence[Row[Any]]:
        """The next calls. MySQL and MariaDB walk to the place from the beginning of a server's calls, if these are most
        of all; so they look nearby first, and what is not there is rare.
        """
        calls = server_calls.c
        async with self._db.reading() as connection:
            if place.id and self._db.dialect == "mysql":
                stretch = _next([], place).with_only_columns(calls.created_at).offset(NEARBY * limit).limit(1)
                edge = await connection.scalar(stretch)
                near = due if edge is None else [*due, calls.created_at <= edge]
                rows = (await connection.execute(_next(near, place).limit(limit))).all()
                if len(rows) == limit:
                    return rows
            return (await connection.execute(_next(due, place).limit(limit))).all()

    def _aged(self, server_id: int, age: timedelta | None, now: datetime) -> list[ColumnElement[bool]]:
        if age is None:
            return []
        calls = server_calls.c
        return [calls.server_id == server_id, calls.created_at < now - age, removal.ended(self._terms.others)]

    async def _count(self, connection: AsyncConnection, due: Sequence[ColumnElement[bool]]) -> int:
        if not due:
            return 0
        return int(await connection.scalar(select(func.count()).select_from(server_calls).where(*due)) or 0)

    async def _goes_on(self) -> bool:
        """Once it was stopped it stays so: what comes after a step that was left out may rely on it."""
        self._stopped = self._stopped or not await self._proceed()
        return not self._stopped

    @asynccontextmanager
    async def _timed(self, rows: int) -> AsyncIterator[None]:
        """A step, and the rest after it."""
        begun = monotonic()
        yield
        self._pace.took(monotonic() - begun, rows)
        await asyncio.sleep(self._pace.rest)


def _next(due: Sequence[ColumnElement[bool]], place: Place) -> Any:
    """The first condition says nothing new, but an index finds its place by it."""
    calls = server_calls.c
    query = select(calls.id, calls.created_at).where(*due)
    if place.id:
        later = or_(calls.created_at > place.created_at, calls.id > place.id)
        query = query.where(calls.created_at >= place.created_at, later)
    return query.order_by(calls.created_at, calls.id)


def _are_guarded(connection: Connection) -> bool:
    keys = inspect(connection).get_foreign_keys(server_calls.name)
    return {"session_id", "message_id"} <= {column for key in keys for column in key["constrained_columns"]}


def _mark(server_id: int) -> str:
    return f"stripped:{server_id}"


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


async def _reach(connection: AsyncConnection, server_id: int, moment: datetime) -> None:
    """Everything before `moment` is done; several may say so."""
    name, seconds = _mark(server_id), int(moment.timestamp())
    await generations.hold(connection, name)
    await connection.execute(update(marks).where(marks.c.name == name, marks.c.value < seconds).values(value=seconds))
