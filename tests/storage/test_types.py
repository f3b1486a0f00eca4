"""The column types, written to and read from every engine."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, select
from sqlalchemy.exc import StatementError

from storage.database import Database
from storage.types import Instant, JsonText, Second, digest, long_bytes, long_text, name, uid

things = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("instant", Instant),
    Column("second", Second),
    Column("json", JsonText),
    Column("uid", uid()),
    Column("name", name(100)),
    Column("text", long_text()),
    Column("bytes", long_bytes()),
    Column("digest", digest()),
)

MOMENT = datetime(2026, 3, 1, 12, 0, 0, 999_999, UTC)


@pytest.fixture
async def db(empty_database: Database) -> Database:
    async with empty_database.writing() as connection:
        await connection.run_sync(things.create)
    return empty_database


async def test_a_moment_keeps_its_microseconds(db: Database) -> None:
    for moment in (
        MOMENT,
        MOMENT.replace(microsecond=0),
        MOMENT.replace(microsecond=1),
        datetime(1970, 1, 1, tzinfo=UTC),
    ):
        assert await _through(db, "instant", moment) == moment


async def test_a_moment_of_any_zone_is_read_in_utc(db: Database) -> None:
    moment = datetime(2026, 3, 1, 20, 30, tzinfo=timezone(timedelta(hours=8)))
    read = await _through(db, "instant", moment)
    assert (read, read.tzinfo) == (moment, UTC)


async def test_a_second_is_cut_and_never_rounded(db: Database) -> None:
    assert await _through(db, "second", MOMENT) == MOMENT.replace(microsecond=0)


async def test_a_moment_without_a_zone_is_refused(db: Database) -> None:
    for column in ("instant", "second"):
        with pytest.raises(StatementError, match="has no time zone"):
            await _through(db, column, MOMENT.replace(tzinfo=None))


async def test_moments_compare_as_moments(db: Database) -> None:
    async with db.writing() as connection:
        await connection.execute(
            insert(things), [{"id": 1, "second": MOMENT}, {"id": 2, "second": MOMENT - timedelta(1)}]
        )
        whole = MOMENT.replace(microsecond=0)
        for bound, ids in (
            (MOMENT, [1]),
            (whole, [1]),
            (whole - timedelta(seconds=1), [1]),
            (whole + timedelta(seconds=1), []),
        ):
            rows = await connection.execute(select(things.c.id).where(things.c.second >= bound))
            assert rows.scalars().all() == ids


@pytest.mark.parametrize(
    "written",
    ['{"b":1,"a":[1.5,null,"\\u00e9 \\n 你好 😀"]}', "[]", '"text"', "3", "null", '{"a":"it\'s \\\\ \\" %s"}'],
)
async def test_json_is_text_in_and_text_out(db: Database, written: str) -> None:
    read = await _through(db, "json", written)
    assert json.loads(read) == json.loads(written)
    if db.dialect == "sqlite":
        assert read == written
    assert json.loads(await _through(db, "json", written.encode())) == json.loads(written)


async def test_no_json_is_null_and_not_the_word_null(db: Database) -> None:
    assert await _through(db, "json", None) is None
    async with db.reading() as connection:
        await connection.execute(insert(things).values(id=1, json=None))
        assert (await connection.execute(select(things.c.id).where(things.c.json.is_(None)))).scalars().all() == [1]


async def test_names_that_look_alike_are_different(db: Database) -> None:
    async with db.reading() as connection:
        await connection.execute(
            insert(things), [{"id": n, "name": name} for n, name in enumerate(("bob", "Bob", "bób"), 1)]
        )
        for name in ("bob", "Bob", "bób"):
            found = await connection.execute(select(things.c.name).where(things.c.name == name))
            assert found.scalars().all() == [name]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("uid", "0192f0c1a2b37c4d8e5f60718293a4b5"),
        ("text", "你好 😀 " * 20_000),
        ("bytes", bytes(range(256)) * 400),
        ("bytes", b""),
        ("digest", bytes(range(32))),
    ],
)
async def test_a_value_comes_back_as_it_was(db: Database, column: str, value: object) -> None:
    assert await _through(db, column, value) == value


async def _through(db: Database, column: str, value: object) -> object:
    async with db.reading() as connection:
        await connection.execute(insert(things).values({"id": 1, column: value}))
        return (await connection.execute(select(things.c[column]))).scalar_one()
