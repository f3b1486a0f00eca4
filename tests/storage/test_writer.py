"""The batch writer, from acceptance to rows."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import insert, text, update

from gateway.redact import Redactor
from storage.batch import Rung
from storage.database import Database
from storage.errors import DatabaseContended, RecordsFull
from storage.metrics import REASONS
from storage.records import Outcome, RecordState
from storage.rows import instant
from storage.schema import call_tallies, journals, mcp_servers, server_call_payloads, server_calls, users
from storage.settings import RecordingSettings
from storage.tasks import Tasks
from storage.upserts import ranked
from tests.support.engines import Engines, made, made_again, params
from tests.support.recording import REQUEST, RESPONSE, Flaky, World, new_uid, new_writer, running, until, world


@pytest.fixture
async def here(database: Database) -> World:
    return await world(database)


@pytest.fixture
async def lite(engines: Engines) -> AsyncIterator[World]:
    """On SQLite alone, for what no engine sees."""
    async with made(engines["sqlite"], migrated=True) as db:
        yield await world(db)


@pytest.fixture(params=params("mariadb", "postgresql"))
def server(request: pytest.FixtureRequest) -> str:
    """An engine that is a server."""
    return str(request.param)


class TestARow:
    async def test_of_a_call_that_ended_is_written_once_and_whole(self, here: World) -> None:
        async with running(here.db) as writer:
            call = await here.record(writer)
            await writer.flush()
            row = await here.row(call.call_uid)
        assert (row.status, row.outcome, row.record_state, row.link) == ("success", "ok", 2, "auto")
        assert (json.loads(row.request_data), json.loads(row.response_data)) == (
            json.loads(REQUEST),
            json.loads(RESPONSE),
        )
        assert (row.request_bytes, row.response_bytes) == (len(REQUEST), len(RESPONSE))
        assert (row.response_time, row.total_us, row.upstream_us) == (1.5, 1_500, 1_000)
        assert row.created_at == datetime.fromtimestamp(call.started_us // 1_000_000, UTC)
        assert (row.started_at, row.finished_at) == (instant(call.started_us), instant(call.started_us + 1_500))
        assert (row.method, row.target, row.client_name, row.client_era, row.server_era) == (
            "tools/call", "get_current_time", "tester", "modern", "legacy",
        )  # fmt: skip
        assert (row.user_id, row.server_id) == (here.alice.user_id, here.server_id)
        assert (row.journal_id, row.journal_seq) == (writer.journal_id, 1)

    async def test_of_a_call_under_way_says_so_and_becomes_final_in_place(self, here: World) -> None:
        async with running(here.db) as writer:
            call = here.started()
            await writer.started(call)
            await writer.flush()
            before = await here.row(call.call_uid)
            await writer.finished(here.finished(call, outcome=Outcome.TIMEOUT, reason="idle", error_message="too slow"))
            await writer.flush()
            after = await here.row(call.call_uid)
        assert (before.status, before.outcome, before.record_state) == ("in_progress", None, 0)
        assert (after.status, after.outcome, after.record_state) == ("timeout", "timeout", 2)
        assert (after.reason, after.error_message) == ("idle", "too slow")
        assert after.id == before.id
        assert after.created_at == before.created_at

    async def test_keeps_its_highest_rank_whatever_the_order(self, here: World) -> None:
        async with running(here.db) as writer:
            template = await here.record(writer)
        row = {**(await here.row(template.call_uid))._mapping}
        del row["id"]
        variants: dict[RecordState, dict[str, Any]] = {
            RecordState.OPEN: {"status": "in_progress", "outcome": None, "total_us": None, "reason": None},
            RecordState.RECOVERED: {"status": "failed", "outcome": "unknown", "total_us": None, "reason": "ended"},
            RecordState.FINAL: {"status": "success", "outcome": "ok", "total_us": 7, "reason": None},
        }
        statement = ranked(here.db.dialect, server_calls, ("call_uid", "created_at"), "record_state", frozenset({"id"}))
        for order in itertools.permutations(RecordState):
            row["call_uid"] = new_uid()
            for state in order:
                async with here.db.writing() as connection:
                    await connection.execute(statement, [{**row, "record_state": state.value, **variants[state]}])
            kept = await here.row(row["call_uid"])
            found = (kept.record_state, kept.status, kept.outcome, kept.total_us, kept.reason)
            assert found == (2, "success", "ok", 7, None), order

    async def test_is_visible_a_quarter_of_a_second_after_the_call_ended(self, lite: World) -> None:
        waited = []
        async with running(lite.db, linger=RecordingSettings().linger) as writer, asyncio.timeout(10):
            for number in (1, 2, 3):  # the machine may be busy once
                await lite.record(writer)
                begun = monotonic()
                await until(lambda number=number: lite.has(number))
                waited.append(monotonic() - begun)
        assert min(waited) < 0.25
        assert [row.record_state for row in await lite.rows()] == [RecordState.FINAL] * 3

    @pytest.mark.trap(57)
    async def test_stands_for_each_round_of_a_chain_of_calls_with_its_own_result(self, here: World) -> None:
        first = here.started()
        rounds = [first, *(here.started(operation_uid=first.call_uid, round=n) for n in (1, 2))]
        async with running(here.db) as writer:
            for call in rounds:
                await writer.started(call)
                await writer.finished(here.finished(call, response=b'{"round":%d}' % call.round))
        rows = await here.rows()
        assert [(row.round, json.loads(row.response_data)) for row in rows] == [(n, {"round": n}) for n in range(3)]
        assert {row.operation_uid for row in rows} == {first.call_uid}

    @pytest.mark.trap(55)
    async def test_takes_every_text_that_a_client_may_send(self, here: World) -> None:
        hostile = "\0 😀 \ud800 ' \\ \" -- " + "é" * 400
        async with running(here.db) as writer:
            call = await here.record(
                writer, target=hostile, client_name=hostile, client_version=hostile, end={"error_message": hostile * 60}
            )
        row = await here.row(call.call_uid)
        assert row.target.startswith("� 😀 ? ' \\ \" -- é")
        assert (len(row.target), len(row.client_name), len(row.client_version)) == (255, 100, 50)
        assert 16_000 < len(row.error_message.encode()) <= 16_384

    async def test_keeps_the_second_of_its_uid_without_rounding_it_up(self, here: World) -> None:
        async with running(here.db) as writer:
            late = await here.record(writer, started_us=1_700_000_000_999_999)
        assert (await here.row(late.call_uid)).created_at == datetime.fromtimestamp(1_700_000_000, UTC)


class TestSecrets:
    @pytest.mark.trap(58)
    async def test_are_in_no_column_of_any_table(self, here: World) -> None:
        secrets = ["hunter2", "abcdefghijklmnop1234", "s3cr3t", "dXNlcjpwYXNz"]
        request = (
            b'{"arguments":{"p\\u0061ssword":"hunter2","h":["Bearer abcdefghijklmnop1234"]},"x":"'
            + b"y" * 70_000
            + b'"}'
        )
        response = b'{"text":"{\\"api_key\\": \\"hunter2\\"} https://bob:s3cr3t@h/?token=hunter2"}'
        async with running(here.db, exact="always") as writer:
            await here.record(
                writer,
                request=request,
                target="https://bob:s3cr3t@host/file?token=hunter2",
                end={"response": response, "error_message": "Authorization: Basic dXNlcjpwYXNz was refused"},
            )
        rows = [row for table in (server_calls, server_call_payloads) for row in await here.rows(table)]
        assert len(rows) == 3
        stored = repr([[bytes(v) if isinstance(v, memoryview) else v for v in row] for row in rows])
        assert [secret for secret in secrets if secret in stored] == []
        assert "[redacted]" in stored


class TestPayloads:
    async def test_too_big_for_the_column_are_kept_whole_beside_it_and_capped(self, here: World) -> None:
        request, response = b'"' + b"a" * 100_000 + b'"', b'"' + b"b" * 400_000 + b'"'
        async with running(here.db, payload_bytes=200_000) as writer:
            call = await here.record(writer, request=request, end={"response": response})
        row = await here.row(call.call_uid)
        assert json.loads(row.request_data)["$omitted"] == "size"
        assert json.loads(row.response_data)["bytes"] == len(response) == row.response_bytes
        asked, answered = sorted(await here.rows(server_call_payloads), key=lambda part: part.part)
        assert (bytes(asked.body), asked.total_bytes) == (request, len(request))
        assert (bytes(answered.body), answered.total_bytes) == (response[:200_000], len(response))
        assert (answered.call_uid, answered.created_at) == (call.call_uid, row.created_at)

    async def test_of_an_opening_are_written_once_although_its_end_is_written_later(self, here: World) -> None:
        async with running(here.db, exact="always") as writer:
            call = here.started()
            await writer.started(call)
            await writer.flush()
            await writer.finished(here.finished(call))
        assert [bytes(part.body) for part in await here.rows(server_call_payloads)] == [REQUEST, RESPONSE]


class TestBatches:
    @pytest.mark.trap(51)
    async def test_of_a_burst_hold_all_of_it(self, lite: World) -> None:
        writer = new_writer(lite.db, batch_rows=10, linger=5)
        calls = [lite.started() for _ in range(95)]
        for call in calls:
            await writer.started(call)
        for call in reversed(calls):
            await writer.finished(lite.finished(call))
        assert await writer.close(grace=10) == 0
        assert {(row.call_uid, row.outcome) for row in await lite.rows()} == {(call.call_uid, "ok") for call in calls}
        assert [row.calls for row in await lite.rows(call_tallies)] == [95]

    async def test_hold_so_many_rows_at_most_and_follow_each_other_in_order(self, lite: World) -> None:
        async with running(lite.db, batch_rows=7) as writer:
            calls = [await lite.record(writer) for _ in range(50)]
        assert [row.journal_seq for row in await lite.rows()] == list(range(1, 51))
        assert [row.call_uid for row in await lite.rows()] == [call.call_uid for call in calls]
        [journal] = await lite.rows(journals)
        assert (journal.applied_frame, journal.started_seq, journal.set_aside) == (100, 50, 0)
        assert journal.closed_at is not None

    async def test_are_written_before_the_linger_is_over_when_they_are_full(self, lite: World) -> None:
        async with running(lite.db, linger=5, batch_rows=10) as writer, asyncio.timeout(4):
            for _ in range(10):
                await lite.record(writer)
            await until(lambda: lite.has(10))
            for _ in range(4):
                await lite.record(writer, request=b'"' + b"x" * 300_000 + b'"')
            await until(lambda: lite.has(13))

    async def test_count_exactly_what_they_write(self, here: World) -> None:
        async with running(here.db, batch_rows=3) as writer:
            for outcome, spent in [(Outcome.OK, 10), (Outcome.OK, 20), (Outcome.TIMEOUT, 5)] * 5:
                await here.record(writer, started_us=3_600_000_000, end={"outcome": outcome, "total_us": spent})
        tallies = {(row.outcome, row.calls, row.total_us) for row in await here.rows(call_tallies)}
        assert tallies == {("ok", 10, 150), ("timeout", 5, 25)}
        assert {row.hour for row in await here.rows(call_tallies)} == {datetime(1970, 1, 1, 1, tzinfo=UTC)}

    async def test_are_applied_once_although_the_answer_to_their_commit_is_lost(self, here: World) -> None:
        writer = new_writer(here.db)
        await here.record(writer)
        batch = writer.backlog.take()
        await writer._ledger.commit(batch)
        await writer._ledger.commit(batch)
        assert [row.calls for row in await here.rows(call_tallies)] == [1]
        assert len(await here.rows()) == 1

    async def test_of_two_writers_do_not_disturb_each_other(self, here: World) -> None:
        async with running(here.db, batch_rows=10) as one, running(here.db, batch_rows=10) as two:
            for n in range(100):
                for writer in (one, two):
                    await here.record(writer, auto_session=str(n % 7))
                await asyncio.sleep(0)
        rows = await here.rows()
        assert [row.outcome for row in rows] == ["ok"] * 200
        assert len({row.session_id for row in rows}) == 7
        assert sorted(row.calls for row in await here.rows(call_tallies)) == [100, 100]


class TestPoison:
    async def test_in_a_number_stops_no_other_record(self, lite: World) -> None:
        async with running(lite.db) as writer:
            await lite.record(writer, request=b'{"arguments":{"tiny":1e-99999999999999999999}}')
            await lite.record(writer)
        assert [row.outcome for row in await lite.rows()] == ["ok", "ok"]

    async def test_in_a_redactor_leaves_the_payload_out_and_stops_no_record(self, lite: World) -> None:
        class Fragile(Redactor):
            def redact(self, text: bytes) -> bytes:
                raise ZeroDivisionError

        writer = new_writer(lite.db, redaction=Fragile())
        await lite.record(writer)
        assert await writer.close() == 0
        assert [json.loads(row.request_data)["$omitted"] for row in await lite.rows()] == ["unredacted"]

    async def test_in_one_row_costs_that_row_alone(self, here: World, caplog: pytest.LogCaptureFixture) -> None:
        registry = CollectorRegistry()
        async with running(here.db, registry=registry) as writer:
            good = [await here.record(writer) for _ in range(3)]
            bad = await here.record(writer, server_id=987_654)
            good += [await here.record(writer) for _ in range(3)]
        assert [row.call_uid for row in await here.rows()] == [call.call_uid for call in good]
        assert (bad.call_uid in caplog.text) is True
        assert "Shanghai" not in caplog.text
        assert registry.get_sample_value("mcp_gateway_records_set_aside_total") == 1
        assert registry.get_sample_value("mcp_gateway_records_written_total") == 6
        assert [row.set_aside for row in await here.rows(journals)] == [1]
        assert [row.calls for row in await here.rows(call_tallies)] == [6]

    async def test_in_an_opening_is_set_aside_once_and_its_end_is_not_tried(self, here: World) -> None:
        registry = CollectorRegistry()
        async with running(here.db, registry=registry) as writer:
            bad = here.started(server_id=987_654)
            await writer.started(bad)
            await writer.flush()
            await writer.finished(here.finished(bad))
        assert await here.rows() == []
        assert writer.backlog.pending_bytes == writer.backlog.pending == 0
        assert registry.get_sample_value("mcp_gateway_records_set_aside_total") == 1

    async def test_in_a_link_that_was_remembered_is_mended_by_a_fresh_one(self, here: World) -> None:
        async with running(here.db) as writer:
            await here.record(writer)
            await writer.flush()
            async with here.db.writing() as connection:
                for table in ("server_calls", "chat_messages", "chat_sessions"):
                    await connection.execute(text(f"DELETE FROM {table}"))
            call = await here.record(writer)
        assert [row.call_uid for row in await here.rows()] == [call.call_uid]

    async def test_in_the_schema_costs_no_row_and_waits_until_it_is_mended(
        self, here: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        registry = CollectorRegistry()
        async with running(here.db, registry=registry) as writer:
            await _rename(here.db, "call_tallies", "elsewhere")
            for _ in range(3):
                await here.record(writer)
            async with asyncio.timeout(10):
                await until(lambda: truth("no row can be written" in (writer.trouble or "")))
            assert (writer.backlog.pending, await here.rows()) == (3, [])
            await _rename(here.db, "elsewhere", "call_tallies")
            await writer.flush()
            await _rename(here.db, "chat_sessions", "elsewhere")
            await here.record(writer, auto_session="new")
            async with asyncio.timeout(10):
                await until(lambda: truth("no row can be written" in (writer.trouble or "")))
            await _rename(here.db, "elsewhere", "chat_sessions")
        assert await here.has(4)
        assert registry.get_sample_value("mcp_gateway_records_set_aside_total") == 0
        assert caplog.text.count("no row can be written") == 2

    async def test_in_a_payload_leaves_the_row_without_it(self, here: World) -> None:
        """A redactor that lets through what no JSON type takes stands for any disagreement with an engine."""
        writer = new_writer(here.db)
        call = await here.record(writer)
        batch = writer.backlog.take()
        await writer._ledger._preparation.prepare(batch)
        entry = batch.items[0].entry
        entry.request = type(entry.request)(b"\xff\xfe", 2, b"\0" * 32)
        batch.careful = True
        await writer._ledger.commit(batch)
        assert json.loads((await here.row(call.call_uid)).request_data)["$omitted"] == "refused"


class TestADatabaseThatIsAway:
    @pytest.fixture
    async def flaky(self, lite: World) -> AsyncIterator[World]:
        db = Flaky(lite.db._settings)
        yield replace(lite, db=db)
        await db.close()

    @pytest.mark.trap(50)
    async def test_costs_no_record_and_is_told(self, flaky: World) -> None:
        registry = CollectorRegistry()
        async with running(flaky.db, registry=registry) as writer:
            flaky.db.away = True
            calls = [await flaky.record(writer) for _ in range(20)]
            async with asyncio.timeout(5):
                await until(lambda: truth(writer.trouble))
            assert registry.get_sample_value("mcp_gateway_records_pending") == 20
            assert registry.get_sample_value("mcp_gateway_record_lag_seconds") > 0
            assert registry.get_sample_value("mcp_gateway_database_errors_total", {"reason": "unavailable"}) >= 1
            flaky.db.away = False
            await writer.flush()
            assert (writer.trouble, writer.backlog.pending, writer.backlog.pending_bytes, writer.backlog.lag) == (
                None,
                0,
                0,
                0,
            )
        assert [row.call_uid for row in await flaky.rows()] == [call.call_uid for call in calls]

    @pytest.mark.trap(50)
    async def test_fills_the_memory_to_its_bound_and_then_refuses_new_calls_alone(self, flaky: World) -> None:
        async with running(flaky.db, pending_bytes=1_000_000) as writer:
            flaky.db.away = True
            under_way = [flaky.started(request=b'"' + b"x" * 20_000 + b'"') for _ in range(45)]
            for call in under_way:
                await writer.started(call)
            assert writer.backlog.pending_bytes <= 1_000_000
            with pytest.raises(
                RecordsFull, match=r"45 records wait for the database and fill recording\.pending_bytes"
            ):
                await writer.started(flaky.started(request=b'"' + b"x" * 20_000 + b'"'))
            assert writer.is_full
            for call in under_way:
                await writer.finished(flaky.finished(call, response=b'"' + b"y" * 50_000 + b'"'))
            assert writer.backlog.pending_bytes <= 1_000_000
            flaky.db.away = False
            await writer.flush()
            assert not writer.is_full
        rows = await flaky.rows()
        assert [row.outcome for row in rows] == ["ok"] * 45
        omitted = json.loads(rows[-1].response_data)
        assert (omitted["$omitted"], omitted["bytes"]) == ("memory", 50_002)
        assert json.loads(rows[0].request_data) == "x" * 20_000

    async def test_because_somebody_holds_it_is_told_like_any_other_trouble(self, flaky: World) -> None:
        registry = CollectorRegistry()
        async with running(flaky.db, registry=registry) as writer:
            flaky.db.away = DatabaseContended("SQLite database x.db: another transaction was in the way")
            await flaky.record(writer)
            async with asyncio.timeout(10):
                await until(lambda: truth(_attempts(registry) >= 1))
                assert writer.trouble is None
                await until(lambda: truth(writer.trouble), every=0.05)
            assert writer.trouble == "SQLite database x.db: another transaction was in the way"
            flaky.db.away = None
        assert await flaky.has(1)

    async def test_at_the_end_loses_what_is_counted_and_said(
        self, flaky: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        registry = CollectorRegistry()
        async with running(flaky.db, registry=registry) as writer:
            flaky.db.away = True
            for _ in range(3):
                await flaky.record(writer)
            async with asyncio.timeout(2):
                assert await writer.close(grace=0.05) == 3
            assert registry.get_sample_value("mcp_gateway_records_lost_total") == 3
            assert "3 records are lost" in caplog.text
            with pytest.raises(RecordsFull, match="stopping"):
                await writer.started(flaky.started())
            assert writer.is_full


class TestTheEnd:
    async def test_of_the_writer_waits_for_what_it_accepted(self, lite: World) -> None:
        tasks, writer = Tasks("test"), new_writer(lite.db, linger=5)
        tasks.spawn(writer.run(), "writer")
        calls = [await lite.record(writer) for _ in range(500)]
        assert await writer.close(grace=10) == 0
        assert len(await lite.rows()) == len(calls)
        await tasks.close()

    @pytest.mark.trap(52)
    async def test_of_whoever_waits_for_records_does_not_undo_them(self, lite: World) -> None:
        async with running(lite.db) as writer:
            lite.db.away = True
            call, waiters = await lite.record(writer), Tasks("waiters")
            waiters.spawn(writer.flush(), "flush")
            await asyncio.sleep(0)
            await waiters.close()
            lite.db.away = False
            await writer.flush()
        assert [row.call_uid for row in await lite.rows()] == [call.call_uid]

    async def test_of_a_call_that_never_began_is_no_reason_to_fail(self, lite: World) -> None:
        async with running(lite.db) as writer:
            await writer.finished(lite.finished(lite.started()))
            kept = await lite.record(writer)
        assert [row.call_uid for row in await lite.rows()] == [kept.call_uid]

    @pytest.mark.trap(68)
    async def test_of_the_task_that_made_the_call_does_not_undo_its_record(self, lite: World) -> None:
        opened = asyncio.Event()

        async def handler() -> None:
            call = lite.started()
            await writer.started(call)
            opened.set()
            try:
                await asyncio.Event().wait()
            finally:
                await writer.finished(lite.finished(call, outcome=Outcome.CANCELLED))

        tasks = Tasks("handlers")
        async with running(lite.db) as writer:
            tasks.spawn(handler(), "handler")
            await opened.wait()
            await tasks.close()
        assert [row.outcome for row in await lite.rows()] == ["cancelled"]


class TestConnections:
    @pytest.mark.trap(54)
    async def test_are_not_held_while_500_calls_wait_for_their_servers(self, here: World) -> None:
        answers, waiting = asyncio.Event(), asyncio.Semaphore(0)

        async def handler() -> None:
            call = here.started()
            await writer.started(call)
            waiting.release()
            await answers.wait()
            await writer.finished(here.finished(call))

        async with running(here.db) as writer, asyncio.TaskGroup() as handlers:
            for _ in range(500):
                handlers.create_task(handler())
            for _ in range(500):
                await waiting.acquire()
            await writer.flush()
            assert here.db.busy == 0
            assert [row.status for row in await here.rows()] == ["in_progress"] * 500
            answers.set()
        assert [row.outcome for row in await here.rows()] == ["ok"] * 500

    @pytest.mark.trap(55)
    async def test_that_the_server_closed_meanwhile_are_replaced(self, engines: Engines, server: str) -> None:
        async with made(engines[server], migrated=True) as db:
            here = await world(db)
            async with running(db) as writer:
                await here.record(writer)
                await writer.flush()
                await _kill_every_connection(db)
                await here.record(writer)
            assert await here.has(2)

    @pytest.mark.trap(55)
    async def test_in_a_deadlock_write_the_whole_batch_again(self, engines: Engines) -> None:
        registry = CollectorRegistry()
        async with made(engines["mariadb"], migrated=True) as db:
            here = await world(db)
            async with running(db, registry=registry) as writer:
                await here.record(writer)
                await writer.flush()
                async with asyncio.timeout(20), db.writing() as other:
                    heavy = [{"username": f"u{n}", "hashed_password": "!"} for n in range(100)]
                    await other.execute(insert(users), heavy)  # the lighter transaction is the one that dies
                    await other.execute(update(mcp_servers).values(description="locked"))
                    call = await here.record(writer)
                    await until(lambda: _waits_for_a_lock(db), every=0.15)  # InnoDB tells news once in 0.1 s
                    await other.execute(update(journals).values(worker=1))
            assert (await here.row(call.call_uid)).outcome == "ok"
            assert [row.calls for row in await here.rows(call_tallies)] == [2]
        assert registry.get_sample_value("mcp_gateway_database_errors_total", {"reason": "contended"}) == 1

    @pytest.mark.trap(55)
    async def test_in_a_deadlock_row_by_row_write_nothing_outside_of_the_transaction(self, engines: Engines) -> None:
        """A deadlock takes MySQL's savepoints along, so that going back to one fails as well."""
        async with made(engines["mariadb"], migrated=True) as db, made_again(db) as others:
            here = await world(db)
            writer = new_writer(db)
            await here.record(writer)
            await writer._ledger.commit(writer.backlog.take())
            await here.record(writer)
            await here.record(writer)
            batch = writer.backlog.take()
            batch.careful = True
            async with asyncio.timeout(20), others.writing() as other, asyncio.TaskGroup() as tasks:
                heavy = [{"username": f"u{n}", "hashed_password": "!"} for n in range(100)]
                await other.execute(insert(users), heavy)
                await other.execute(update(mcp_servers).values(description="locked"))
                commit = tasks.create_task(_raised(writer._ledger.commit(batch)))
                await until(lambda: _writes_rows(others))
                await other.execute(update(journals).values(worker=1))
            assert isinstance(commit.result(), DatabaseContended)
            assert [item.entry.rung for item in batch.items] == [Rung.WHOLE, Rung.WHOLE]
            await writer._ledger.commit(batch)
            assert await here.has(3)

    @pytest.mark.parametrize("way", ["full", "cancelled"])
    @pytest.mark.trap(50)
    async def test_on_which_nothing_can_be_written_for_a_while_cost_no_row(
        self, engines: Engines, server: str, way: str
    ) -> None:
        registry = CollectorRegistry()
        async with made(engines[server], migrated=True) as db:
            here = await world(db)
            async with running(db, registry=registry) as writer:
                await _refuse_rows(db, REFUSED[server][way])
                calls = [await here.record(writer) for _ in range(2)]
                async with asyncio.timeout(20):
                    await until(lambda: truth(writer.trouble))
                    await until(lambda: truth(_attempts(registry) >= 6), every=0.05)
                await _accept_rows(db)
            assert {row.call_uid for row in await here.rows()} == {call.call_uid for call in calls}
            assert [json.loads(row.request_data) for row in await here.rows()] == [json.loads(REQUEST)] * 2
        assert registry.get_sample_value("mcp_gateway_records_set_aside_total") == 0

    @pytest.mark.trap(50)
    async def test_that_are_silent_over_a_batch_are_given_up_and_the_batch_is_written_on_another(
        self, engines: Engines, server: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with made(engines[server], migrated=True) as db, made_again(db) as others:
            here = await world(db)
            writer = new_writer(db, linger=0.01, patience=0.2)
            tasks = Tasks("test")
            tasks.spawn(writer.run(), "writer")
            async with others.writing() as other:
                await other.execute(update(mcp_servers).values(description="locked"))
                if server == "postgresql":
                    await other.execute(text("LOCK TABLE server_calls IN EXCLUSIVE MODE"))
                await here.record(writer)
                async with asyncio.timeout(20):
                    await until(lambda: truth(writer.trouble))
            assert await writer.close() == 0
            await tasks.close()
            assert [row.outcome for row in await here.rows()] == ["ok"]
            assert [row.calls for row in await here.rows(call_tallies)] == [1]
        assert "the database took longer than 0.2 s over a batch" in caplog.text

    @pytest.mark.trap(55)
    async def test_that_break_over_a_row_too_big_for_them_leave_out_its_payloads(self, engines: Engines) -> None:
        async with made(engines["mariadb"], migrated=True) as db, _small_packets(db):
            here = await world(db)
            async with running(db, payload_bytes=4_000_000) as writer:
                before, big, after = [
                    await here.record(writer, request=b'"' + b"x" * size + b'"') for size in (10, 3_000_000, 10)
                ]
            sizes = [json.loads((await here.row(call.call_uid)).request_data) for call in (before, big, after)]
        assert (sizes[0], sizes[1]["$omitted"], sizes[2]) == ("x" * 10, "refused", "x" * 10)


async def truth(value: object) -> object:
    return value


REFUSED = {
    "mariadb": {
        "full": "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114, MESSAGE_TEXT = 'The table is full'",
        "cancelled": "SIGNAL SQLSTATE '70100' SET MYSQL_ERRNO = 1317, MESSAGE_TEXT = 'Query was interrupted'",
    },
    "postgresql": {
        "full": "RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'",
        "cancelled": "RAISE EXCEPTION 'canceling statement due to statement timeout' USING ERRCODE = '57014'",
    },
}
"""What a trigger says instead of a disk without room, and of a server whose patience has ended."""


async def _refuse_rows(db: Database, words: str) -> None:
    trigger = "CREATE TRIGGER refusing BEFORE INSERT ON server_calls FOR EACH ROW"
    async with db.writing() as connection:
        if db.dialect == "postgresql":
            body = f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {words}; END $$"
            await connection.execute(text(body))
            words = "EXECUTE FUNCTION refuse()"
        await connection.execute(text(f"{trigger} {words}"))


async def _accept_rows(db: Database) -> None:
    async with db.writing() as connection:
        of = " ON server_calls" if db.dialect == "postgresql" else ""
        await connection.execute(text(f"DROP TRIGGER refusing{of}"))


def _attempts(registry: CollectorRegistry) -> float:
    return sum(
        registry.get_sample_value("mcp_gateway_database_errors_total", {"reason": reason}) or 0 for reason in REASONS
    )


async def _raised(work: Awaitable[object]) -> Exception | None:
    try:
        await work
    except Exception as error:
        return error
    return None


async def _rename(db: Database, table: str, new: str) -> None:
    async with db.writing() as connection:
        await connection.execute(text(f"ALTER TABLE {table} RENAME TO {new}"))


async def _kill_every_connection(db: Database) -> None:
    async with db.reading() as connection:
        if db.dialect == "postgresql":
            own = "pid <> pg_backend_pid() AND datname = current_database()"
            await connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {own}"))
            return
        ids = await connection.scalars(
            text("SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()")
        )
        for id_ in ids.all():
            await connection.execute(text(f"KILL {id_}"))


async def _waits_for_a_lock(db: Database) -> object:
    async with db.reading() as connection:
        return await connection.scalar(text("SELECT count(*) FROM information_schema.innodb_lock_waits"))


async def _writes_rows(db: Database) -> object:
    statement = "db = DATABASE() AND info LIKE 'INSERT INTO server_calls%'"
    async with db.reading() as connection:
        return await connection.scalar(text(f"SELECT count(*) FROM information_schema.processlist WHERE {statement}"))


@asynccontextmanager
async def _small_packets(db: Database) -> AsyncIterator[None]:
    """Packets of at most 1 MiB for connections opened from now on."""
    async with db.reading() as connection:
        usual = await connection.scalar(text("SELECT @@global.max_allowed_packet"))
        await connection.execute(text("SET GLOBAL max_allowed_packet = 1048576"))
        await connection.invalidate()
    try:
        yield
    finally:
        async with db.reading() as connection:
            await connection.execute(text(f"SET GLOBAL max_allowed_packet = {usual}"))
