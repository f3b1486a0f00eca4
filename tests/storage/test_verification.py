"""Whether anything is missing, and what."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import delete, update

from storage.database import Database
from storage.journal.journal import Journal
from storage.schema import call_tallies, journals, server_calls
from storage.settings import JournalSettings
from storage.verification import verify
from tests.support.recording import World, new_writer, running, world


@pytest.fixture
async def here(database: Database) -> World:
    return await world(database)


async def test_nothing_is_when_every_call_has_its_row(here: World) -> None:
    async with running(here.db) as first, running(here.db) as second:
        for _ in range(5):
            await here.record(first)
            await here.record(second)
        await second.started(here.started())
        await first.flush()
        await second.flush()
        found = await verify(here.db, None)
        assert (found.complete, found.journals, found.calls) == (True, 2, 11)
    assert not (await verify(here.db, None)).complete
    assert "is closed, and 1 of its calls are still open" in (await verify(here.db, None)).problems[0]


async def test_rows_that_are_gone_are_named_by_their_place(here: World) -> None:
    async with running(here.db) as writer:
        calls = [await here.record(writer) for _ in range(9)]
    gone = [calls[0], calls[3], calls[4], calls[8]]
    async with here.db.writing() as connection:
        uids = [call.call_uid for call in gone]
        await connection.execute(delete(server_calls).where(server_calls.c.call_uid.in_(uids)))
    found = await verify(here.db, None)
    name = f"journal {writer.journal_id:016x}"
    assert list(found.problems) == [
        f"{name}: there is no row of call 1 of it, between its beginning and {calls[1].call_uid}",
        f"{name}: there is no row of calls 4 to 5 of it, between {calls[2].call_uid} and {calls[5].call_uid}",
        f"{name}: there is no row of call 9 of it, between {calls[7].call_uid} and its end",
        f"{name} counts 9 calls in its tallies, while 5 calls of it have ended",
    ]


async def test_calls_that_were_purged_or_set_aside_are_not_missing(here: World) -> None:
    async with running(here.db) as writer:
        call, *_ = [await here.record(writer) for _ in range(3)]
        await here.record(writer, server_id=987_654)
    assert (await verify(here.db, None)).complete
    async with here.db.writing() as connection:
        await connection.execute(delete(server_calls).where(server_calls.c.call_uid == call.call_uid))
        await connection.execute(update(journals).values(purged=1))
    assert (await verify(here.db, None)).complete


async def test_a_count_that_is_wrong_is_told(here: World) -> None:
    async with running(here.db) as writer:
        await here.record(writer)
    async with here.db.writing() as connection:
        await connection.execute(update(call_tallies).values(calls=2))
    [problem] = (await verify(here.db, None)).problems
    assert problem.endswith("counts 2 calls in its tallies, while 1 calls of it have ended")


async def test_rows_of_no_journal_are_told(here: World) -> None:
    async with running(here.db) as writer:
        await here.record(writer)
    async with here.db.writing() as connection:
        await connection.execute(delete(journals))
    assert "is not known, and 1 calls say that they are of it" in (await verify(here.db, None)).problems[0]


async def test_calls_that_wait_on_this_machine_are_told(here: World, tmp_path: Path) -> None:
    settings = JournalSettings(segment_bytes=1 << 16)
    writer = new_writer(here.db, diary=Journal.create(tmp_path, settings), journal=settings)
    for _ in range(3):
        await here.record(writer)
    assert (await verify(here.db, tmp_path)).complete, "somebody has this journal, and is about to write it"
    writer._diary.close()
    found = await verify(here.db, tmp_path)
    assert not found.complete
    assert found.problems == ()
    assert "3 calls wait in" in found.waiting[0]
