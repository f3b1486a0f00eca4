"""What is due goes, and nothing else; and whoever writes meanwhile is not held up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import func, insert, select, update

from storage import purge as purging
from storage.bulk import ROW_BYTES, bulk
from storage.database import Database
from storage.janitor import NAME, Janitor
from storage.leases import Lease
from storage.metrics import RetentionMetrics
from storage.purge import Purge, Removed
from storage.records import Started
from storage.retention import Ages, Terms
from storage.schema import (
    api_calls,
    call_tallies,
    chat_messages,
    chat_sessions,
    files,
    journals,
    mcp_servers,
    server_call_payloads,
    server_calls,
    server_transitions,
)
from storage.tasks import Tasks
from storage.verification import verify
from tests.support.engines import made_again
from tests.support.recording import World, now_us, running, world

DAY = timedelta(days=1)
DAY_US = 86_400_000_000
ROWS = 3_000


@pytest.fixture
async def here(database: Database) -> World:
    return await world(database)


async def always() -> bool:
    return True


def ago(days: float) -> int:
    return now_us() - round(days * DAY_US)


async def purged(here: World, terms: Terms) -> Removed:
    return await Purge(here.db, terms, always).run()


async def left(here: World) -> set[str | None]:
    return {row.call_uid for row in await here.rows()}


async def recorded(here: World, *days: float, **changes: Any) -> list[Started]:
    """Calls that began so many days ago."""
    async with running(here.db, exact="always") as writer:
        return [await here.record(writer, started_us=ago(one), **changes) for one in days]


class TestByAge:
    async def test_old_calls_go_with_their_payloads_and_everything_adds_up(self, here: World) -> None:
        calls = await recorded(here, 100, 91, 89, 0)
        assert len(await here.rows(server_call_payloads)) == 8
        assert await Purge(here.db, Terms(Ages(90 * DAY)), always).due() == Removed(calls=2)
        removed = await purged(here, Terms(Ages(90 * DAY)))
        assert (removed.calls, removed.payloads) == (2, 0)
        assert await left(here) == {calls[2].call_uid, calls[3].call_uid}
        assert {row.call_uid for row in await here.rows(server_call_payloads)} == await left(here)
        [journal] = await here.rows(journals)
        assert journal.purged == 2
        assert sum(row.calls for row in await here.rows(call_tallies)) == 4
        assert (await verify(here.db, None)).complete
        assert not await purged(here, Terms(Ages(90 * DAY)))

    async def test_payloads_go_sooner_and_their_rows_stay(self, here: World) -> None:
        old, young = await recorded(here, 15, 13)
        before = await here.row(old.call_uid)
        terms = Terms(Ages(90 * DAY, 14 * DAY))
        assert await Purge(here.db, terms, always).due() == Removed(payloads=1)
        assert (await purged(here, terms)).payloads == 1
        row = await here.row(old.call_uid)
        assert row.request_data == row.response_data == '{"$omitted":"retention"}'
        assert (row.outcome, row.request_bytes, row.updated_at) == ("ok", before.request_bytes, before.updated_at)
        assert {row.call_uid for row in await here.rows(server_call_payloads)} == {young.call_uid}
        assert "$omitted" not in (await here.row(young.call_uid)).request_data
        assert (await purged(here, terms)).payloads == 0, "it is not done twice"
        assert (await verify(here.db, None)).complete

    async def test_payloads_that_come_of_age_later_go_later(self, here: World) -> None:
        await recorded(here, 15, 13, 11)
        for age, calls in ((14, 1), (12, 1), (10, 1), (9, 0)):
            assert (await purged(here, Terms(Ages(None, age * DAY)))).payloads == calls

    async def test_an_answer_that_never_was_stays_nothing(self, here: World) -> None:
        [call] = await recorded(here, 15, end={"response": None})
        await purged(here, Terms(Ages(None, 14 * DAY)))
        assert (await here.row(call.call_uid)).response_data is None

    async def test_a_server_has_its_own_ages(self, here: World) -> None:
        async with here.db.writing() as connection:
            added = await connection.execute(insert(mcp_servers).values(name="Docs", slug="docs", host="h", port=1))
        docs = added.inserted_primary_key[0]
        [kept] = await recorded(here, 100, server_id=docs)
        [gone] = await recorded(here, 100)
        await purged(here, Terms(Ages(90 * DAY), {"docs": Ages(None)}))
        assert await left(here) == {kept.call_uid}
        assert gone.call_uid not in await left(here)

    async def test_a_call_under_way_stays_however_old(self, here: World) -> None:
        async with running(here.db) as writer:
            call = here.started(started_us=ago(100))
            await writer.started(call)
            await writer.flush()
            removed = await purged(here, Terms(Ages(DAY, DAY / 2), size=1))
            assert not removed
            await writer.finished(here.finished(call))
        assert (await here.row(call.call_uid)).outcome == "ok"

    async def test_what_another_application_wrote_stays_unless_it_is_named(self, here: World) -> None:
        [call] = await recorded(here, 100)
        copied = ["server_id", "session_id", "message_id", "request_data", "status", "created_at"]
        async with here.db.writing() as connection:
            await connection.execute(insert(server_calls).from_select(copied, select(*server_calls.c[*copied])))
        await purged(here, Terms(Ages(DAY)))
        assert await left(here) == {None}
        removed = await purged(here, Terms(Ages(DAY), others=True))
        assert (removed.calls, await left(here)) == (1, set())
        assert call.call_uid
        [journal] = await here.rows(journals)
        assert journal.purged == 1

    async def test_history_of_servers_goes(self, here: World) -> None:
        now = datetime.now(UTC)
        rows = [
            {
                "server_id": here.server_id,
                "version": version,
                "at": now - version * DAY,
                "from_state": "up",
                "to_state": "down",
                "reason": "r",
                "replica_id": "0" * 32,
                "lease_token": 0,
            }
            for version in range(1, 301)
        ]
        async with here.db.writing() as connection:
            await connection.execute(insert(server_transitions), rows)
        terms = Terms(transitions=30 * DAY + DAY / 2)
        assert (await Purge(here.db, terms, always).due()).transitions == 270
        assert (await purged(here, terms)).transitions == 270
        assert [row.version for row in await here.rows(server_transitions)] == list(range(1, 31))


class TestSessions:
    """Automatic ones go once they are empty; what a chat back end has made never does."""

    async def aged(self, here: World, days: int = 100) -> None:
        async with here.db.writing() as connection:
            await connection.execute(update(chat_sessions).values(created_at=datetime.now(UTC) - days * DAY))

    async def test_an_empty_automatic_session_goes_with_its_anchor(self, here: World) -> None:
        await recorded(here, 100)
        await self.aged(here)
        assert (await purged(here, Terms(Ages(90 * DAY)))).sessions == 1
        assert await here.rows(chat_sessions) == await here.rows(chat_messages) == []
        [call] = await recorded(here, 0)
        assert (await here.row(call.call_uid)).link == "auto"

    async def test_a_session_with_a_call_in_it_stays(self, here: World) -> None:
        await recorded(here, 100, 89, auto_session="one")
        await self.aged(here)
        removed = await purged(here, Terms(Ages(90 * DAY)))
        assert (removed.calls, removed.sessions, len(await here.rows(chat_sessions))) == (1, 0, 1)

    async def test_an_empty_session_goes_while_others_have_calls(self, here: World) -> None:
        await recorded(here, 100, auto_session="one")
        await recorded(here, 1, auto_session="two")
        await self.aged(here)
        removed = await purged(here, Terms(Ages(90 * DAY)))
        assert (removed.calls, removed.sessions) == (1, 1)
        assert len(await here.rows(chat_sessions)) == len(await here.rows(chat_messages)) == 1

    async def test_one_whose_anchor_a_file_or_a_model_s_call_refers_to_stays(self, here: World) -> None:
        await recorded(here, 100, auto_session="one")
        await recorded(here, 100, auto_session="two")
        first, second = await here.rows(chat_messages)
        now, user = datetime.now(UTC), here.alice.user_id
        file = {"filename": "f", "file_path": "p", "file_type": "t", "file_size": 1, "public_id": "1" * 32}
        async with here.db.writing() as connection:
            refers = {"message_id": first.id, "user_id": user, "created_at": now}
            await connection.execute(insert(files).values(**refers, **file))
            refers = {"message_id": second.id, "user_id": user, "created_at": now}
            await connection.execute(insert(api_calls).values(**refers, model_name="m", api_endpoint="e"))
        await self.aged(here)
        assert await purged(here, Terms(Ages(90 * DAY))) == Removed(calls=2)

    async def test_one_of_today_stays(self, here: World) -> None:
        await recorded(here, 1)
        removed = await purged(here, Terms(Ages(DAY / 24)))
        assert (removed.calls, removed.sessions, len(await here.rows(chat_sessions))) == (1, 0, 1)

    async def test_one_in_which_somebody_has_written_stays(self, here: World) -> None:
        await recorded(here, 100)
        [session] = await here.rows(chat_sessions)
        async with here.db.writing() as connection:
            said = {"session_id": session.id, "message_type": "user", "content": "hello"}
            await connection.execute(insert(chat_messages).values(**said))
        await self.aged(here)
        assert (await purged(here, Terms(Ages(90 * DAY)))).sessions == 0
        assert len(await here.rows(chat_messages)) == 2

    async def test_those_of_chat_back_ends_stay_however_empty(self, here: World) -> None:
        async with here.db.writing() as connection:
            await connection.execute(insert(chat_sessions).values(title="mine", user_id=here.alice.user_id))
        await self.aged(here)
        assert not await purged(here, Terms(Ages(DAY), size=1, others=True))
        assert len(await here.rows(chat_sessions)) == 1

    async def test_a_writer_that_remembers_one_that_is_gone_finds_another(self, here: World) -> None:
        async with running(here.db) as writer:
            await here.record(writer, started_us=ago(100), auto_session="one")
            await writer.flush()
            await self.aged(here)
            assert (await purged(here, Terms(Ages(90 * DAY)))).sessions == 1
            call = await here.record(writer, auto_session="one")
            await writer.flush()
        row = await here.row(call.call_uid)
        assert row.session_id in {session.id for session in await here.rows(chat_sessions)}
        assert (await verify(here.db, None)).complete


class TestBySize:
    async def test_the_oldest_go_until_the_rest_fits(self, here: World) -> None:
        calls = await recorded(here, *range(40, 0, -1))
        async with here.db.reading() as connection:
            before = await bulk(connection, here.db.dialect)
        assert before.calls == 40
        assert ROW_BYTES < before.bytes_each < 2 * ROW_BYTES
        terms = Terms(size=round(before.bytes_each * 10))
        assert (await Purge(here.db, terms, always).due()).calls == 30
        assert (await purged(here, terms)).calls == 30
        assert await left(here) == {call.call_uid for call in calls[30:]}
        assert not await purged(here, terms), "what is small enough stays"
        assert (await verify(here.db, None)).complete

    async def test_what_is_younger_than_an_hour_stays_however_little_room_there_is(self, here: World) -> None:
        old, young = await recorded(here, 0.05, 0.03)
        await purged(here, Terms(size=1))
        assert await left(here) == {young.call_uid}
        assert old.call_uid

    async def test_nothing_takes_nothing(self, here: World) -> None:
        async with here.db.reading() as connection:
            assert (await bulk(connection, here.db.dialect)).beyond(1) == 0


class TestBesideOthers:
    async def many(self, here: World, rows: int = ROWS) -> None:
        """Old calls, as a writer would have written them."""
        async with running(here.db) as writer:
            await here.record(writer, started_us=ago(200))
        [one] = [dict(row._mapping) for row in await here.rows()]
        made = [{**one, "call_uid": here.started(started_us=ago(100)).call_uid, "id": None} for _ in range(rows - 1)]
        for number, row in enumerate(made):
            del row["id"]
            row |= {"journal_seq": number + 2, "created_at": one["created_at"] + timedelta(minutes=number)}
        async with here.db.writing() as connection:
            for start in range(0, len(made), 500):
                await connection.execute(insert(server_calls), made[start : start + 500])
            await connection.execute(update(journals).values(started_seq=rows))
            await connection.execute(update(call_tallies).values(calls=rows))

    async def rows(self, here: World) -> int:
        async with here.db.reading() as connection:
            return int(await connection.scalar(select(func.count()).select_from(server_calls)) or 0)

    @pytest.mark.trap(53)
    async def test_a_writer_commits_while_many_rows_go(self, here: World) -> None:
        await self.many(here)
        waits, tasks = list[float](), Tasks("test")
        async with made_again(here.db) as other, running(here.db) as writer:
            removing = tasks.spawn(Purge(other, Terms(Ages(90 * DAY)), always).run(), "purge")
            async with asyncio.timeout(60):
                while not removing.done():
                    begun = monotonic()
                    await here.record(writer)
                    await writer.flush()
                    waits.append(monotonic() - begun)
            await removing
        await tasks.close()
        assert len(waits) >= 5, "calls were written all the while"
        assert sorted(waits)[len(waits) // 2] < 0.5
        assert max(waits) < 2
        assert await self.rows(here) == len(waits)
        assert (await verify(here.db, None)).complete

    @pytest.mark.trap(53)
    async def test_no_transaction_takes_more_rows_than_it_may(self, here: World) -> None:
        await self.many(here)
        sizes, before = list[int](), await self.rows(here)

        async def watched() -> bool:
            nonlocal before
            now = await self.rows(here)
            sizes.append(before - now)
            before = now
            return True

        await Purge(here.db, Terms(Ages(90 * DAY)), watched).run()
        assert sum(sizes) == ROWS
        assert max(sizes) <= 1_000
        assert len(sizes) > 5

    async def test_several_that_remove_the_same_count_each_row_once(self, here: World) -> None:
        await self.many(here)
        async with made_again(here.db) as second, made_again(here.db) as third:
            rounds = (Purge(db, Terms(Ages(90 * DAY)), always).run() for db in (here.db, second, third))
            async with asyncio.timeout(60):
                removed = await asyncio.gather(*rounds)
        assert sum(one.calls for one in removed) == ROWS
        [journal] = await here.rows(journals)
        assert journal.purged == ROWS
        assert (await verify(here.db, None)).complete

    async def test_one_that_is_stopped_leaves_nothing_half_done(self, here: World) -> None:
        await self.many(here)
        steps = iter([True] * 5)

        async def few() -> bool:
            return next(steps, False)

        removed = await Purge(here.db, Terms(Ages(90 * DAY, DAY), transitions=DAY), few).run()
        assert 0 < removed.calls < ROWS
        assert await self.rows(here) == ROWS - removed.calls
        assert (await verify(here.db, None)).complete
        assert (await purged(here, Terms(Ages(None, DAY)))).payloads == ROWS - removed.calls

    async def test_it_goes_by_an_index(self, here: World) -> None:
        for number in range(50):
            await purging_server(here, number)
        await self.many(here)
        calls = server_calls.c
        due = [calls.server_id == here.server_id, calls.created_at < datetime.now(UTC)]
        plan = await explained(here, purging._next(due, purging.Place(datetime.now(UTC) - 150 * DAY, 5)).limit(100))
        assert "created_at" in plan
        assert "SCAN server_calls" not in plan
        assert "Seq Scan" not in plan


class TestAJanitor:
    def janitor(self, here: World, terms: Terms, registry: CollectorRegistry | None = None) -> Janitor:
        return Janitor(here.db, "1" * 32, lambda: terms, RetentionMetrics(registry or CollectorRegistry()))

    async def test_counts_what_it_has_removed(self, here: World) -> None:
        registry = CollectorRegistry()
        await recorded(here, 100, 0)
        assert await self.janitor(here, Terms(Ages(90 * DAY)), registry).round() == Removed(calls=1)
        value = registry.get_sample_value
        assert value("mcp_gateway_retention_removed_total", {"kind": "calls"}) == 1
        assert value("mcp_gateway_retention_last_run_timestamp_seconds") > now_us() / 1e6 - 60
        assert value("mcp_gateway_oldest_call_timestamp_seconds") > now_us() / 1e6 - 60

    async def test_leaves_it_to_whoever_is_at_it(self, here: World) -> None:
        await recorded(here, 100)
        other = Lease(here.db, NAME, "2" * 32)
        assert await other.claim(60)
        janitor = self.janitor(here, Terms(Ages(90 * DAY)))
        assert await janitor.round() is None
        assert len(await here.rows()) == 1
        await other.release()
        assert await janitor.round() == Removed(calls=1)
        assert await other.claim(60), "it lets go when it has done"

    async def test_that_keeps_all_removes_nothing(self, here: World) -> None:
        await recorded(here, 5_000)
        assert not await self.janitor(here, Terms()).round()
        assert len(await here.rows()) == 1


async def purging_server(here: World, number: int) -> None:
    async with here.db.writing() as connection:
        await connection.execute(insert(mcp_servers).values(name=f"s{number}", slug=f"s{number}", host="h", port=1))


async def explained(here: World, query: Any) -> str:
    """The engine's plan, all its words."""
    dialect = {"sqlite": "EXPLAIN QUERY PLAN ", "mysql": "EXPLAIN FORMAT=JSON ", "postgresql": "EXPLAIN "}
    async with here.db.reading() as connection:
        compiled = query.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
        found: Sequence[Any] = (
            await connection.exec_driver_sql(dialect[here.db.dialect] + str(compiled).replace("%", "%%"))
        ).all()
    return " ".join(str(part) for row in found for part in row)
