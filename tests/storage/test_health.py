"""The rows of health on every engine."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeVar

import msgspec
import pytest
from sqlalchemy import Row, insert, select, update

from storage import health
from storage.database import Database
from storage.health import HealthRow, Mirror, TransitionRow
from storage.schema import mcp_servers

ROW = HealthRow(
    server_id=7,
    version=1,
    state="up",
    reason=None,
    since_us=1_795_342_503_123_457,
    rise=1,
    fall=0,
    observed_us=1_795_342_503_123_458,
    latency_us=2**40,
    server_era="modern",
    catalog_sha256=bytes(range(32)),
)
MOVE = TransitionRow(
    server_id=7,
    version=1,
    at_us=1_795_342_503_123_457,
    from_state="unknown",
    to_state="up",
    reason="answered",
    detail=None,
    replica_id="0123456789abcdef" * 2,
)
MIRROR = Mirror(status="online", response_time=12.5, success_rate=0.75, server_load=0.25)
Row_ = TypeVar("Row_", HealthRow, TransitionRow)
LONG_AGO = datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC)


def later(row: Row_, **facts: object) -> Row_:
    return msgspec.structs.replace(row, version=row.version + 1, **facts)


async def register(db: Database, server_id: int = 7) -> None:
    async with db.writing() as connection:
        await connection.execute(
            insert(mcp_servers).values(id=server_id, name="docs", host="docs.example.com", port=443)
        )
        await connection.execute(update(mcp_servers).values(updated_at=LONG_AGO))


async def shown(db: Database) -> Row[tuple[object, ...]]:
    async with db.reading() as connection:
        return (await connection.execute(select(mcp_servers).where(mcp_servers.c.id == 7))).one()


async def test_a_row_comes_back_as_it_was_saved(database: Database) -> None:
    assert await health.load_one(database, 7) is None
    assert await health.save(database, ROW, expected=None)
    assert await health.load_one(database, 7) == ROW
    assert await health.load(database) == {7: ROW}


async def test_the_version_that_was_known_is_replaced(database: Database) -> None:
    await health.save(database, ROW, expected=None)
    down = later(ROW, state="down", reason="timeout", observed_us=None, latency_us=None, catalog_sha256=None)
    assert await health.save(database, down, expected=1)
    assert await health.load_one(database, 7) == down


@pytest.mark.parametrize("expected", [None, 0, 2])
async def test_a_writer_that_did_not_know_the_row_loses_and_writes_nothing(
    database: Database, expected: int | None
) -> None:
    await register(database)
    await health.save(database, ROW, [MOVE], MIRROR, expected=None)
    theirs = later(ROW, state="down")
    move = msgspec.structs.replace(MOVE, version=2, to_state="down")
    other = Mirror(status="offline", response_time=None, success_rate=None, server_load=None)
    assert not await health.save(database, theirs, [move], other, expected=expected)
    assert await health.load_one(database, 7) == ROW
    assert await health.history(database, 7) == [MOVE]
    assert (await shown(database)).status == "online"


async def test_a_transition_of_a_version_that_is_taken_undoes_the_whole_write(database: Database) -> None:
    await health.save(database, ROW, [MOVE], expected=None)
    assert not await health.save(database, later(ROW, state="down"), [MOVE], expected=1)
    assert await health.load_one(database, 7) == ROW


async def test_a_row_may_be_written_again_with_the_same_facts(database: Database) -> None:
    await health.save(database, ROW, expected=None)
    assert await health.save(database, later(ROW), expected=1)


async def test_history_is_given_newest_first_and_bounded(database: Database) -> None:
    moves = [msgspec.structs.replace(MOVE, version=version) for version in range(1, 6)]
    await health.save(database, ROW, moves, expected=None)
    assert await health.history(database, 7, limit=3) == moves[:1:-1]
    assert await health.history(database, 8) == []


async def test_words_too_long_for_their_column_are_cut(database: Database) -> None:
    row = msgspec.structs.replace(ROW, reason="r" * 100)
    move = msgspec.structs.replace(MOVE, reason="r" * 100, detail="证" * 2_000)
    await health.save(database, row, [move], expected=None)
    stored = await health.load_one(database, 7)
    assert stored is not None
    assert stored.reason == "r" * 64
    (kept,) = await health.history(database, 7)
    assert (kept.reason, kept.detail) == ("r" * 64, "证" * 1_000)


async def test_the_documented_columns_are_mirrored_and_updated_at_is_left_alone(database: Database) -> None:
    await register(database)
    await health.save(database, ROW, [MOVE], MIRROR, expected=None)
    row = await shown(database)
    assert (row.status, row.response_time, row.success_rate, row.server_load) == ("online", 12.5, 0.75, 0.25)
    assert row.updated_at == LONG_AGO


async def test_without_a_mirror_the_documented_row_is_not_touched(database: Database) -> None:
    await register(database)
    await health.save(database, ROW, [MOVE], expected=None)
    assert ((await shown(database)).status, (await shown(database)).response_time) == ("offline", None)


async def test_health_of_a_server_whose_registration_is_gone_is_still_written(database: Database) -> None:
    assert await health.save(database, ROW, [MOVE], MIRROR, expected=None)


@pytest.mark.trap(55)
async def test_whatever_a_server_says_of_its_failure_can_be_kept(database: Database) -> None:
    moves = [later(MOVE, detail="\0 no such method"), later(later(MOVE), detail="half a \ud83d", reason="a\0b")]
    assert await health.save(database, later(ROW, reason="a\0b"), moves, expected=None)
    last, first = await health.history(database, 7)
    assert (first.detail, last.detail, last.reason) == ("\ufffd no such method", "half a ?", "a\ufffdb")
