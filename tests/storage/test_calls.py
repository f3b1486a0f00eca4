"""Recorded calls, for whoever wants to see them."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from storage.call_details import find
from storage.call_filters import CallFilter, conditions
from storage.calls import CallRow, Cursor, page, rows_where
from storage.database import Database
from storage.following import PATIENCE, Follower
from storage.records import CallUid, Outcome
from storage.schema import chat_sessions, mcp_servers, server_calls
from storage.traffic import Traffic, recent
from tests.support.engines import Engines, made, params
from tests.support.recording import REQUEST, RESPONSE, World, now_us, running, world

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOON_US = int(NOON.timestamp()) * 1_000_000


@pytest.fixture
async def here(database: Database) -> World:
    return await world(database)


def tools(rows: list[CallRow]) -> list[str | None]:
    return [row.tool for row in rows]


class TestAPage:
    async def test_is_newest_first_and_goes_on_by_key_within_one_second_too(self, here: World) -> None:
        async with running(here.db) as writer:
            for n in range(25):
                await here.record(writer, started_us=NOON_US + n // 10 * 1_000_000, target=f"t{n}")
        seen, before = list[CallRow](), None
        for _ in range(5):
            rows, before = await page(here.db, CallFilter(), limit=6, before=before)
            seen += rows
        assert tools(seen) == [f"t{n}" for n in reversed(range(25))]
        assert before is None

    async def test_stays_right_while_calls_are_added(self, here: World) -> None:
        async with running(here.db) as writer:
            for n in range(4):
                await here.record(writer, started_us=NOON_US, target=f"t{n}")
            await writer.flush()
            first = await page(here.db, CallFilter(), limit=2)
            await here.record(writer, started_us=NOON_US, target="new")
            await writer.flush()
        assert tools((await page(here.db, CallFilter(), limit=9, before=first.more)).rows) == ["t1", "t0"]

    async def test_holds_what_is_asked_for(self, here: World) -> None:
        async with here.db.writing() as connection:
            await connection.execute(insert(mcp_servers).values(id=77, name="Git", slug="git", host="stdio", port=0))
            await connection.execute(insert(mcp_servers).values(id=78, name="Old one", host="h", port=1))
        async with running(here.db) as writer:
            await here.record(writer, target="a")
            await here.record(writer, target="b", server_id=77)
            await here.record(writer, target="c", server_id=78, caller=here.bob)
            await here.record(writer, target="d", end={"outcome": Outcome.TIMEOUT})
            await writer.started(here.started(target="e"))
        for asked, expected in [
            ({}, "edcba"),
            ({"server": "git"}, "b"),
            ({"server": "Git"}, ""),
            ({"server": "Old one"}, "c"),
            ({"tool": "b"}, "b"),
            ({"outcome": "ok"}, "cba"),
            ({"outcome": "timeout"}, "d"),
            ({"outcome": "in_progress"}, "e"),
            ({"user": "bob"}, "c"),
            ({"user": "bob", "server": "git"}, ""),
            ({"user_id": here.bob.user_id}, "c"),
        ]:
            assert "".join(map(str, tools((await page(here.db, CallFilter(**asked), limit=9)).rows))) == expected, asked

    async def test_holds_what_is_searched_for(self, here: World) -> None:
        async with running(here.db) as writer:
            first = await here.record(
                writer, target="a", end={"outcome": Outcome.INPUT_REQUIRED, "total_us": 2_000_000}
            )
            await here.record(writer, target="b", operation_uid=first.operation_uid, round=1, trace_id="ab" * 16)
            await here.record(writer, target="c", end={"error_message": "Connection RESET by 100% of peers"})
            await here.record(writer, target="d", end={"reason": "connection_lost", "total_us": 250_000})
            await here.record(writer, target="e", end={"error_message": "100 of them"})
        sessions = {row.target: row.session_id for row in await here.rows()}
        for asked, expected in [
            ({"trace_id": "ab" * 16}, "b"),
            ({"trace_id": "cd" * 16}, ""),
            ({"operation_uid": first.operation_uid}, "ba"),
            ({"min_ms": 250}, "da"),
            ({"min_ms": 250.001}, "a"),
            ({"error": "connection"}, "dc"),
            ({"error": "reset BY"}, "c"),
            ({"error": "100%"}, "c"),
            ({"error": "_"}, "d"),
            ({"error": "connection", "min_ms": 100, "tool": "d"}, "d"),
            ({"session": sessions["a"]}, "edcba"),
            ({"session": sessions["a"] + 1}, ""),
        ]:
            assert "".join(map(str, tools((await page(here.db, CallFilter(**asked), limit=9)).rows))) == expected, asked

    async def test_of_a_chat_is_found_by_the_chats_public_id(self, here: World) -> None:
        async with running(here.db) as writer:
            await here.record(writer, target="a")
            await here.record(writer, target="b", caller=here.bob)
        async with here.db.reading() as connection:
            chosen = chat_sessions.c.user_id == here.bob.user_id
            public = await connection.scalar(select(chat_sessions.c.public_id).where(chosen))
        assert tools((await page(here.db, CallFilter(session=public), limit=9)).rows) == ["b"]
        assert (await page(here.db, CallFilter(session="0" * 32), limit=9)).rows == []

    @pytest.mark.parametrize("oldest_first", [False, True])
    async def test_that_is_searched_for_is_looked_for_in_windows_and_misses_nothing(
        self, here: World, oldest_first: bool
    ) -> None:
        async with running(here.db) as writer:
            for n in range(60):
                slow = n % 11 == 0
                await here.record(
                    writer, started_us=NOON_US + n // 7 * 1_000_000, target=str(n), end={"total_us": slow * 9_000}
                )
        seen, pages, place = list[str | None](), 0, None
        while True:
            rows, place = await page(
                here.db, CallFilter(min_ms=9), limit=2, before=place, oldest_first=oldest_first, window=8
            )
            seen, pages = seen + tools(rows), pages + 1
            if place is None:
                break
        assert seen == [str(n) for n in range(0, 60, 11)][:: 1 if oldest_first else -1]
        assert pages >= 60 / 8

    async def test_goes_the_other_way_round_too(self, here: World) -> None:
        async with running(here.db) as writer:
            for n in range(7):
                await here.record(writer, started_us=NOON_US + n // 3 * 1_000_000, target=str(n))
        first = await page(here.db, CallFilter(), limit=4, oldest_first=True)
        last = await page(here.db, CallFilter(), limit=4, before=first.more, oldest_first=True)
        assert ("".join(map(str, tools(first.rows + last.rows))), last.more) == ("0123456", None)

    @pytest.mark.parametrize(
        ("asked", "index"),
        [
            ({}, "ix_server_calls_created_at_id"),
            ({"server": "time"}, "ix_server_calls_server_id_created_at"),
            ({"user": "alice"}, "ix_server_calls_user_id_created_at"),
            ({"tool": "convert"}, "ix_server_calls_target_created_at"),
            ({"outcome": "timeout"}, "ix_server_calls_outcome_created_at"),
            ({"outcome": "in_progress"}, "ix_server_calls_record_state_created_at"),
            ({"session": 7}, "ix_server_calls_session_id_created_at"),
        ],
    )
    async def test_reads_from_its_index_no_more_than_it_shows(
        self, engines: Engines, asked: dict[str, str], index: str
    ) -> None:
        calls = server_calls.c
        async with made(engines["sqlite"], migrated=True) as db:
            await world(db)
            async with db.reading() as connection:
                query = rows_where(*await conditions(connection, CallFilter(**asked)))
                words = query.order_by(calls.created_at.desc(), calls.id.desc()).compile(
                    connection.sync_engine, compile_kwargs={"literal_binds": True}
                )
                steps = [row[3] for row in await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {words}")]
        assert index in steps[0]
        assert not any("FOR ORDER BY" in step and "LAST TERM" not in step for step in steps), steps

    @pytest.mark.parametrize(
        ("asked", "index"),
        [
            ({"tool": "never"}, "ix_server_calls_target_created_at"),
            ({"outcome": "timeout"}, "ix_server_calls_outcome_created_at"),
            ({"session": 999}, "ix_server_calls_session_id"),
        ],
    )
    @pytest.mark.parametrize("name", params())
    async def test_that_is_empty_is_known_to_be_without_looking_at_every_call(
        self, engines: Engines, name: str, asked: dict[str, str], index: str
    ) -> None:
        async with made(engines[name], migrated=True) as db:
            here = await world(db)
            async with running(db, batch_rows=1_000) as writer:
                for n in range(3_000):
                    await here.record(writer, started_us=NOON_US + n * 10_000, target=f"t{n % 20}")
            plan = await _plan(db, CallFilter(**asked))
            assert (await page(db, CallFilter(**asked), limit=20)).rows == []
        assert index in plan
        assert "filesort" not in plan

    async def test_is_bounded_by_time_to_the_microsecond(self, here: World) -> None:
        async with running(here.db) as writer:
            for n, offset in enumerate((-1, 0, 499_999, 500_000, 1_000_000)):
                await here.record(writer, started_us=NOON_US + offset, target=str(n))
        half = NOON + timedelta(milliseconds=500)
        for asked, expected in [
            ({"since": NOON}, "4321"),
            ({"until": NOON}, "0"),
            ({"since": half}, "43"),
            ({"until": half}, "210"),
            ({"since": NOON, "until": half}, "21"),
        ]:
            assert "".join(map(str, tools((await page(here.db, CallFilter(**asked), limit=9)).rows))) == expected, asked

    async def test_shows_calls_of_another_back_end_by_their_status(self, here: World) -> None:
        async with running(here.db) as writer:
            ours = await here.record(writer)
        columns = ["server_id", "session_id", "message_id", "request_data", "status", "response_time"]
        async with here.db.writing() as connection:
            await connection.execute(
                insert(server_calls).from_select(columns, select(*(server_calls.c[n] for n in columns)))
            )
            await connection.execute(
                update(server_calls).where(server_calls.c.call_uid.is_(None)).values(response_time=12.5)
            )
        theirs = next(row for row in (await page(here.db, CallFilter(), limit=5)).rows if row.call_uid != ours.call_uid)
        assert (theirs.call_uid, theirs.outcome, theirs.status, theirs.response_ms) == (None, None, "success", 12.5)

    async def test_row_says_everything_in_words(self, here: World) -> None:
        async with running(here.db) as writer:
            call = await here.record(
                writer,
                end={"outcome": Outcome.UPSTREAM_ERROR, "reason": "status_503", "error_message": "no", "attempts": 2},
            )
        [row] = (await page(here.db, CallFilter(), limit=1)).rows
        told = asdict(row)
        for name in ("id", "created_at", "started_at", "finished_at", "session_id", "message_id"):
            assert told.pop(name)
        assert told == {
            "call_uid": call.call_uid,
            "server": "time",
            "method": "tools/call",
            "tool": "get_current_time",
            "status": "failed",
            "outcome": "upstream_error",
            "reason": "status_503",
            "error_message": "no",
            "response_ms": 1.5,
            "upstream_ms": 1.0,
            "key_name": "alice's",
            "user": "alice",
            "link": "auto",
            "client_name": "tester",
            "client_version": "1",
            "client_era": "modern",
            "server_era": "legacy",
            "operation_uid": call.call_uid,
            "round": 0,
            "attempts": 2,
            "trace_id": None,
            "request_bytes": len(REQUEST),
            "response_bytes": len(RESPONSE),
        }


class TestAPlace:
    @given(st.integers(0, 2**32 - 1), st.integers(0, 2**63 - 1))
    def test_comes_back_from_its_token(self, seconds: int, id_: int) -> None:
        place = Cursor(datetime.fromtimestamp(seconds, UTC), id_)
        assert Cursor.parse(place.token) == place
        assert len(place.token) == 16

    @pytest.mark.parametrize("token", ["", "x", "A" * 15, "A" * 17, "A" * 20, "é" * 16, "AAAA AAAAAAAAAAA", "=" * 16])
    def test_is_not_read_from_anything_else(self, token: str) -> None:
        with pytest.raises(ValueError, match="is no place in a list of calls"):
            Cursor.parse(token)


class TestOneCall:
    async def test_is_found_whole(self, here: World) -> None:
        async with running(here.db, exact="always") as writer:
            call = await here.record(writer)
        found = await find(here.db, call.call_uid)
        assert found is not None
        assert (json.loads(found.request_data), json.loads(found.response_data or "")) == (
            json.loads(REQUEST),
            json.loads(RESPONSE),
        )
        assert (found.request_body, found.response_body) == (REQUEST, RESPONSE)
        assert found.row.cursor == Cursor(found.row.created_at, found.row.id)

    async def test_is_not_found_when_there_is_none(self, here: World) -> None:
        assert await find(here.db, CallUid("0" * 32)) is None

    async def test_is_not_found_for_another_user(self, here: World) -> None:
        async with running(here.db) as writer:
            call = await here.record(writer)
        assert await find(here.db, call.call_uid, user_id=here.alice.user_id) is not None
        assert await find(here.db, call.call_uid, user_id=here.bob.user_id) is None


class Clock:
    """Time that stands until it is told to move."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class TestFollowing:
    async def test_tells_each_call_once_when_it_has_ended(self, here: World) -> None:
        async with running(here.db) as writer:
            await here.record(writer, target="before")
            open_before = here.started(target="open before")
            await writer.started(open_before)
            await writer.flush()
            follower = Follower(here.db, CallFilter())
            await follower.open()
            assert await follower.poll() == []
            await here.record(writer, target="new")
            open_after = here.started(target="open after")
            await writer.started(open_after)
            await writer.flush()
            assert tools(await follower.poll()) == ["new"]
            await writer.finished(here.finished(open_before))
            await writer.finished(here.finished(open_after))
            await writer.flush()
            assert tools(await follower.poll()) == ["open before", "open after"]
            assert await follower.poll() == []

    async def test_filters_by_how_a_call_ended_and_not_by_how_it_stood(self, here: World) -> None:
        async with running(here.db) as writer:
            follower = Follower(here.db, CallFilter(outcome="timeout"))
            under_way = Follower(here.db, CallFilter(outcome="in_progress"))
            await follower.open()
            await under_way.open()
            slow, fine = here.started(target="slow"), here.started(target="fine")
            await writer.started(slow)
            await writer.started(fine)
            await writer.flush()
            assert await follower.poll() == []
            assert tools(await under_way.poll()) == ["slow", "fine"]
            await writer.finished(here.finished(slow, outcome=Outcome.TIMEOUT))
            await writer.finished(here.finished(fine))
            await writer.flush()
            assert tools(await follower.poll()) == ["slow"]
            assert await under_way.poll() == []

    async def test_misses_no_row_whose_transaction_commits_after_a_later_one(self, here: World) -> None:
        """Ids are handed out at the insert: the lower one may become visible last."""
        clock = Clock()
        async with running(here.db) as writer:
            for n in (1, 2):
                await here.record(writer, started_us=NOON_US, target=f"t{n}")
        early, late = await here.rows()
        async with here.db.writing() as connection:
            await connection.execute(server_calls.delete())
        follower = Follower(here.db, CallFilter(), clock)
        await follower.open()
        await _insert(here, late._mapping)
        assert tools(await follower.poll()) == ["t2"]
        clock.now += PATIENCE
        await _insert(here, early._mapping)
        assert tools(await follower.poll()) == ["t1"]

    async def test_tells_the_end_of_a_call_however_many_others_never_end(self, here: World) -> None:
        clock = Clock()
        async with running(here.db) as writer:
            for _ in range(1_100):
                await writer.started(here.started())
            last = here.started(target="last")
            await writer.started(last)
            await writer.flush()
            follower = Follower(here.db, CallFilter(), clock)
            await follower.open()
            for _ in range(3):
                clock.now += PATIENCE
                assert await follower.poll() == []
            await writer.finished(here.finished(last))
            await writer.flush()
            assert tools(await follower.poll()) == ["last"]

    async def test_forgets_what_it_has_told_after_a_while(self, here: World) -> None:
        clock = Clock()
        follower = Follower(here.db, CallFilter(), clock)
        await follower.open()
        async with running(here.db) as writer:
            for _ in range(30):
                await here.record(writer)
                await writer.flush()
                clock.now += 1
                assert len(await follower.poll()) == 1
        assert len(follower._seen) <= PATIENCE + 2


class TestRecentTraffic:
    async def test_counts_what_ended_within_five_minutes_by_server_and_outcome(self, here: World) -> None:
        ends = [(Outcome.OK, 10_000), (Outcome.OK, 30_000), (Outcome.TOOL_ERROR, 20_000), (Outcome.TIMEOUT, 900_000)]
        async with running(here.db) as writer:
            for outcome, spent in [*ends, (Outcome.CANCELLED, 5), (Outcome.REFUSED, 0)]:
                await here.record(writer, end={"outcome": outcome, "total_us": spent})
            old = now_us() - 301_000_000
            await here.record(writer, started_us=old, end={"outcome": Outcome.UPSTREAM_ERROR})
            await here.record(writer, started_us=old, end={"finished_us": now_us(), "total_us": 20_000})
            await writer.started(here.started())
        found = await recent(here.db)
        assert found == await recent(here.db, here.server_id)
        traffic = found[here.server_id]
        assert (traffic.counted, traffic.successes, traffic.success_rate) == (5, 4, 0.8)
        assert traffic.mean_ms == 20.0
        assert traffic.calls[Outcome.CANCELLED] == traffic.calls[Outcome.REFUSED] == 1
        assert traffic.concurrency == pytest.approx(980_005 / 300e6)

    async def test_of_nothing_says_nothing(self, here: World) -> None:
        assert await recent(here.db) == {}
        nothing = Traffic()
        assert (nothing.success_rate, nothing.mean_ms, nothing.counted, nothing.concurrency) == (None, None, 0, 0)


async def _insert(here: World, row: Any) -> None:
    async with here.db.writing() as connection:
        await connection.execute(insert(server_calls).values(**row))


async def _plan(db: Database, wanted: CallFilter) -> str:
    """How the engine would find the newest twenty calls."""
    calls = server_calls.c
    async with db.writing() as connection:
        if db.dialect == "postgresql":
            await connection.exec_driver_sql("ANALYZE server_calls")
        query = rows_where(*await conditions(connection, wanted))
        query = query.order_by(calls.created_at.desc(), calls.id.desc()).limit(20)
        words = query.compile(connection.sync_engine, compile_kwargs={"literal_binds": True})
        explain = "EXPLAIN QUERY PLAN" if db.dialect == "sqlite" else "EXPLAIN"
        return "\n".join(str(tuple(row)) for row in await connection.exec_driver_sql(f"{explain} {words}"))


@pytest.mark.parametrize("oldest_first", [False, True])
async def test_pages_of_what_most_calls_are_go_on_as_one_list(database: Database, oldest_first: bool) -> None:
    """MySQL looks nearby first; what it finds there, and what it has to look for further away, is in order."""
    here = await world(database)
    async with running(here.db) as writer:
        for number in range(60):
            rare = {"outcome": Outcome.TIMEOUT} if number in (3, 31, 58) else {}
            await here.record(writer, started_us=now_us() - (60 - number) * 400_000, end=rare)
    for outcome, calls, limit in (("ok", 57, 4), ("ok", 57, 10), ("timeout", 3, 1)):
        wanted, seen, before = CallFilter(outcome=outcome), list[int](), None
        for _ in range(20):
            found = await page(here.db, wanted, limit=limit, before=before, oldest_first=oldest_first, window=10)
            seen += [row.id for row in found.rows]
            if (before := found.more) is None:
                break
        assert len(seen) == len(set(seen)) == calls
        assert seen == sorted(seen, reverse=not oldest_first)
