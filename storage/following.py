"""New calls as they end.

Which question: which calls have ended since I last asked? Reads `server_calls`. The rule: no call is missed and none
is told twice, whatever the order in which rows become visible: ids are handed out before a transaction commits, so
the newest ids are looked at again for as long as a transaction may take.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from time import monotonic

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.call_filters import IN_PROGRESS, CallFilter, conditions
from storage.calls import CallRow, row_of, rows_where
from storage.database import Database
from storage.records import RecordState
from storage.schema import server_calls

PATIENCE = 15.0
"""Seconds that a transaction may take between its first row and its commit."""

IDS_BEHIND = 10_000
"""So many ids before the newest are looked at again after the start."""

CHUNK = 1_000


class Follower:
    """A place in the stream of calls. `open` it; then each `poll` returns what ended since."""

    def __init__(self, db: Database, wanted: CallFilter, clock: Callable[[], float] = monotonic) -> None:
        self._db = db
        self._wanted = wanted
        self._clock = clock
        self._low = 0
        self._newest: deque[tuple[float, int]] = deque()
        self._seen: set[int] = set()
        self._under_way: set[int] = set()

    async def open(self) -> None:
        """Start here: calls that ended before are not told. Raises `DatabaseUnavailable`."""
        calls = server_calls.c
        async with self._db.reading() as connection:
            newest = await connection.scalar(select(func.max(calls.id))) or 0
            self._low = max(0, newest - IDS_BEHIND)
            self._seen = set(await connection.scalars(select(calls.id).where(calls.id > self._low)))
            is_open = calls.record_state == RecordState.OPEN
            self._under_way = set(await connection.scalars(select(calls.id).where(is_open)))

    async def poll(self) -> list[CallRow]:
        """The calls that ended since, in the order of their ids; those that began, if these are wanted. Raises
        `DatabaseUnavailable`.
        """
        async with self._db.reading() as connection:
            opened, ended = await self._changes(connection)
            news = opened if self._wanted.outcome == IN_PROGRESS else ended
            told = await self._rows(connection, sorted(news))
        self._seen |= opened | ended
        self._under_way = (self._under_way | opened) - ended
        self._advance()
        return told

    async def _changes(self, connection: AsyncConnection) -> tuple[set[int], set[int]]:
        """The calls that are new and open, and those that are new and ended or were open and have ended."""
        calls = server_calls.c
        states: dict[int, int] = {}
        waiting = sorted(id_ for id_ in self._under_way if id_ <= self._low)
        query = select(calls.id, calls.record_state)
        for wanted in (calls.id > self._low, *(calls.id.in_(some) for some in _chunks(waiting))):
            states |= {row.id: row.record_state for row in await connection.execute(query.where(wanted))}
        opened = {id_ for id_, state in states.items() if state == RecordState.OPEN and id_ not in self._seen}
        news = {id_ for id_ in states if id_ not in self._seen or id_ in self._under_way}
        return opened, {id_ for id_ in news if states[id_] != RecordState.OPEN}

    async def _rows(self, connection: AsyncConnection, ids: Sequence[int]) -> list[CallRow]:
        told, calls = list[CallRow](), server_calls.c
        wanted = await conditions(connection, self._wanted) if ids else []
        for some in _chunks(ids):
            query = rows_where(calls.id.in_(some), *wanted)
            told += [row_of(row) for row in await connection.execute(query.order_by(calls.id))]
        return told

    def _advance(self) -> None:
        """Let go of ids that are old enough."""
        now = self._clock()
        self._newest.append((now, max(self._seen, default=0)))
        while self._newest[0][0] < now - PATIENCE:
            self._low = max(self._low, self._newest.popleft()[1])
        self._seen = {id_ for id_ in self._seen if id_ > self._low}


def _chunks(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))
