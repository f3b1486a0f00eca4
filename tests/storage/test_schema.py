"""The tables as they are described, against the tables as the migrations make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Inspector, inspect, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from storage import migrate
from storage.database import Database
from storage.documented import documented
from storage.schema import chat_messages, metadata, users
from tests.support import mcp_chat
from tests.support.engines import Engines, made, params


async def test_the_migrations_make_the_schema_that_is_described(database: Database) -> None:
    async with database.reading() as connection:
        assert await connection.run_sync(_differences) == []


@pytest.mark.parametrize("name", params())
async def test_the_engine_sees_no_difference_either(engines: Engines, name: str) -> None:
    """Alembic compares neither defaults nor collations: made from the description, the tables look the same."""
    async with made(engines[name], migrated=True) as migrated, made(engines[name]) as described:
        async with described.writing() as connection:
            await connection.run_sync(metadata.create_all)
            wanted = await connection.run_sync(_looks)
        async with migrated.reading() as connection:
            found = await connection.run_sync(_looks)
    del found["alembic_version"]
    assert found == wanted


@pytest.mark.parametrize("name", params())
async def test_without_foreign_keys_the_tables_are_the_same_otherwise(engines: Engines, name: str) -> None:
    async with made(engines[name], migrated=True) as with_them, made(engines[name], foreign_keys=False) as without:
        await migrate.upgrade(without)
        async with with_them.reading() as connection:
            wanted = await connection.run_sync(_looks)
            assert await connection.run_sync(_reference_count) > 0
        async with without.reading() as connection:
            assert await connection.run_sync(_looks) == wanted
            assert await connection.run_sync(_reference_count) == 0


def test_every_documented_column_is_there() -> None:
    for table, columns in documented().items():
        assert columns.keys() <= set(metadata.tables[table].columns.keys())


def test_every_added_column_can_be_left_out_by_an_insert() -> None:
    for table, columns in documented().items():
        for column in metadata.tables[table].columns:
            assert column.name in columns or column.nullable or column.server_default is not None, column


async def test_who_knows_only_the_documented_columns_can_insert(database: Database) -> None:
    async with database.writing() as connection:
        await mcp_chat.work(connection)
        call = (
            await connection.execute(text("SELECT record_state, round, attempts, call_uid FROM server_calls"))
        ).one()
    assert tuple(call) == (2, 0, 1, None)


async def test_times_are_filled_in_and_refreshed(database: Database) -> None:
    async with database.writing() as connection:
        user = (await connection.execute(select(users))).one()
        for moment in (user.created_at, user.updated_at):
            assert abs(datetime.now(UTC) - moment) < timedelta(minutes=50)  # as old as the template of this run
        old = datetime(2025, 1, 1, tzinfo=UTC)
        await connection.execute(update(users).values(updated_at=old))
        await connection.execute(update(users).values(nickname="x", updated_at=users.c.updated_at))
        assert (await connection.execute(select(users.c.updated_at))).scalar_one() == old
        await connection.execute(update(users).values(nickname="y"))
        assert (await connection.execute(select(users.c.updated_at))).scalar_one() > old


async def test_a_word_outside_of_its_set_is_refused(database: Database) -> None:
    async with database.writing() as connection:
        await mcp_chat.work(connection)
    for broken in (
        "UPDATE mcp_servers SET status = 'asleep'",
        "UPDATE chat_messages SET message_type = 'robot'",
        "UPDATE chat_messages SET content_type = 'smell'",
        "UPDATE chat_messages SET status = 'lost'",
        "UPDATE server_calls SET status = ''",
    ):
        with pytest.raises(DBAPIError):
            await _execute(database, broken)


async def test_a_row_without_its_parent_is_refused(database: Database) -> None:
    with pytest.raises(IntegrityError):
        await _execute(database, "INSERT INTO chat_sessions (title, user_id) VALUES ('', 4711)")


@pytest.mark.parametrize("name", params())
async def test_a_row_without_its_parent_is_kept_where_no_foreign_keys_are_wanted(engines: Engines, name: str) -> None:
    async with made(engines[name], foreign_keys=False) as db:
        await migrate.upgrade(db)
        await _execute(db, "INSERT INTO chat_sessions (title, user_id) VALUES ('', 4711)")


async def test_a_message_may_be_longer_than_mysqls_text(database: Database) -> None:
    content = "长" * 70_000
    async with database.writing() as connection:
        await mcp_chat.work(connection)
        await connection.execute(update(chat_messages).values(content=content))
        assert (await connection.execute(select(chat_messages.c.content))).scalar_one() == content


async def test_ids_grow_beyond_32_bits(database: Database) -> None:
    async with database.writing() as connection:
        await mcp_chat.work(connection)
        await connection.execute(text("UPDATE server_calls SET id = 5000000000"))
        await mcp_chat.work(connection, "server_calls")
        ids = (await connection.execute(text("SELECT id FROM server_calls ORDER BY id"))).scalars().all()
    assert 5_000_000_000 in ids


def _differences(connection: Connection) -> list[object]:
    return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)


def _looks(connection: Connection) -> dict[str, object]:
    """Columns and keys of every table, as the engine itself describes them."""
    schema = inspect(connection)
    return {table: (_columns(schema, table), _keys(schema, table)) for table in schema.get_table_names()}


def _columns(schema: Inspector, table: str) -> Mapping[str, object]:
    return {
        column["name"]: (repr(column["type"]), column["nullable"], column["default"])
        for column in schema.get_columns(table)
    }


def _keys(schema: Inspector, table: str) -> Sequence[object]:
    indexes = [(one["name"], one["column_names"], bool(one["unique"])) for one in schema.get_indexes(table)]
    return [schema.get_pk_constraint(table)["constrained_columns"], *sorted(indexes)]


def _reference_count(connection: Connection) -> int:
    schema = inspect(connection)
    return sum(len(schema.get_foreign_keys(table)) for table in schema.get_table_names())


async def _execute(db: Database, statement: str) -> None:
    async with db.writing() as connection:
        await connection.execute(text(statement))
