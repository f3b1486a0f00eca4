"""What is old goes, and nothing else."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import insert, select, update

from storage.database import Database
from storage.leases import Lease
from storage.metrics import StorageMetrics
from storage.purging import NAME, Purging
from storage.retention import Purged, Retention, Rules, Terms
from storage.schema import (
    chat_messages,
    chat_sessions,
    mcp_servers,
    server_call_payloads,
    server_calls,
    server_transitions,
)
from storage.tasks import Tasks
from storage.verification import verify
from tests.support.recording import World, running, world

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
pytestmark = pytest.mark.trap(53)


@pytest.fixture
async def here(database: Database) -> World:
    return await world(database)


def ago(days: float) -> int:
    return int((NOW - days * DAY).timestamp() * 1_000_000)


async def recorded(here: World, *days: float, **changes: Any) -> list[str]:
    """Calls of so many days ago, exact bytes included."""
    async with running(here.db, exact="always") as writer:
        return [(await here.record(writer, started_us=ago(day), **changes)).call_uid for day in days]


async def uids(here: World) -> set[str]:
    return {row.call_uid for row in await here.rows()}


async def test_calls_and_payloads_go_at_their_own_ages_and_verify_adds_up(here: World) -> None:
    new, middle, old = await recorded(here, 1, 20, 100)
    rules = Rules(Terms(calls=90 * DAY, payloads=14 * DAY))
    retention = Retention(here.db, rules, pause=0)
    assert await retention.expected(NOW) == Purged(payloads=4, calls=1)
    assert await retention.purge(NOW) == Purged(payloads=4, calls=1)
    assert await uids(here) == {new, middle}
    assert {row.call_uid for row in await here.rows(server_call_payloads)} == {new}
    assert old not in await uids(here)
    assert (await verify(here.db, None)).complete
    assert await retention.purge(NOW) == Purged()


async def test_a_server_may_have_terms_of_its_own(here: World) -> None:
    async with here.db.writing() as connection:
        added = await connection.execute(insert(mcp_servers).values(name="Git", slug="git", host="stdio", port=0))
    git = added.inserted_primary_key[0]
    kept = await recorded(here, 1, 50)
    short = await recorded(here, 1, 50, server_id=git)
    rules = Rules(Terms(calls=90 * DAY), {"git": Terms(calls=7 * DAY), "unknown": Terms(calls=DAY)})
    assert (await Retention(here.db, rules, pause=0).purge(NOW)).calls == 1
    assert await uids(here) == {*kept, short[0]}


async def test_the_newest_are_kept_where_there_may_be_only_so_many(here: World) -> None:
    calls = await recorded(here, *range(12))
    assert (await Retention(here.db, Rules(most_calls=5), pause=0).purge(NOW)).calls == 7
    assert await uids(here) == set(calls[:5])
    assert (await verify(here.db, None)).complete


async def test_open_calls_and_those_of_another_application_stay(here: World) -> None:
    async with running(here.db) as writer:
        await writer.started(here.started(started_us=ago(500)))
        await here.record(writer, started_us=ago(500))
        await writer.flush()
        async with here.db.writing() as connection:
            copied = ["server_id", "session_id", "message_id", "request_data", "status", "created_at"]
            rows = select(*server_calls.c[*copied]).where(server_calls.c.record_state == 0)
            await connection.execute(insert(server_calls).from_select(copied, rows))
        assert (await Retention(here.db, Rules(Terms(calls=DAY)), pause=0).purge(NOW)).calls == 1
    assert sorted(row.record_state for row in await here.rows()) == [0, 2]


async def test_automatic_sessions_that_nothing_is_left_of_go_and_those_of_people_stay(here: World) -> None:
    await recorded(here, 200)
    async with here.db.writing() as connection:
        await connection.execute(update(chat_sessions).values(created_at=NOW - 200 * DAY))
        people = {"user_id": here.alice.user_id, "title": "of people", "kind": "chat", "created_at": NOW - 300 * DAY}
        await connection.execute(insert(chat_sessions).values(people))
    assert (await Retention(here.db, Rules(Terms(calls=400 * DAY)), pause=0).purge(NOW)).sessions == 0
    assert (await Retention(here.db, Rules(Terms(calls=90 * DAY)), pause=0).purge(NOW)).sessions == 1
    assert [row.title for row in await here.rows(chat_sessions)] == ["of people"]
    assert await here.rows(chat_messages) == []


async def test_the_history_of_servers_has_an_age_as_well(here: World) -> None:
    moves = [
        {
            "server_id": here.server_id,
            "version": version,
            "at": NOW - days * DAY,
            "from_state": "up",
            "to_state": "down",
            "reason": "timeout",
            "replica_id": "0" * 32,
            "lease_token": 0,
        }
        for version, days in ((1, 40), (2, 10))
    ]
    async with here.db.writing() as connection:
        await connection.execute(insert(server_transitions), moves)
    assert (await Retention(here.db, Rules(health=30 * DAY), pause=0).purge(NOW)).transitions == 1
    assert [row.version for row in await here.rows(server_transitions)] == [2]


async def test_a_writer_goes_on_while_many_rows_are_deleted(here: World) -> None:
    async with running(here.db, linger=0.01) as writer:
        for _ in range(3_000):
            await here.record(writer, started_us=ago(100))
        await writer.flush()
        tasks = Tasks("test")
        purging = tasks.spawn(Retention(here.db, Rules(Terms(calls=DAY))).purge(NOW), "purge")
        written = 0
        while not purging.done():
            await here.record(writer, started_us=ago(0))
            async with asyncio.timeout(2):
                await writer.flush()
            written += 1
        assert (await purging).calls == 3_000
    assert written >= 3
    assert len(await here.rows()) == written
    assert (await verify(here.db, None)).complete


async def test_of_several_gateways_one_deletes(here: World) -> None:
    await recorded(here, 100)
    registry = CollectorRegistry()
    rules = Rules(Terms(calls=DAY))
    purging = Purging(here.db, "a" * 32, lambda: rules, lambda: 1.0, StorageMetrics(registry))
    other = Lease(here.db, NAME, "b" * 32)
    assert await other.claim(60)
    assert await purging.round() == Purged()
    await other.release()
    assert (await purging.round()).calls == 1
    assert await other.claim(60), "it is given back"
    assert registry.get_sample_value("mcp_gateway_records_purged_total", {"kind": "call"}) == 1


async def test_two_that_delete_at_once_count_each_row_once(here: World) -> None:
    await recorded(here, *[100] * 300)
    rules = Rules(Terms(calls=DAY))
    done = await asyncio.gather(*(Retention(here.db, rules, pause=0).purge(NOW) for _ in range(2)))
    assert sum(one.calls for one in done) == 300
    assert (await verify(here.db, None)).complete
