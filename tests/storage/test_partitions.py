"""Tables in days: on engines that know them, with rows in them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import insert, inspect, select, text

from storage import days, generations, partitions
from storage.call_filters import CallFilter
from storage.calls import page
from storage.days import DAY
from storage.errors import StorageError
from storage.janitor import Janitor
from storage.metrics import RetentionMetrics
from storage.partitions import TABLES, ahead, drop, outlook, partition, parts_of
from storage.records import Started
from storage.retention import Ages, Terms
from storage.schema import chat_sessions, journals, mcp_servers, server_call_payloads, server_calls
from storage.verification import verify
from tests.support.engines import Engines, made, made_again, params
from tests.support.recording import World, now_us, running, world

DAY_US = 86_400_000_000


@pytest.fixture(params=params("mariadb", "mysql", "postgresql"))
async def here(request: pytest.FixtureRequest, engines: Engines) -> AsyncIterator[World]:
    async with made(engines[request.param], migrated=True) as db:
        yield await world(db)


async def recorded(here: World, *ago: float, **changes: Any) -> list[Started]:
    async with running(here.db, exact="always") as writer:
        return [await here.record(writer, started_us=now_us() - round(one * DAY_US), **changes) for one in ago]


async def cut(here: World) -> None:
    for table in TABLES:
        await partition(here.db, table)


async def parts(here: World) -> list[days.Part]:
    async with here.db.reading() as connection:
        return await parts_of(connection, server_calls)


async def uids(here: World) -> set[str]:
    return {row.call_uid for row in await here.rows()}


def before(age: float) -> datetime:
    return datetime.now(UTC) - age * DAY


async def test_rows_stay_and_calls_go_on_being_recorded(here: World) -> None:
    old = await recorded(here, 3, 2, 0)
    async with running(here.db, exact="always") as writer:
        open_one = here.started()
        await writer.started(open_one)
        await writer.flush()
        await cut(here)
        await writer.finished(here.finished(open_one))
        new = await here.record(writer)
    everything = {call.call_uid for call in (*old, open_one, new)}
    assert await uids(here) == everything
    assert {row.call_uid for row in await here.rows(server_call_payloads)} == everything
    assert [row.outcome for row in await here.rows()] == ["ok"] * 5
    assert len({row.id for row in await here.rows()}) == 5
    assert len((await page(here.db, CallFilter(server="time"), limit=50)).rows) == 5
    assert (await verify(here.db, None)).complete


async def test_there_are_seven_days_ahead_and_a_place_for_what_comes_after_them(here: World) -> None:
    await cut(here)
    found = await parts(here)
    today = days.day_of(datetime.now(UTC))
    assert found[-1].until is None
    assert found[-1].since == today + 8 * DAY
    assert {days.name_of(today + number * DAY) for number in range(1, 8)} <= {part.name for part in found}
    [late] = await recorded(here, -30)
    assert late.call_uid in await uids(here)


async def test_it_is_done_once_however_often_it_is_asked_for(here: World) -> None:
    await recorded(here, 3)
    await cut(here)
    first = await parts(here)
    await cut(here)
    assert await parts(here) == first
    assert await ahead(here.db, server_calls) == 0
    found = await outlook(here.db, server_calls)
    assert (found.parts, found.foreign_keys, found.obstacles) == (len(first), (), ())


async def test_a_call_is_in_the_table_once(here: World) -> None:
    """The ranked upsert finds its row by its key in the day of the call."""
    await cut(here)
    async with running(here.db) as writer:
        call = here.started()
        await writer.started(call)
        await writer.flush()
        await writer.finished(here.finished(call))
    [row] = await here.rows()
    assert (row.outcome, row.record_state) == ("ok", 2)


async def test_days_are_made_that_have_become_too_few(here: World) -> None:
    await cut(here)
    last = (await parts(here))[-2]
    await without(here, last)
    assert await ahead(here.db, server_calls) == 1
    assert (await parts(here))[-2] == last


async def test_rows_that_came_when_there_was_no_day_for_them_are_kept(here: World) -> None:
    await cut(here)
    last = (await parts(here))[-4:-1]
    [late] = await recorded(here, -30)
    await without(here, *last)
    await ahead(here.db, server_calls)
    assert await uids(here) == {late.call_uid}


async def without(here: World, *last: days.Part) -> None:
    """Take the last days away, which are empty."""
    names, rest = ", ".join(part.name for part in last), "PARTITION prest VALUES LESS THAN (MAXVALUE)"
    on_mysql = [f"ALTER TABLE server_calls REORGANIZE PARTITION {names}, prest INTO ({rest})"]
    elsewhere = [f"DROP TABLE server_calls_{part.name}" for part in last]
    async with here.db.writing() as connection:
        for statement in on_mysql if here.db.dialect == "mysql" else elsewhere:
            await connection.exec_driver_sql(statement)


class TestDropping:
    async def test_a_day_goes_with_its_rows_and_everything_adds_up(self, here: World) -> None:
        calls = await recorded(here, 5, 4, 3, 0)
        await cut(here)
        rows = [await drop(here.db, table, before(2), False) for table in TABLES]
        kept = {calls[3].call_uid} if here.db.dialect == "mysql" else {call.call_uid for call in calls}
        assert rows == [0, len(calls) - len(kept)]
        assert await uids(here) == kept
        assert {row.call_uid for row in await here.rows(server_call_payloads)} == kept
        [journal] = await here.rows(journals)
        assert journal.purged == rows[1]
        assert (await verify(here.db, None)).complete

    async def test_what_was_there_before_goes_once_all_of_it_is_due(self, here: World) -> None:
        """PostgreSQL keeps it in one part."""
        await recorded(here, 5, 4)
        await cut(here)
        assert await drop(here.db, server_calls, before(-3), False) == 2
        assert await uids(here) == set()
        assert (await verify(here.db, None)).complete
        assert (await recorded(here, 0, 5))[0].call_uid in await uids(here)
        assert (await verify(here.db, None)).complete

    async def test_a_day_with_a_call_under_way_stays(self, here: World) -> None:
        async with running(here.db) as writer:
            call = here.started(started_us=now_us() - 5 * DAY_US)
            await writer.started(call)
            await writer.flush()
            await cut(here)
            assert await drop(here.db, server_calls, before(-3), False) == 0
            await writer.finished(here.finished(call))
            await writer.flush()
            assert await drop(here.db, server_calls, before(-3), False) == 1

    async def test_a_day_with_another_application_s_call_stays_unless_they_are_named(self, here: World) -> None:
        await recorded(here, 5)
        copied = ["server_id", "session_id", "message_id", "request_data", "status", "created_at"]
        async with here.db.writing() as connection:
            await connection.execute(insert(server_calls).from_select(copied, select(*server_calls.c[*copied])))
        await cut(here)
        assert await drop(here.db, server_calls, before(-3), False) == 0
        assert await drop(here.db, server_calls, before(-3), True) == 2
        [journal] = await here.rows(journals)
        assert journal.purged == 1

    async def test_a_day_that_cannot_go_is_counted_back(self, here: World) -> None:
        """Somebody reads the table for longer than a change of it may wait."""
        await recorded(here, 5)
        await cut(here)
        async with here.db.reading() as connection:
            await connection.execute(select(server_calls.c.id))
            with pytest.raises(StorageError):
                await drop(here.db, server_calls, before(-3), False)
        [journal] = await here.rows(journals)
        assert (journal.purged, len(await here.rows())) == (0, 1)
        assert (await verify(here.db, None)).complete
        assert await drop(here.db, server_calls, before(-3), False) == 1
        assert (await verify(here.db, None)).complete

    @pytest.mark.parametrize("engine", params("mariadb", "mysql"))
    async def test_rows_counted_by_one_that_was_killed_are_not_counted_again(
        self, engine: str, engines: Engines
    ) -> None:
        """Where it is not one transaction."""
        async with made(engines[engine], migrated=True) as db:
            await self.counted_once(await world(db))

    async def counted_once(self, here: World) -> None:
        await recorded(here, 5)
        await cut(here)
        part = days.gone(await parts(here), before(-3))[1]
        async with here.db.writing() as connection:
            await generations.hold(connection, f"dropping:{part.name}")
            await generations.bump(connection, f"dropping:{part.name}")
            await partitions._counted(connection, part, 1)
        assert await drop(here.db, server_calls, before(-3), False) == 1
        [journal] = await here.rows(journals)
        assert journal.purged == 1
        assert (await verify(here.db, None)).complete


async def test_a_janitor_drops_days_and_removes_the_rest_row_by_row(here: World) -> None:
    async with here.db.writing() as connection:
        added = await connection.execute(insert(mcp_servers).values(name="Docs", slug="docs", host="h", port=1))
    await recorded(here, 20, 9, 0)
    [longer] = await recorded(here, 9, server_id=added.inserted_primary_key[0])
    await cut(here)
    terms = Terms(Ages(8 * DAY, DAY), {"docs": Ages(10 * DAY, DAY)})
    janitor = Janitor(here.db, "1" * 32, lambda: terms, RetentionMetrics(CollectorRegistry()))
    removed = await janitor.round()
    assert (removed.calls, removed.payloads) == (2, 1)
    assert longer.call_uid in await uids(here)
    assert len(await here.rows()) == 2
    assert (await verify(here.db, None)).complete
    assert len(await parts(here)) >= 9
    assert not await janitor.round()


async def test_automatic_sessions_stay_where_nothing_keeps_calls_out_of_one_that_is_gone(here: World) -> None:
    await recorded(here, 100)
    async with here.db.writing() as connection:
        await connection.execute(chat_sessions.update().values(created_at=before(100)))
    await cut(here)
    terms = Terms(Ages(90 * DAY))
    removed = await Janitor(here.db, "1" * 32, lambda: terms, RetentionMetrics(CollectorRegistry())).round()
    assert removed.sessions == (0 if here.db.dialect == "mysql" else 1)


async def test_foreign_keys_stay_where_the_engine_knows_them(here: World) -> None:
    found = await outlook(here.db, server_calls)
    expected = 3 if here.db.dialect == "mysql" else 0
    assert len(found.foreign_keys) == expected
    await cut(here)
    async with here.db.reading() as connection:
        keys = await connection.run_sync(lambda sync: inspect(sync).get_foreign_keys("server_calls"))
    assert len(keys) == 3 - expected


async def test_what_is_in_the_way_is_named(here: World) -> None:
    mine = ["CREATE UNIQUE INDEX mine ON server_calls (trace_id)"]
    if here.db.dialect == "postgresql":
        mine.append("CREATE VIEW told AS SELECT id FROM server_calls")
    async with here.db.writing() as connection:
        for statement in mine:
            await connection.execute(text(statement))
    found = await outlook(here.db, server_calls)
    assert found.obstacles[0] == "mine is unique without created_at: drop it, or add created_at to it"
    assert len(found.obstacles) == len(mine)


async def test_sqlite_has_no_days(engines: Engines) -> None:
    async with made(engines["sqlite"], migrated=True) as db:
        assert await ahead(db, server_calls) == await drop(db, server_calls, before(-3), False) == 0


async def test_two_that_cut_at_once_cut_once(here: World) -> None:
    await recorded(here, 1)
    async with made_again(here.db) as other, asyncio.timeout(60):
        await asyncio.gather(partition(other, server_calls), cut(here))
    assert len(await here.rows()) == 1
    assert (await verify(here.db, None)).complete
