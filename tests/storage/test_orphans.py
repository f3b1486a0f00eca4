"""Calls that nobody will finish: which they are, and what becomes of them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import insert, select, update

from storage import replicas
from storage.database import Database
from storage.leases import Lease
from storage.metrics import StorageMetrics
from storage.orphans import Surroundings, Unfinished, close_run, is_dead, unfinished
from storage.reaper import NAME, Reaper
from storage.replicas import Presence
from storage.schema import call_tallies, journals, server_calls
from storage.schema import replicas as replicas_table
from storage.tasks import Tasks
from tests.support.engines import made_again
from tests.support.recording import REPLICA, World, new_writer, running, world

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATELY, LONG_AGO = NOW - timedelta(minutes=1), NOW - timedelta(hours=1)
HERE = Surroundings("here", {1}, NOW, timedelta(minutes=10))


@pytest.fixture
async def here(database: Database) -> World:
    return await world(database)


@pytest.mark.parametrize(
    ("run", "still", "dead"),
    [
        (Unfinished(1, LONG_AGO, "here", LONG_AGO), True, False),
        (Unfinished(1, LONG_AGO, "there", LONG_AGO, closed=True, seen_at=LONG_AGO), True, False),
        (Unfinished(2, LATELY, "here", LATELY), False, True),
        (Unfinished(2, LATELY, "there", LATELY, closed=True, seen_at=LATELY), False, True),
        (Unfinished(2, LONG_AGO, "there", LONG_AGO, seen_at=LATELY), True, False),
        (Unfinished(2, LONG_AGO, "there", LONG_AGO, seen_at=LONG_AGO), False, False),
        (Unfinished(2, LONG_AGO, "there", LONG_AGO, seen_at=LONG_AGO), True, True),
        (Unfinished(2, LONG_AGO, "there", LATELY), False, False),
        (Unfinished(2, LATELY, "there", LONG_AGO), False, False),
        (Unfinished(2, LONG_AGO, "there", LONG_AGO), False, True),
        (Unfinished(None, LATELY), False, False),
        (Unfinished(None, LONG_AGO), False, True),
    ],
)
def test_a_run_is_dead_when_nobody_can_end_its_calls(run: Unfinished, still: bool, dead: bool) -> None:
    assert is_dead(run, HERE, still) is dead


class TestClosing:
    async def test_ends_as_unknown_and_is_counted_so(self, here: World) -> None:
        lost = here.started()
        async with running(here.db) as writer:
            await writer.started(lost)
            await here.record(writer)
        assert await close_run(here.db, writer.journal_id) == 1
        assert await close_run(here.db, writer.journal_id) == 0
        row = await here.row(lost.call_uid)
        assert (row.status, row.outcome, row.record_state, row.reason) == ("failed", "unknown", 1, "gateway_ended")
        assert sorted((row.outcome, row.calls) for row in await here.rows(call_tallies)) == [("ok", 1), ("unknown", 1)]

    async def test_gives_way_to_an_end_that_comes_after_all(self, here: World) -> None:
        call = here.started()
        async with running(here.db) as writer:
            await writer.started(call)
            await writer.flush()
            assert await close_run(here.db, writer.journal_id) == 1
            await writer.finished(here.finished(call))
        row = await here.row(call.call_uid)
        assert (row.outcome, row.record_state, row.reason) == ("ok", 2, None)
        assert sorted((row.outcome, row.calls) for row in await here.rows(call_tallies)) == [("ok", 1), ("unknown", 0)]

    async def test_leaves_alone_what_another_back_end_wrote(self, here: World) -> None:
        async with running(here.db) as writer:
            await writer.started(here.started())
            await writer.flush()
            copied = ["server_id", "session_id", "message_id", "request_data", "status"]
            async with here.db.writing() as connection:
                await connection.execute(insert(server_calls).from_select(copied, select(*server_calls.c[*copied])))
            runs, _ = await unfinished(here.db)
            assert [run.journal_id for run in runs] == [writer.journal_id]
            assert await close_run(here.db, None) == 0
        assert [row.status for row in await here.rows()] == ["in_progress", "in_progress"]

    @pytest.mark.trap(55)
    async def test_counts_each_call_once_however_many_gateways_close_it(self, here: World) -> None:
        async with running(here.db) as writer:
            for _ in range(700):
                await writer.started(here.started())
            await writer.flush()
        async with made_again(here.db) as other, made_again(here.db) as third:
            closed = await asyncio.gather(*(close_run(db, writer.journal_id) for db in (here.db, other, third)))
        assert sum(closed) == 700
        assert [(row.outcome, row.calls) for row in await here.rows(call_tallies)] == [("unknown", 700)]


class TestALease:
    async def test_has_one_holder_until_its_time_is_over(self, here: World) -> None:
        one, other = Lease(here.db, "work", "1" * 32), Lease(here.db, "work", "2" * 32)
        assert await one.claim(60)
        assert not await other.claim(60)
        assert await one.claim(0)
        assert await other.claim(60)
        assert not await one.claim(60)
        await other.release()
        assert await one.claim(60)

    async def test_that_many_want_at_once_is_given_to_one(self, here: World) -> None:
        async with made_again(here.db) as second, made_again(here.db) as third:
            wanting = [Lease(db, "work", str(n) * 32) for n, db in enumerate((here.db, second, third))]
            for _ in range(5):
                got = await asyncio.gather(*(lease.claim(60) for lease in wanting))
                assert sum(got) == 1
                await wanting[got.index(True)].release()


class TestAReaper:
    """`there` is another installation; `clock` are our monotonic seconds."""

    @pytest.fixture
    def clock(self) -> list[float]:
        return [0.0]

    def reaper(self, here: World, clock: list[float], local: set[int] | None = None) -> Reaper:
        metrics = StorageMetrics(CollectorRegistry())
        return Reaper(here.db, "a" * 32, lambda: local or set(), after=600, metrics=metrics, clock=lambda: clock[0])

    async def left_open(self, here: World) -> int:
        """An installation `REPLICA` that has begun a call, and says that it is alive."""
        await Presence(here.db, REPLICA, "there", "1", dict).beat()
        writer, tasks = new_writer(here.db, linger=0.01), Tasks("test")
        tasks.spawn(writer.run(), "writer")
        await writer.started(here.started())
        await writer.flush()
        await tasks.close()
        return writer.journal_id

    async def silent_for(self, here: World, past: timedelta) -> None:
        async with here.db.writing() as connection:
            seen = (await connection.execute(select(replicas_table.c.seen_at))).scalar_one()
            await connection.execute(update(replicas_table).values(seen_at=seen - past))

    async def outcome(self, here: World) -> str | None:
        [row] = await here.rows()
        return row.outcome

    async def test_leaves_the_calls_of_a_live_installation_alone(self, here: World, clock: list[float]) -> None:
        await self.left_open(here)
        reaper = self.reaper(here, clock)
        for clock[0] in (0.0, 100.0, 10_000.0):
            await Presence(here.db, REPLICA, "there", "1", dict).beat()
            assert await reaper.round() == 0

    @pytest.mark.trap(48)
    async def test_believes_no_clock_that_jumps(self, here: World, clock: list[float]) -> None:
        await self.left_open(here)
        reaper = self.reaper(here, clock)
        await self.silent_for(here, timedelta(hours=1))  # as far as clocks can tell
        assert await reaper.round() == 0
        clock[0] = 30.0
        assert await reaper.round() == 0
        await Presence(here.db, REPLICA, "there", "1", dict).beat()
        await self.silent_for(here, timedelta(hours=1))
        clock[0] = 61.0
        assert await reaper.round() == 0, "it has given a sign of life since"

    async def test_closes_the_calls_of_one_that_it_has_seen_to_be_silent(self, here: World, clock: list[float]) -> None:
        journal_id = await self.left_open(here)
        reaper = self.reaper(here, clock)
        await self.silent_for(here, timedelta(minutes=11))
        assert await reaper.round() == 0
        clock[0] = 60.0
        assert await reaper.round() == 1
        assert await self.outcome(here) == "unknown"
        [journal] = await here.rows(journals)
        assert journal.id == journal_id
        assert journal.closed_at is not None

    async def test_leaves_what_is_on_its_own_disk_to_whoever_writes_it(self, here: World, clock: list[float]) -> None:
        journal_id = await self.left_open(here)
        async with here.db.writing() as connection:
            await connection.execute(update(journals).values(replica_id="a" * 32))
        assert await self.reaper(here, clock, {journal_id}).round() == 0
        assert await self.reaper(here, clock).round() == 1

    async def test_does_nothing_while_another_has_the_lease(self, here: World, clock: list[float]) -> None:
        await self.left_open(here)
        async with here.db.writing() as connection:
            await connection.execute(update(journals).values(closed_at=NOW))
        other = Lease(here.db, NAME, "b" * 32)
        assert await other.claim(600)
        assert await self.reaper(here, clock).round() == 0
        await other.release()
        assert await self.reaper(here, clock).round() == 1


async def test_an_installation_is_known_by_its_signs_of_life(here: World) -> None:
    presence = Presence(here.db, REPLICA, "host", "1.2", lambda: {"time": 2})
    await presence.beat()
    [first] = await replicas.known(here.db)
    await presence.beat()
    await presence.leave()
    [last] = await replicas.known(here.db)
    assert (last.id, last.name, last.version, last.draining) == (REPLICA, "host", "1.2", True)
    assert last.started_at == first.started_at
    assert -1 < last.silent < 60
    async with here.db.writing() as connection:
        await connection.execute(update(replicas_table).values(seen_at=first.started_at - timedelta(days=8)))
    await replicas.forget(here.db)
    assert await replicas.known(here.db) == []
