"""Writers on a journal: what they outlive, and what becomes of the calls of those that were killed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from time import time
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import select, update

from gateway.redact import Redactor
from storage.database import Database
from storage.errors import RecordsFull, RecordsLost
from storage.journal.journal import Journal
from storage.keeping import Keeping
from storage.metrics import StorageMetrics
from storage.orphans import close_run
from storage.records import Outcome, Started
from storage.recovery import Recovery
from storage.schema import call_tallies, journals, server_calls
from storage.settings import JournalSettings, RecordingSettings
from storage.tallies import Count, tally
from storage.tasks import Tasks
from storage.verification import verify
from storage.writer import Writer
from tests.storage.journal.support import Disk
from tests.support.engines import Engines, made
from tests.support.recording import REPLICA, Flaky, World, new_writer, running, until, world

pytestmark = pytest.mark.trap(49)


@pytest.fixture
async def here(database: Database) -> World:
    return await world(database)


@pytest.fixture
async def lite(engines: Engines) -> AsyncIterator[World]:
    async with made(engines["sqlite"], migrated=True) as db:
        flaky = Flaky(db._settings)
        yield replace(await world(db), db=flaky)
        await flaky.close()


def on_disk(here: World, folder: Path, *, disk: Disk | None = None, journal: Any = None, **settings: Any) -> Writer:
    whole = JournalSettings(**{"segment_bytes": 1 << 16, "bytes": 1 << 22, **(journal or {})})
    diary = Journal.create(folder, whole, **({} if disk is None else {"write": disk}))
    return new_writer(here.db, diary=diary, linger=0.01, journal=whole, **settings)


@asynccontextmanager
async def at_work(writer: Writer) -> AsyncIterator[Writer]:
    """Until it is killed: nothing is closed but what the system closes."""
    tasks = Tasks("test")
    tasks.spawn(writer.run(), "writer")
    try:
        yield writer
    finally:
        await tasks.close()
        writer._diary.close()


def recovery(
    here: World, folder: Path, registry: CollectorRegistry | None = None, *, keep: float = 0, now: float | None = None
) -> Recovery:
    settings = RecordingSettings(journal=JournalSettings(keep_committed=keep))
    metrics = StorageMetrics(registry or CollectorRegistry())
    clock = time if now is None else lambda: now
    return Recovery(
        here.db, folder, REPLICA, settings, keeping=Keeping(settings, Redactor()), metrics=metrics, clock=clock
    )


async def restore(here: World, calls: int) -> None:
    """Have the database of an earlier moment, when it had the first `calls` calls of its only journal, all ended."""
    async with here.db.writing() as connection:
        await connection.execute(server_calls.delete().where(server_calls.c.journal_seq > calls))
        await connection.execute(call_tallies.delete())
        if calls:
            rows = await connection.execute(select(server_calls))
            counts = [
                Count(row.call_uid, row.server_id, Outcome(row.outcome), row.journal_id, row.total_us) for row in rows
            ]
            await tally(connection, here.db.dialect, counts)
            await connection.execute(update(journals).values(applied_frame=2 * calls, started_seq=calls))
        else:
            await connection.execute(journals.delete())


async def is_complete(here: World) -> bool:
    return (await verify(here.db, None)).complete


async def outcomes(here: World) -> dict[str, str | None]:
    return {row.call_uid: row.outcome for row in await here.rows()}


async def is_taken(writer: Writer, call: Started) -> bool:
    try:
        await writer.started(call)
    except RecordsFull:
        return False
    return True


class TestKilled:
    async def test_before_anything_was_written_everything_is(self, here: World, tmp_path: Path) -> None:
        writer = on_disk(here, tmp_path)
        done, under_way = await here.record(writer), here.started()
        await writer.started(under_way)
        writer._diary.close()
        await recovery(here, tmp_path).adopt()
        assert await outcomes(here) == {done.call_uid: "ok", under_way.call_uid: "unknown"}
        row = await here.row(under_way.call_uid)
        assert (row.status, row.reason, row.record_state) == ("failed", "gateway_ended", 1)
        assert {(row.outcome, row.calls) for row in await here.rows(call_tallies)} == {("ok", 1), ("unknown", 1)}
        [journal] = await here.rows(journals)
        assert (journal.id, journal.started_seq, journal.applied_frame) == (writer.journal_id, 2, 3)
        assert journal.closed_at is not None
        assert list(tmp_path.iterdir()) == []

    async def test_in_the_middle_what_was_written_is_not_written_again(self, here: World, tmp_path: Path) -> None:
        async with at_work(on_disk(here, tmp_path)) as writer:
            first, ends_late, open_end = await here.record(writer), here.started(), here.started()
            await writer.started(ends_late)
            await writer.started(open_end)
            await writer.flush()
        assert await outcomes(here) == {first.call_uid: "ok", ends_late.call_uid: None, open_end.call_uid: None}
        await recovery(here, tmp_path).adopt()
        assert set((await outcomes(here)).values()) == {"ok", "unknown"}
        assert {(row.outcome, row.calls) for row in await here.rows(call_tallies)} == {("ok", 1), ("unknown", 2)}

    async def test_an_end_that_was_journalled_wins_over_whoever_took_the_call_for_lost(
        self, here: World, tmp_path: Path
    ) -> None:
        async with at_work(on_disk(here, tmp_path)) as writer:
            call = here.started()
            await writer.started(call)
            await writer.flush()
            writer._task.cancel()
            await asyncio.wait([writer._task])
            writer._closed = False
            await writer.finished(here.finished(call))
        assert await close_run(here.db, writer.journal_id) == 1
        assert await outcomes(here) == {call.call_uid: "unknown"}
        await recovery(here, tmp_path).adopt()
        assert await outcomes(here) == {call.call_uid: "ok"}
        assert [(row.outcome, row.calls) for row in await here.rows(call_tallies) if row.calls] == [("ok", 1)]

    @pytest.mark.trap(52)
    @pytest.mark.parametrize("steps", range(0, 1000, 100))
    async def test_a_writer_that_is_cancelled_anywhere_in_a_batch_leaves_all_of_it(
        self, lite: World, tmp_path: Path, steps: int
    ) -> None:
        writer = on_disk(lite, tmp_path, batch_rows=5)
        calls = [await lite.record(writer) for _ in range(20)]
        tasks = Tasks("test")
        tasks.spawn(writer.run(), "writer")
        for _ in range(steps):
            await asyncio.sleep(0)
        await tasks.close()
        writer._diary.close()
        await recovery(lite, tmp_path).adopt()
        assert await outcomes(lite) == {call.call_uid: "ok" for call in calls}
        assert await is_complete(lite)

    async def test_a_recovery_that_is_killed_itself_is_taken_up_by_the_next(self, lite: World, tmp_path: Path) -> None:
        writer = on_disk(lite, tmp_path, batch_rows=5)
        calls = [await lite.record(writer) for _ in range(30)]
        writer._diary.close()
        lite.db.away = True
        tasks = Tasks("test")
        tasks.spawn(recovery(lite, tmp_path).adopt(), "recovery")
        await asyncio.sleep(0)
        await tasks.close()
        lite.db.away = False
        await recovery(lite, tmp_path).adopt()
        await recovery(lite, tmp_path).adopt()
        assert await outcomes(lite) == {call.call_uid: "ok" for call in calls}
        assert [row.calls for row in await lite.rows(call_tallies)] == [30]

    async def test_a_journal_that_somebody_has_is_left_alone(self, lite: World, tmp_path: Path) -> None:
        writer = on_disk(lite, tmp_path)
        await lite.record(writer)
        await recovery(lite, tmp_path).adopt()
        assert await lite.rows() == []
        await writer.close()
        await recovery(lite, tmp_path).adopt()
        assert list(tmp_path.iterdir()) == []
        assert len(await lite.rows()) == 1

    async def test_a_damaged_frame_costs_its_call_alone_and_is_counted(self, lite: World, tmp_path: Path) -> None:
        registry, writer = CollectorRegistry(), on_disk(lite, tmp_path)
        first, second = await lite.record(writer), await lite.record(writer)
        segment = min(writer._diary.path.glob("*.seg"))
        writer._diary.close()
        text = bytearray(segment.read_bytes())
        text[text.index(second.call_uid.encode())] ^= 1
        segment.write_bytes(text)
        await recovery(lite, tmp_path, registry).adopt()
        assert await outcomes(lite) == {first.call_uid: "ok"}
        assert registry.get_sample_value("mcp_gateway_journal_frames_quarantined_total") == 1
        assert len(list(tmp_path.glob("*/quarantine/*"))) == 1


class TestADatabaseThatWentBackInTime:
    """A failover to a copy that is not up to date, or a backup that was restored."""

    @pytest.mark.parametrize("back", [0, 1, 3])
    async def test_gets_from_the_journal_what_it_has_lost(self, here: World, tmp_path: Path, back: int) -> None:
        async with at_work(on_disk(here, tmp_path)) as writer:
            calls = []
            for _ in range(5):
                calls.append(await here.record(writer))
                await writer.flush()
            long = here.started()
            await writer.started(long)
            await writer.flush()
            await restore(here, back)
            calls.append(await here.record(writer))
            await writer.finished(here.finished(long))
            await writer.flush()
        assert await outcomes(here) == {call.call_uid: "ok" for call in (*calls, long)}
        assert await is_complete(here)

    async def test_has_lost_what_the_journal_has_no_more_and_the_gateway_says_so(
        self, lite: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        registry = CollectorRegistry()
        async with running(lite.db, registry=registry) as writer:
            for _ in range(3):
                await lite.record(writer)
                await writer.flush()
            await restore(lite, 1)
            await lite.record(writer)
            await writer.flush()
            assert registry.get_sample_value("mcp_gateway_records_lost_total") == 2
        assert "2 records that the database has lost are in the journal no more" in caplog.text
        assert {row.journal_seq for row in await lite.rows()} == {1, 4}
        assert not await is_complete(lite)

    async def test_gets_what_an_ended_gateway_had_written_for_as_long_as_its_journal_is_kept(
        self, lite: World, tmp_path: Path
    ) -> None:
        writer = on_disk(lite, tmp_path, journal={"segment_bytes": 1 << 20})
        calls = [await lite.record(writer) for _ in range(5)]
        writer._diary.close()
        await recovery(lite, tmp_path, keep=600).adopt()
        assert await is_complete(lite)
        [folder] = tmp_path.iterdir()
        assert sum(file.stat().st_size for file in folder.iterdir()) < 10_000
        await restore(lite, 2)
        await recovery(lite, tmp_path, keep=600, now=time() + 599).adopt()
        assert await outcomes(lite) == {call.call_uid: "ok" for call in calls}
        assert await is_complete(lite)
        await recovery(lite, tmp_path, keep=600, now=time() + 601).adopt()
        assert list(tmp_path.iterdir()) == []

    async def test_gets_nothing_of_a_journal_that_is_only_kept(self, lite: World, tmp_path: Path) -> None:
        writer = on_disk(lite, tmp_path)
        await lite.record(writer)
        await writer.close()
        await recovery(lite, tmp_path, keep=600).adopt()
        again = CollectorRegistry()
        await recovery(lite, tmp_path, again, keep=600).adopt()
        assert again.get_sample_value("mcp_gateway_journals_adopted_total") == 0


class TestADatabaseThatIsAway:
    @pytest.mark.trap(50)
    async def test_lets_calls_go_on_beyond_the_memory_and_gets_them_in_order(self, lite: World, tmp_path: Path) -> None:
        async with at_work(on_disk(lite, tmp_path, pending_bytes=1_000_000)) as writer:
            lite.db.away = True
            request = b'"' + b"x" * 20_000 + b'"'
            calls = [await lite.record(writer, request=request) for _ in range(90)]
            long = lite.started()
            await writer.started(long)
            assert writer.backlog.pending_bytes <= 1_000_000
            assert writer.backlog.pending >= 90
            assert not writer.is_full
            lite.db.away = False
            async with asyncio.timeout(20):
                await writer.flush()
            await writer.finished(lite.finished(long))
            last = await lite.record(writer)
            async with asyncio.timeout(20):
                await writer.flush()
            assert (writer.backlog.pending, writer.backlog.pending_bytes, writer.backlog.lag) == (0, 0, 0)
            rows = await lite.rows()
            expected = [*(call.call_uid for call in calls), long.call_uid, last.call_uid]
            assert sorted(row.call_uid for row in rows) == sorted(expected)
            assert {row.outcome for row in rows} == {"ok"}
            assert [row.journal_seq for row in rows] == list(range(1, 93))
            assert {len(json.loads(row.request_data)) for row in rows[:90]} == {20_000}

    @pytest.mark.trap(50)
    async def test_costs_nothing_when_the_gateway_stops_meanwhile(self, lite: World, tmp_path: Path) -> None:
        registry = CollectorRegistry()
        async with at_work(on_disk(lite, tmp_path, registry=registry)) as writer:
            lite.db.away = True
            calls = [await lite.record(writer) for _ in range(20)]
            assert await writer.close(0.05) == 0
        assert registry.get_sample_value("mcp_gateway_records_lost_total") == 0
        lite.db.away = False
        await recovery(lite, tmp_path).adopt()
        assert await outcomes(lite) == {call.call_uid: "ok" for call in calls}


class TestAJournal:
    @pytest.mark.trap(56)
    async def test_that_is_full_refuses_new_calls_and_takes_the_ends_of_others(
        self, lite: World, tmp_path: Path
    ) -> None:
        async with at_work(on_disk(lite, tmp_path, journal={"bytes": 1 << 20})) as writer:
            lite.db.away = True
            calls = [lite.started(request=b'"' + b"x" * 5_000 + b'"') for _ in range(300)]
            taken = [call for call in calls if await is_taken(writer, call)]
            with pytest.raises(RecordsFull, match=r"recording\.journal\.bytes"):
                await writer.started(lite.started(request=b'"' + b"x" * 5_000 + b'"'))
            assert writer.is_full
            for call in taken:
                await writer.finished(lite.finished(call))
            lite.db.away = False
            async with asyncio.timeout(20):
                await writer.flush()
            assert not writer.is_full
            rows = await lite.rows()
            assert len(rows) > 50
            assert {row.outcome for row in rows} == {"ok"}

    @pytest.mark.trap(56)
    async def test_that_fails_has_its_call_written_directly(self, lite: World, tmp_path: Path) -> None:
        disk = Disk()
        async with at_work(on_disk(lite, tmp_path, disk=disk)) as writer:
            call = lite.started()
            await writer.started(call)
            disk.left = 0
            await writer.finished(lite.finished(call))
            assert (await lite.row(call.call_uid)).outcome == "ok"
            with pytest.raises(RecordsFull, match=r"journal in .*No space left"):
                await writer.started(lite.started())
            assert writer.is_full
            assert "takes no frames" in (writer.trouble or "")
            disk.left = None
            again = await lite.record(writer)
            async with asyncio.timeout(20):
                await until(lambda: lite.has(2))
            assert (await lite.row(again.call_uid)).outcome == "ok"
            assert not writer.is_full

    @pytest.mark.trap(56)
    @pytest.mark.parametrize("on_full", ["refuse", "shed"])
    async def test_that_fails_with_the_database_is_told_as_the_admin_wants(
        self, lite: World, tmp_path: Path, on_full: str
    ) -> None:
        disk, registry = Disk(), CollectorRegistry()
        writer = on_disk(lite, tmp_path, disk=disk, registry=registry, journal={"on_full": on_full})
        async with at_work(writer):
            call = lite.started()
            await writer.started(call)
            disk.left, lite.db.away = 0, True
            told = pytest.raises(RecordsLost, match=call.call_uid) if on_full == "refuse" else nullcontext()
            with told:
                await writer.finished(lite.finished(call))
        assert registry.get_sample_value("mcp_gateway_records_lost_total") == 1


@pytest.mark.trap(68)
async def test_whoever_waits_for_a_large_end_may_go(lite: World, tmp_path: Path) -> None:
    async with at_work(on_disk(lite, tmp_path)) as writer:
        call = lite.started()
        await writer.started(call)
        large = b'"' + b"x" * 900_000 + b'"'
        tasks = Tasks("test")
        waiting = tasks.spawn(writer.finished(lite.finished(call, response=large)), "a client that leaves")
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])

        async def is_ok() -> bool:
            return (await outcomes(lite)).get(call.call_uid) == "ok"

        async with asyncio.timeout(20):
            await until(is_ok)


@pytest.mark.trap(68)
async def test_an_end_that_is_still_being_redacted_is_recorded_before_the_writer_closes(
    lite: World, tmp_path: Path
) -> None:
    async with at_work(on_disk(lite, tmp_path)) as writer:
        call = lite.started()
        await writer.started(call)
        tasks = Tasks("test")
        large = b'"' + b"x" * 900_000 + b'"'
        tasks.spawn(writer.finished(lite.finished(call, response=large)), "a large end")
        await asyncio.sleep(0)
        await writer.close()
        await tasks.close()
    assert await outcomes(lite) == {call.call_uid: "ok"}
