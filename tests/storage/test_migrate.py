"""Bringing a schema up to date, on every engine."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection, Engine, event, func, insert, inspect, select, text
from sqlalchemy.engine import make_url

from storage import migrate
from storage.database import Database
from storage.documented import documented
from storage.errors import DatabaseContended, DatabaseUnavailable, SchemaOutdated, UpgradeFailed
from storage.inspection import inspect as look
from storage.schema import metadata, users
from storage.settings import DatabaseSettings
from tests.support import mcp_chat
from tests.support.engines import Engines, made, made_again, params
from tests.support.killing import Killed, killed_after_its_first_change

HEAD = "gateway_0009"


async def test_an_empty_database_is_outdated_and_the_command_is_named(empty_database: Database) -> None:
    found = await migrate.status(empty_database)
    assert (found.current, found.head, found.pending[-1], found.is_current) == (None, HEAD, HEAD, False)
    with pytest.raises(SchemaOutdated, match=r"its schema is empty and .* run `mcp-gateway db upgrade`"):
        await migrate.require_current(empty_database)


async def test_an_upgrade_makes_it_current_and_a_second_one_changes_nothing(empty_database: Database) -> None:
    first = await migrate.upgrade(empty_database)
    assert (first.current, first.pending) == (HEAD, ())
    async with empty_database.reading() as connection:
        before = (await connection.execute(select(users))).all()
    assert await migrate.upgrade(empty_database) == first
    await migrate.require_current(empty_database)
    async with empty_database.reading() as connection:
        assert (await connection.execute(select(users))).all() == before


async def test_the_local_user_is_there_and_no_password_is_theirs(database: Database) -> None:
    async with database.reading() as connection:
        local = (await connection.execute(select(users))).one()
    assert (local.username, local.hashed_password, local.is_superuser, local.email) == ("local", "!", False, None)
    assert len(local.public_id) == 32


async def test_two_processes_may_upgrade_at_once(empty_database: Database) -> None:
    other = Database(empty_database._settings)
    try:
        both = await asyncio.gather(migrate.upgrade(empty_database), migrate.upgrade(other))
    finally:
        await other.close()
    assert [one.current for one in both] == [HEAD, HEAD]
    async with empty_database.reading() as connection:
        assert (await connection.execute(select(func.count()).select_from(users))).scalar_one() == 1


async def test_rows_of_revision_one_are_kept(empty_database: Database) -> None:
    await migrate.upgrade(empty_database, "gateway_0001")
    async with empty_database.writing() as connection:
        await mcp_chat.work(connection)
        before = {
            name: (await connection.execute(text(f"SELECT * FROM {name}"))).mappings().all() for name in documented()
        }
    await migrate.upgrade(empty_database)
    async with empty_database.reading() as connection:
        for name, rows in before.items():
            now = (await connection.execute(text(f"SELECT * FROM {name} ORDER BY id"))).mappings().all()
            assert [{key: row[key] for key in rows[0]} for row in now[: len(rows)]] == [dict(row) for row in rows]


async def test_a_user_who_is_called_local_already_stays_the_only_one(empty_database: Database) -> None:
    await migrate.upgrade(empty_database, "gateway_0001")
    async with empty_database.writing() as connection:
        await connection.execute(insert(users).values(username="local", email="l@example.org", hashed_password="$2b$x"))
    await migrate.upgrade(empty_database)
    async with empty_database.reading() as connection:
        found = (await connection.execute(select(users.c.hashed_password).where(users.c.username == "local"))).scalars()
        assert found.all() == ["$2b$x"]


async def test_the_schema_of_a_newer_version_is_left_alone(database: Database) -> None:
    async with database.writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = 'gateway_9999'"))
    for attempt in (migrate.upgrade, migrate.require_current):
        with pytest.raises(SchemaOutdated, match=r"gateway_9999.* was made by a newer mcp-gateway"):
            await attempt(database)


async def test_what_the_database_refuses_is_told_in_its_words(empty_database: Database) -> None:
    """A leftover view with the name of a table of ours."""
    await migrate.upgrade(empty_database, "gateway_0001")
    async with empty_database.writing() as connection:
        await connection.execute(text("CREATE VIEW models AS SELECT 1 AS id"))
    with pytest.raises(UpgradeFailed, match=r"refused a step of the upgrade: .*models"):
        await migrate.upgrade(empty_database)
    async with empty_database.writing() as connection:
        await connection.execute(text("DROP VIEW models"))
    assert (await migrate.upgrade(empty_database)).is_current


async def test_another_applications_tables_are_left_alone(empty_database: Database) -> None:
    async with empty_database.writing() as connection:
        await connection.execute(text("CREATE TABLE users (id INTEGER)"))
    with pytest.raises(SchemaOutdated, match="`mcp-gateway db adopt`"):
        await migrate.upgrade(empty_database)
    with pytest.raises(SchemaOutdated, match="`mcp-gateway db adopt`"):
        await migrate.require_current(empty_database)
    async with empty_database.reading() as connection:
        assert await connection.run_sync(lambda sync: inspect(sync).get_table_names()) == ["users"]


class TestMySQL:
    @pytest.fixture(params=params("mariadb", "mysql"))
    def name(self, request: pytest.FixtureRequest) -> str:
        return request.param

    async def test_revision_one_is_the_documented_database_to_the_letter(self, engines: Engines, name: str) -> None:
        async with made(engines[name]) as db:
            await migrate.upgrade(db, "gateway_0001")
            async with db.reading() as connection:
                found = await look(connection)
        assert {table: found.columns[table] for table in documented()} == documented()
        assert found.tables.keys() == documented().keys() | {"alembic_version"}

    @pytest.mark.parametrize("foreign_keys", [True, False])
    async def test_an_upgrade_that_is_killed_anywhere_is_finished_by_the_next(
        self, engines: Engines, name: str, foreign_keys: bool
    ) -> None:
        async with made(engines[name], migrated=foreign_keys, foreign_keys=foreign_keys) as whole:
            await migrate.upgrade(whole)
            async with whole.reading() as connection:
                wanted = await look(connection)
        async with made(engines[name], foreign_keys=foreign_keys) as db:
            killings = 0
            while await _is_killed(db):
                killings += 1
            async with db.reading() as connection:
                assert await look(connection) == wanted
                assert (await connection.execute(select(users.c.username))).scalars().all() == ["local"]
        assert killings > len(metadata.tables)

    async def test_a_wider_column_keeps_what_else_it_is(self, engines: Engines, name: str) -> None:
        async with made(engines[name]) as db:
            await migrate.upgrade(db, "gateway_0001")
            async with db.writing() as connection:
                await connection.exec_driver_sql(
                    "ALTER TABLE chat_sessions MODIFY title VARCHAR(300) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
                    " NULL DEFAULT 'it''s new' COMMENT '100%% 标题'"
                )
            await migrate.upgrade(db)
            async with db.reading() as connection:
                found = await connection.execute(
                    text(
                        "SELECT column_type, collation_name, is_nullable, column_comment"
                        " FROM information_schema.columns"
                        " WHERE table_schema = DATABASE() AND table_name = 'chat_sessions' AND column_name = 'title'"
                    )
                )
                assert tuple(found.one()) == ("varchar(300)", "utf8mb4_bin", "YES", "100% 标题")
                assert (await look(connection)).columns["chat_sessions"]["title"].default == "it's new"

    async def test_a_table_that_somebody_is_using_is_not_waited_for_long(self, engines: Engines, name: str) -> None:
        """Whoever wants the table next would wait behind us."""
        async with made(engines[name]) as db, made_again(db) as other:
            await migrate.upgrade(db, "gateway_0001")
            async with other.reading() as connection:
                await connection.execute(select(text("id FROM users")))
                with pytest.raises(DatabaseContended):
                    await migrate.upgrade(db, patience=1)
            assert (await migrate.upgrade(db)).is_current

    async def test_an_account_that_may_not_alter_tables_is_told_so(self, engines: Engines, name: str) -> None:
        async with made(engines[name]) as db:
            database = make_url(db._settings.url).database
            account = f"reader_{database}"
            async with db.writing() as connection:
                await connection.execute(text(f"CREATE USER {account}@localhost IDENTIFIED BY 'x'"))
                await connection.execute(text(f"GRANT SELECT ON `{database}`.* TO {account}@localhost"))
            url = make_url(db._settings.url).set(username=account, password="x").render_as_string(hide_password=False)
            reader = Database(DatabaseSettings(url=url))
            try:
                with pytest.raises(DatabaseUnavailable, match="CREATE command denied"):
                    await migrate.upgrade(reader)
            finally:
                await reader.close()
                async with db.writing() as connection:
                    await connection.execute(text(f"DROP USER {account}@localhost"))

    async def test_the_lock_is_released_only_after_the_last_commit(self, engines: Engines, name: str) -> None:
        """Else the next process reads a revision that is no longer true."""
        happened: list[str] = []

        def executed(connection: Connection, cursor: object, statement: str, *rest: object) -> None:
            happened.append(statement)

        def committed(connection: Connection) -> None:
            happened.append("COMMIT")

        async with made(engines[name]) as db:
            event.listen(Engine, "after_cursor_execute", executed)
            event.listen(Engine, "commit", committed)
            try:
                await migrate.upgrade(db)
            finally:
                event.remove(Engine, "after_cursor_execute", executed)
                event.remove(Engine, "commit", committed)
        updated = max(index for index, one in enumerate(happened) if one.startswith("UPDATE alembic_version"))
        released = next(index for index, one in enumerate(happened) if "RELEASE_LOCK" in one)
        assert "COMMIT" in happened[updated:released]

    async def test_two_upgrades_of_two_databases_do_not_wait_for_each_other(self, engines: Engines, name: str) -> None:
        async with (
            made(engines[name]) as one,
            made(engines[name]) as other,
            migrate.alone(one, 10),
        ):
            assert (await migrate.upgrade(other)).is_current


async def _is_killed(db: Database) -> bool:
    """Upgrade in a process of its own that is killed after its first change, unless it has nothing left to change."""
    process = Database(db._settings)
    try:
        with killed_after_its_first_change():
            await migrate.upgrade(process)
    except Killed:
        return True
    else:
        return False
    finally:
        await process.close()
