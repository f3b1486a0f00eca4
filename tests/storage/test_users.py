"""Users, by names that look alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import insert, text

from storage.database import Database
from storage.errors import StorageError
from storage.schema import users
from storage.users import LOCAL, canonical, ensure_users, usernames
from tests.support.engines import Engines, made
from tests.support.recording import World


async def test_the_local_user_is_there_from_the_start(database: Database) -> None:
    before = await usernames(database)
    ids = await ensure_users(database, [LOCAL])
    assert before == [LOCAL] == await usernames(database)
    [row] = await World.rows(World(database, None, None, 0), users)
    assert (row.id, row.hashed_password) == (ids[LOCAL], "!")


async def test_new_users_are_added_once_and_have_no_password(database: Database) -> None:
    first = await ensure_users(database, ["bob", "alice"])
    again = await ensure_users(database, ["alice", "bob", "carol"])
    assert first.items() <= again.items()
    rows = await World.rows(World(database, None, None, 0), users)
    assert {row.hashed_password for row in rows} == {"!"}
    assert all(len(row.public_id) == 32 for row in rows)
    assert await usernames(database) == ["alice", "bob", "carol", "local"]


async def test_names_that_look_the_same_are_one_user_and_accents_tell_users_apart(database: Database) -> None:
    ids = await ensure_users(database, ["Bob", "bob", " BOB ", "ｂｏｂ", "bób", "ＢÓＢ", "straße", "STRASSE"])
    assert len({ids[name] for name in ("Bob", "bob", " BOB ", "ｂｏｂ")}) == 1
    assert ids["bób"] == ids["ＢÓＢ"] != ids["bob"]
    assert ids["straße"] == ids["STRASSE"]
    assert await usernames(database) == sorted(["bob", "bób", "local", "strasse"])


async def test_many_may_ask_for_the_same_user_at_once(database: Database) -> None:
    found = await asyncio.gather(*(ensure_users(database, ["new", f"user{n}"]) for n in range(5)))
    assert len({ids["new"] for ids in found}) == 1


@pytest.fixture
async def adopted(engines: Engines) -> AsyncIterator[Database]:
    """A database whose other back end compares names without case and accents."""
    async with made(engines["mariadb"], migrated=True) as db:
        async with db.writing() as connection:
            await connection.execute(
                text("ALTER TABLE users MODIFY username VARCHAR(50) COLLATE utf8mb4_general_ci NOT NULL")
            )
            await connection.execute(insert(users).values(username="Bob", hashed_password="theirs"))
        yield db


@pytest.mark.engine
async def test_a_user_whom_another_back_end_wrote_in_capitals_is_the_same_user(adopted: Database) -> None:
    ids = await ensure_users(adopted, ["bob", "BOB", "carol"])
    assert ids["bob"] == ids["BOB"] != ids["carol"]
    assert await usernames(adopted) == ["Bob", "carol", "local"]


@pytest.mark.engine
async def test_a_name_that_an_adopted_database_takes_for_another_is_refused(adopted: Database) -> None:
    with pytest.raises(StorageError, match=r"user 'bób': .* takes the name for another user's"):
        await ensure_users(adopted, ["bób"])


async def test_nobody_is_nobody(database: Database) -> None:
    assert await ensure_users(database, []) == {}


async def test_a_name_that_does_not_fit_its_column_is_refused(database: Database) -> None:
    for name in ("", "   ", "x" * 51, "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 3):
        with pytest.raises(StorageError, match="1 to 50 fit"):
            await ensure_users(database, [name])


@pytest.mark.parametrize("name", ["İstanbul", "ﬁn", "Å", "ΐ", "Σίσυφος"])
def test_a_canonical_name_stays_what_it_is(name: str) -> None:
    assert canonical(canonical(name)) == canonical(name)
