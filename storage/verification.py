"""Whether anything is missing in the records.

Which question: has every call that was written down a row, and is every row counted? Reads `journals`, `server_calls`
and `call_tallies` in one snapshot, and the journals on this machine. The rule: what does not add up is named, as near
as the database can tell.

Calls of a journal are numbered without gaps, its row in `journals` knows the last number whose call is in the
database, and both change in one transaction; so do the tallies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Row, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import Database
from storage.errors import JournalDamaged
from storage.journal import bodies
from storage.journal.folder import Abandoned, abandoned, name_of
from storage.journal.frames import Type
from storage.records import RecordState
from storage.schema import call_tallies, journals, server_calls

CHUNK = 10_000
READ_BYTES = 4_000_000
NAMED = 20
"""Gaps of one journal that are told one by one."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Calls of a journal that have no row: the numbers from `first` to `last`, between the rows of these uids."""

    first: int
    last: int
    after: str | None
    before: str | None

    @property
    def calls(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        which = f"call {self.first}" if self.calls == 1 else f"calls {self.first} to {self.last}"
        return f"{which} of it, between {self.after or 'its beginning'} and {self.before or 'its end'}"


@dataclass(frozen=True, slots=True)
class Verified:
    """What was looked at, what does not add up, and what is only waiting to be written."""

    journals: int
    calls: int
    problems: tuple[str, ...] = ()
    waiting: tuple[str, ...] = field(default=())

    @property
    def complete(self) -> bool:
        return not (self.problems or self.waiting)


async def verify(db: Database, directory: Path | None) -> Verified:
    """Compare every journal with its rows and tallies; `directory` holds the journals of this machine. Raises
    `DatabaseUnavailable`, `JournalFailed` and `OSError` when something cannot be looked at.
    """
    problems = list[str]()
    async with db.reading() as connection:
        known = (await connection.execute(select(journals).order_by(journals.c.opened_at))).all()
        rows = await _by_journal(connection, select(server_calls.c.journal_id, func.count()))
        is_open = server_calls.c.record_state == RecordState.OPEN
        open_rows = await _by_journal(connection, select(server_calls.c.journal_id, func.count()).where(is_open))
        counted = await _tallied(connection)
        for journal in known:
            held = rows.pop(journal.id, 0)
            if held + journal.purged + journal.set_aside != journal.started_seq:
                problems += await _missing(connection, journal, held)
            problems += _uncounted(journal, held - open_rows.get(journal.id, 0), counted.get(journal.id, 0))
            if journal.closed_at is not None and (left := open_rows.get(journal.id, 0)):
                problems.append(f"{_named(journal.id)} is closed, and {left} of its calls are still open")
        problems += (f"{_named(id_)} is not known, and {n} calls say that they are of it" for id_, n in rows.items())
    calls = sum(journal.started_seq for journal in known)
    applied = {journal.id: journal.applied_frame for journal in known}
    waiting = () if directory is None else tuple(_waiting(directory, applied))
    return Verified(len(known), calls, tuple(problems), waiting)


async def _by_journal(connection: AsyncConnection, query: Select[Any]) -> dict[int, int]:
    of = server_calls.c.journal_id
    found = await connection.execute(query.where(of.is_not(None)).group_by(of))
    return {row[0]: row[1] for row in found}


async def _tallied(connection: AsyncConnection) -> dict[int, int]:
    of = call_tallies.c.journal_id
    found = await connection.execute(select(of, func.sum(call_tallies.c.calls)).group_by(of))
    return {row[0]: int(row[1]) for row in found}


def _uncounted(journal: Row[Any], final: int, counted: int) -> Iterator[str]:
    if counted != final + journal.purged:
        kept = f"{final} calls of it have ended" + (f" and {journal.purged} were purged" if journal.purged else "")
        yield f"{_named(journal.id)} counts {counted} calls in its tallies, while {kept}"


async def _missing(connection: AsyncConnection, journal: Row[Any], held: int) -> list[str]:
    """What is told of a journal whose rows are too few or too many."""
    lacking = journal.started_seq - journal.purged - journal.set_aside - held
    if lacking < 0:
        return [f"{_named(journal.id)} has {-lacking} rows more than it has begun calls"]
    gaps = await _gaps(connection, journal)
    told = [f"{_named(journal.id)}: there is no row of {gap}" for gap in gaps[:NAMED]]
    found = sum(gap.calls for gap in gaps)
    if len(gaps) > NAMED:
        told.append(f"{_named(journal.id)}: {len(gaps) - NAMED} more gaps like these")
    if journal.purged or journal.set_aside:
        aside = f"{journal.purged} purged and {journal.set_aside} set aside"
        told.append(f"{_named(journal.id)}: of the {found} calls without a row, {aside}; {lacking} are missing")
    return told


async def _gaps(connection: AsyncConnection, journal: Row[Any]) -> list[Gap]:
    """The numbers that no row has, by walking along the index of numbers."""
    calls, found = server_calls.c, list[Gap]()
    last, uid = 0, None
    query = select(calls.journal_seq, calls.call_uid).where(calls.journal_id == journal.id)
    while True:
        chunk = query.where(calls.journal_seq > last).order_by(calls.journal_seq).limit(CHUNK)
        rows = (await connection.execute(chunk)).all()
        for seq, here in rows:
            if seq > last + 1:
                found.append(Gap(last + 1, seq - 1, uid, here))
            last, uid = seq, here
        if len(rows) < CHUNK:
            break
    if last < journal.started_seq:
        found.append(Gap(last + 1, journal.started_seq, uid, None))
    return found


def _waiting(directory: Path, applied: Mapping[int, int]) -> Iterator[str]:
    """Journals on this machine that nobody has, and of which something is not in the database."""
    for journal in abandoned(directory):
        try:
            left = _left(journal, applied.get(journal.id, 0))
        finally:
            journal.release()
        if left:
            yield f"{_named(journal.id)}: {left} calls wait in {journal.path}; a gateway that starts here writes them"


def _left(journal: Abandoned, applied: int) -> int:
    """Calls of which something stands behind the frame `applied`."""
    calls, after = set[str](), applied
    while frames := journal.read(after, READ_BYTES):
        for frame in frames:
            with suppress(JournalDamaged):
                if frame.type is Type.STARTED:
                    calls.add(bodies.opened(frame.body).started.call_uid)
                elif frame.type is Type.FINISHED:
                    calls.add(bodies.ended(frame.body).finished.call_uid)
        after = frames[-1].number
    return len(calls)


def _named(journal_id: int) -> str:
    return f"journal {name_of(journal_id)}"
