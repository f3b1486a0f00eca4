"""One recorded call, whole."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, insert, select

from storage.call_details import Chat, beginning, chat_of, details, find, rounds
from storage.call_filters import CallFilter
from storage.calls import CallRow, page
from storage.database import Database
from storage.records import Outcome
from storage.schema import chat_messages, chat_sessions, server_calls
from tests.support.recording import REQUEST, RESPONSE, World, claim, new_uid, running, world

NOON_US = 1_795_348_800_000_000
ASKS = {"outcome": Outcome.INPUT_REQUIRED}


@pytest.fixture
async def here(database: Database) -> World:
    return await world(database)


async def newest(here: World) -> list[CallRow]:
    return (await page(here.db, CallFilter(), limit=99)).rows


class TestMany:
    async def test_come_whole_and_in_the_order_in_which_they_are_asked_for(self, here: World) -> None:
        async with running(here.db, exact="always") as writer:
            for n in range(3):
                await here.record(writer, target=str(n), request=b'{"n":%d}' % n)
        rows = await newest(here)
        found = await details(here.db, rows)
        assert [(call.row, call.request_body, call.response_body) for call in found] == [
            (row, b'{"n":%d}' % n, RESPONSE) for row, n in zip(rows, (2, 1, 0), strict=True)
        ]

    async def test_are_without_those_that_have_gone(self, here: World) -> None:
        async with running(here.db) as writer:
            await here.record(writer, target="stays")
            gone = await here.record(writer, target="gone")
        rows = await newest(here)
        async with here.db.writing() as connection:
            await connection.execute(delete(server_calls).where(server_calls.c.call_uid == gone.call_uid))
        assert [call.row.tool for call in await details(here.db, rows)] == ["stays"]
        assert await details(here.db, []) == []


class TestABeginning:
    async def test_is_that_of_every_uid_that_begins_so(self, here: World) -> None:
        async with running(here.db) as writer:
            calls = sorted([(await here.record(writer, started_us=NOON_US)).call_uid for _ in range(4)])
            other = (await here.record(writer, started_us=NOON_US + 3_600_000_000)).call_uid
        assert [row.call_uid for row in await beginning(here.db, calls[0][:12], 9)] == calls
        assert [row.call_uid for row in await beginning(here.db, calls[0][:12], 2)] == calls[:2]
        assert [row.call_uid for row in await beginning(here.db, other, 9)] == [other]
        assert await beginning(here.db, "f" * 8, 9) == []


class TestRounds:
    async def test_are_told_in_order_from_any_of_them(self, here: World) -> None:
        operation = new_uid(NOON_US)
        async with running(here.db) as writer:
            await here.record(writer, call_uid=operation, operation_uid=operation, started_us=NOON_US, end=ASKS)
            for n in (1, 2):
                at = NOON_US + n * 1_000_000
                end = {} if n == 2 else ASKS
                await here.record(writer, operation_uid=operation, round=n, started_us=at, end=end)
            await here.record(writer, started_us=NOON_US + 1_500_000, target="between")
        for row in await newest(here):
            expected = [0] if row.tool == "between" else [0, 1, 2]
            assert [one.round for one in await rounds(here.db, row)] == expected

    async def test_are_one_where_nobody_went_on(self, here: World) -> None:
        async with running(here.db) as writer:
            await here.record(writer, end=ASKS)
        [row] = await newest(here)
        assert await rounds(here.db, row) == [row]


class TestTheChat:
    async def test_is_the_clients_own_where_it_named_one(self, here: World) -> None:
        async with here.db.writing() as connection:
            session = {"user_id": here.alice.user_id, "title": "Plans", "public_id": "a" * 32}
            session_id = (await connection.execute(insert(chat_sessions).values(session))).inserted_primary_key[0]
            message = {"session_id": session_id, "message_type": "user", "content": "你好" * 200, "public_id": "b" * 32}
            await connection.execute(insert(chat_messages).values(message))
        async with running(here.db) as writer:
            await here.record(writer, claim=claim("a" * 32, "b" * 32))
        [row] = await newest(here)
        assert row.link == "client"
        assert await chat_of(here.db, row) == Chat("a" * 32, "Plans", "chat", "b" * 32, "user", "你好" * 100)

    async def test_is_the_callers_automatic_one_otherwise(self, here: World) -> None:
        async with running(here.db) as writer:
            await here.record(writer)
        [row] = await newest(here)
        assert (await chat_of(here.db, row)).kind == "mcp"


async def test_the_bytes_of_a_call_are_found_by_the_key_of_the_payloads(here: World) -> None:
    async with running(here.db, exact="always") as writer:
        call = await here.record(writer)
    found = await find(here.db, call.call_uid)
    assert found is not None
    assert found.request_body == REQUEST
    async with here.db.reading() as connection:
        assert (await connection.scalar(select(server_calls.c.created_at))) == found.row.created_at
