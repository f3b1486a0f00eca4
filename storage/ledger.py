"""One batch becomes rows, in one transaction.

Which question: what is written, in which order, and what if the database does not take it? Touches `server_calls`,
`server_call_payloads`, `call_tallies` and `journals`; chat sessions and messages through `Links`. The rule: a batch is
applied exactly once, however often it is run: the journal's row moves with it, so a commit whose answer was lost is
recognised, and tallies are exact.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.batch import Batch, Entry, Item, Rung
from storage.database import Database
from storage.errors import DatabaseDisconnected
from storage.journals import JournalRow
from storage.links import Links
from storage.many import Many
from storage.payloads import refused
from storage.preparation import Preparation
from storage.records import Outcome, RecordState
from storage.refusals import REFUSALS, is_the_rows_fault
from storage.rows import Linked, Sides, ending, exact_bytes, opening
from storage.schema import server_call_payloads, server_calls
from storage.tallies import Count, tally
from storage.upserts import once, ranked

log = logging.getLogger(__name__)
T = TypeVar("T")
Words = Callable[[str], str]
"""Hides the secrets within words."""


STRIDE = 100
"""Rows written in one statement: while it is put together, a few milliseconds, the event loop waits."""

PATIENCE = 2

KEY = ("call_uid", "created_at")
UNWRITTEN = frozenset({"id", "api_key_id"})


class Ledger:
    """The rows of one journal's calls."""

    def __init__(self, db: Database, journal: JournalRow, preparation: Preparation, words: Words) -> None:
        self._db = db
        self._journal = journal
        self._preparation = preparation
        self._words = words
        self._links = Links(db)
        self._calls = Many(ranked(db.dialect, server_calls, KEY, "record_state", kept=UNWRITTEN))
        self._payloads = Many(once(db.dialect, server_call_payloads))

    async def commit(self, batch: Batch) -> None:
        """Write `batch`. Raises `DatabaseUnavailable` when it may be run again later, and any of `REFUSALS` when the
        database does not take it: run it again with `careful`, and the rows at fault are written with less or set
        aside.
        """
        batch.entered, batch.writing = False, None
        try:
            await self._preparation.prepare(batch)
            await (self._carefully(batch) if batch.careful else self._at_once(batch))
        except DatabaseDisconnected:
            batch.blame(PATIENCE)
            raise

    async def directly(self, entry: Entry) -> None:
        """Write a call's final row past its journal, which did not take its end. Raises `DatabaseUnavailable`, and any
        of `REFUSALS`.
        """
        item = Item(entry, final=True)
        await self._preparation.prepare(Batch(0, 0, entry.seq, [item], []))
        links = await self._links.resolve([entry.started])
        async with self._db.writing() as connection:
            recovered = await self._recovered(connection, [item])
            await self._write(connection, zip([item], links, strict=True))
            await self._count(connection, [item], recovered)

    async def close(self) -> None:
        """Say that the journal is complete. Raises `DatabaseUnavailable`."""
        async with self._db.writing() as connection:
            await self._journal.close(connection)

    async def _at_once(self, batch: Batch) -> None:
        items = batch.kept()
        links = await self._links.resolve([item.entry.started for item in items])
        async with self._db.writing() as connection:
            if await self._journal.claim(connection, self._db.dialect, batch):
                batch.entered = True
                recovered = await self._recovered(connection, items)
                for start in range(0, len(items), STRIDE):
                    stride = slice(start, start + STRIDE)
                    await self._write(connection, zip(items[stride], links[stride], strict=True))
                await self._count(connection, items, recovered)

    async def _carefully(self, batch: Batch) -> None:
        candidates = [(item, await self._candidates(item.entry)) for item in batch.kept()]
        async with self._db.writing() as connection:
            if await self._journal.claim(connection, self._db.dialect, batch):
                recovered = await self._recovered(connection, batch.kept())
                for item, links in candidates:
                    batch.writing = item
                    await self._descend(connection, item, links)
                batch.writing = None
                await self._count(connection, batch.kept(), recovered)
                if aside := batch.newly_aside():
                    await self._journal.set_aside(connection, len(aside))

    async def _candidates(self, entry: Entry) -> list[Linked | None]:
        """The link of each rung; None where even looking for it is refused."""
        found = await self._excused(entry, self._links.resolve([entry.started]))
        fallback = await self._excused(entry, self._links.fallback(entry.started))
        return [found[0] if found else None, fallback, fallback]

    async def _descend(self, connection: AsyncConnection, item: Item, links: Sequence[Linked | None]) -> None:
        """Write one row, down the ladder until it is taken or set aside."""
        entry = item.entry
        while not entry.is_aside:
            link = links[entry.rung]
            if link is not None and await self._excused(entry, self._nested(connection, item, link)):
                return
            entry.descend()

    async def _nested(self, connection: AsyncConnection, item: Item, link: Linked) -> bool:
        """Write one row on its own; True. Only what is the row's fault is taken back alone: a deadlock has ended the
        whole transaction already, its savepoints included, and writing on would be outside of any.
        """
        savepoint = await connection.begin_nested()
        try:
            await self._write(connection, [(item, link)])
        except REFUSALS as error:
            if is_the_rows_fault(error):
                await savepoint.rollback()
            raise
        await savepoint.commit()
        return True

    async def _excused(self, entry: Entry, work: Awaitable[T]) -> T | None:
        """What `work` returns; None when it fails by this call's own fault. No other failure is excused."""
        try:
            return await work
        except REFUSALS as error:
            if not is_the_rows_fault(error):
                raise
            log.warning("the database refused call %s: %s", entry.started.call_uid, self._reason(error))
            return None

    def _reason(self, error: Exception) -> str:
        cause = getattr(error, "orig", None) or error
        return self._words(f"{type(cause).__name__}: {cause}"[:500])

    async def _write(self, connection: AsyncConnection, linked: Iterable[tuple[Item, Linked]]) -> None:
        rows, bodies = list[dict[str, Any]](), list[dict[str, Any]]()
        now = datetime.now(UTC)
        for item, link in linked:
            started, sides = item.entry.started, _sides(item)
            bodies += exact_bytes(started.call_uid, sides)
            rows.append({**self._row(item, sides, link), "updated_at": now})
        await self._calls.write(connection, rows)
        await self._payloads.write(connection, bodies)

    def _row(self, item: Item, sides: Sides, link: Linked) -> dict[str, Any]:
        entry = item.entry
        row = opening(entry.started, sides, link)
        row |= {"journal_id": self._journal.id, "journal_seq": entry.seq}
        return row | ending(entry.finished, sides) if item.final and entry.finished is not None else row

    async def _recovered(self, connection: AsyncConnection, items: Iterable[Item]) -> set[str]:
        """The calls among `items` that somebody took for lost, and counted so, before they ended."""
        late = [item.entry.started.call_uid for item in items if item.final and item.entry.opened]
        if not late:
            return set()
        calls = server_calls.c
        recovered = select(calls.call_uid).where(calls.call_uid.in_(late), calls.record_state == RecordState.RECOVERED)
        query = recovered.with_for_update()
        return set(await connection.scalars(query))

    async def _count(self, connection: AsyncConnection, items: Iterable[Item], recovered: Collection[str]) -> None:
        counts = list[Count]()
        for item in items:
            started, finished = item.entry.started, item.entry.finished
            if not item.final or finished is None:
                continue
            where = (started.call_uid, started.server_id)
            counts.append(Count(*where, finished.outcome, self._journal.id, finished.total_us))
            if started.call_uid in recovered:
                counts.append(Count(*where, Outcome.UNKNOWN, self._journal.id, calls=-1))
        await tally(connection, self._db.dialect, counts)


def _sides(item: Item) -> Sides:
    entry = item.entry
    if entry.request is None:
        raise LookupError("the payloads of a call are made ready before it is written")
    response = entry.response if item.final else None
    if entry.rung is Rung.BARE:
        return Sides(refused(entry.request), None if response is None else refused(response))
    return Sides(entry.request, response)
