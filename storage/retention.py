"""What is old goes.

Which question: which records may be deleted now, and in which order? Touches calls, their payloads, and the automatic
chat sessions that nothing is left of. The rule: children go before parents, a few rows at a time, so that no writer
waits; a call that is open, or that another application wrote, is left alone; what is deleted is counted in its journal,
so that `calls verify` still adds up.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, delete, exists, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.attempts import repeated
from storage.database import Database
from storage.records import RecordState
from storage.schema import (
    chat_messages,
    chat_sessions,
    journals,
    mcp_servers,
    server_call_payloads,
    server_calls,
    server_transitions,
)

log = logging.getLogger(__name__)

LEAST, MOST = 20, 1_000
TARGET = 0.05
"""Rows of one transaction, and the seconds that it should take."""

AUTOMATIC = "mcp"
IN_USE = timedelta(days=31)
"""An automatic session may get another call for so long after it was made: so long a client's session lasts."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long things are kept; None: for ever."""

    calls: timedelta | None = None
    payloads: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """`everywhere` holds for servers, by slug, that have no terms of their own."""

    everywhere: Terms = Terms()
    servers: Mapping[str, Terms] = field(default_factory=dict)
    most_calls: int | None = None
    health: timedelta | None = None

    @property
    def idle(self) -> bool:
        """Everything is kept for ever."""
        own = any(terms != Terms() for terms in (self.everywhere, *self.servers.values()))
        return not own and self.most_calls is None and self.health is None


@dataclass(slots=True)
class Purged:
    """Rows that were deleted, or would be."""

    payloads: int = 0
    calls: int = 0
    sessions: int = 0
    transitions: int = 0

    def __str__(self) -> str:
        return (
            f"{self.calls} calls, exact bytes of {self.payloads} payloads, {self.sessions} automatic chat sessions, "
            f"{self.transitions} changes of servers' states"
        )


class Retention:
    """Deletes under `rules`. `pause` is how long others have the database after each transaction, as a share of it."""

    def __init__(self, db: Database, rules: Rules, *, pause: float = 1.0) -> None:
        self._db = db
        self._rules = rules
        self._pause = pause
        self._size = 200

    async def purge(self, now: datetime | None = None) -> Purged:
        """Delete all that is too old. Raises `DatabaseUnavailable`; what was deleted by then stays deleted."""
        now, done = now or datetime.now(UTC), Purged()
        for condition in await self._too_old_payloads(now):
            async for rows in self._chunks(_payloads(condition)):
                done.payloads += await repeated(lambda rows=rows: self._delete_payloads(rows))  # type: ignore[misc]
        for calls in await self._too_old_calls(now):
            async for rows in self._chunks(_calls(calls)):
                done.calls += await repeated(lambda rows=rows: self._delete_calls(rows))  # type: ignore[misc]
        if oldest := await self._oldest_to_keep(now):
            async for rows in self._chunks(_sessions(oldest)):
                done.sessions += await repeated(lambda rows=rows: self._delete_sessions(rows))  # type: ignore[misc]
        if self._rules.health is not None:
            before = server_transitions.c.at < now - self._rules.health
            async for rows in self._chunks(_transitions(before)):
                done.transitions += await repeated(lambda rows=rows: self._delete_transitions(rows))  # type: ignore[misc]
        return done

    async def expected(self, now: datetime | None = None) -> Purged:
        """What `purge` would delete; sessions are not counted. Raises `DatabaseUnavailable`."""
        now, done = now or datetime.now(UTC), Purged()
        for condition in await self._too_old_payloads(now):
            done.payloads += await self._count(_payloads(condition))
        for calls in await self._too_old_calls(now):
            done.calls += await self._count(_calls(calls))
        if self._rules.health is not None:
            done.transitions = await self._count(_transitions(server_transitions.c.at < now - self._rules.health))
        return done

    async def _too_old_payloads(self, now: datetime) -> list[ColumnElement[bool]]:
        kept = [(of, terms.payloads) for of, terms in await self._terms(server_calls.c.server_id)]
        return [and_(of, server_call_payloads.c.created_at < now - age) for of, age in kept if age is not None]

    async def _too_old_calls(self, now: datetime) -> list[ColumnElement[bool]]:
        created = server_calls.c.created_at
        kept = [(of, terms.calls) for of, terms in await self._terms(server_calls.c.server_id)]
        found = [and_(of, created < now - age) for of, age in kept if age is not None]
        if (edge := await self._edge()) is not None:
            found.append(or_(created < edge[0], and_(created == edge[0], server_calls.c.id < edge[1])))
        return found

    async def _terms(self, of: ColumnElement[int]) -> list[tuple[ColumnElement[bool], Terms]]:
        """Servers by their terms: those with their own each by itself, all others together."""
        rules = self._rules
        async with self._db.reading() as connection:
            known = select(mcp_servers.c.slug, mcp_servers.c.id).where(mcp_servers.c.slug.in_(list(rules.servers)))
            ids = {row.slug: row.id for row in await connection.execute(known)}
        own = [(of == ids[slug], terms) for slug, terms in rules.servers.items() if slug in ids]
        return [*own, (of.not_in(list(ids.values())), rules.everywhere)]

    async def _edge(self) -> tuple[datetime, int] | None:
        """The oldest call that is kept under `most_calls`; None while there are not more."""
        most = self._rules.most_calls
        if most is None:
            return None
        held = select(func.sum(journals.c.started_seq - journals.c.purged - journals.c.set_aside))
        calls = server_calls.c
        newest = select(calls.created_at, calls.id).order_by(calls.created_at.desc(), calls.id.desc())
        async with self._db.reading() as connection:
            if int(await connection.scalar(held) or 0) <= most:
                return None
            row = (await connection.execute(newest.offset(most - 1).limit(1))).first()
        return None if row is None else (row.created_at, row.id)

    async def _oldest_to_keep(self, now: datetime) -> datetime | None:
        """Automatic sessions from before this moment may go once they are empty."""
        ages = [terms.calls for terms in (self._rules.everywhere, *self._rules.servers.values())]
        kept = [age for age in ages if age is not None]
        return now - max(kept) - IN_USE if kept else None

    async def _count(self, query: Select[Any]) -> int:
        async with self._db.reading() as connection:
            return int(await connection.scalar(select(func.count()).select_from(query.subquery())) or 0)

    async def _chunks(self, query: Select[Any]) -> AsyncIterator[Sequence[Row[Any]]]:
        """Rows to delete, a few at a time: as many as can be deleted in `TARGET` seconds."""
        while True:
            begun = monotonic()
            async with self._db.reading() as connection:
                rows = (await connection.execute(query.limit(self._size))).all()
            if not rows:
                return
            yield rows
            took = monotonic() - begun
            self._size = max(LEAST, min(MOST, int(self._size * TARGET / max(took, TARGET / 2))))
            await asyncio.sleep(took * self._pause)

    async def _delete_payloads(self, rows: Sequence[Row[Any]]) -> int:
        of = server_call_payloads.c
        keys = tuple_(of.created_at, of.call_uid, of.part).in_([tuple(row) for row in rows])
        async with self._db.writing() as connection:
            return (await connection.execute(delete(server_call_payloads).where(keys))).rowcount

    async def _delete_calls(self, rows: Sequence[Row[Any]]) -> int:
        """A row that somebody else deleted meanwhile is counted by him: rows are locked before they are counted."""
        calls, payloads = server_calls.c, server_call_payloads.c
        async with self._db.writing() as connection:
            wanted = select(*calls["id", "call_uid", "created_at", "journal_id"]).order_by(calls.id).with_for_update()
            locked = (await connection.execute(wanted.where(calls.id.in_([row.id for row in rows])))).all()
            if not locked:
                return 0
            keys = [(row.created_at, row.call_uid) for row in locked]
            of_calls = tuple_(payloads.created_at, payloads.call_uid).in_(keys)
            await connection.execute(delete(server_call_payloads).where(of_calls))
            await connection.execute(delete(server_calls).where(calls.id.in_([row.id for row in locked])))
            await _counted(connection, locked)
            return len(locked)

    async def _delete_sessions(self, rows: Sequence[Row[Any]]) -> int:
        ids = [row.id for row in rows]
        empty = ~exists().where(server_calls.c.session_id == chat_sessions.c.id)
        async with self._db.writing() as connection:
            still = select(chat_sessions.c.id).where(chat_sessions.c.id.in_(ids), empty).with_for_update()
            gone = list(await connection.scalars(still))
            if gone:
                await connection.execute(delete(chat_messages).where(chat_messages.c.session_id.in_(gone)))
                await connection.execute(delete(chat_sessions).where(chat_sessions.c.id.in_(gone)))
            return len(gone)

    async def _delete_transitions(self, rows: Sequence[Row[Any]]) -> int:
        of = server_transitions.c
        keys = tuple_(of.server_id, of.version).in_([tuple(row) for row in rows])
        async with self._db.writing() as connection:
            return (await connection.execute(delete(server_transitions).where(keys))).rowcount


def _calls(condition: ColumnElement[bool]) -> Select[Any]:
    calls = server_calls.c
    ours = and_(calls.call_uid.is_not(None), calls.record_state != RecordState.OPEN)
    return select(calls.id).where(condition, ours).order_by(calls.created_at, calls.id)


def _payloads(condition: ColumnElement[bool]) -> Select[Any]:
    of, calls = server_call_payloads.c, server_calls.c
    joined = server_call_payloads.join(
        server_calls, and_(calls.call_uid == of.call_uid, calls.created_at == of.created_at)
    )
    ended = calls.record_state != RecordState.OPEN
    columns = select(of.created_at, of.call_uid, of.part).select_from(joined)
    return columns.where(condition, ended).order_by(of.created_at, of.call_uid, of.part)


def _sessions(before: datetime) -> Select[Any]:
    of = chat_sessions.c
    empty = ~exists().where(server_calls.c.session_id == of.id)
    return select(of.id).where(of.kind == AUTOMATIC, of.created_at < before, empty).order_by(of.id)


def _transitions(condition: ColumnElement[bool]) -> Select[Any]:
    of = server_transitions.c
    return select(of.server_id, of.version).where(condition).order_by(of.at)


async def _counted(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> None:
    """A journal knows how many of its rows were purged."""
    for journal_id, calls in Counter(row.journal_id for row in rows if row.journal_id is not None).items():
        await connection.execute(
            update(journals).where(journals.c.id == journal_id).values(purged=journals.c.purged + calls)
        )
