"""Taking over the database of another back end, which goes on using it."""

# ruff: noqa: E501, since a change and what is said of it stand side by side

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, select, text
from sqlalchemy.engine import make_url

from storage import migrate
from storage.adopt import adopt, examine
from storage.database import Database
from storage.documented import documented
from storage.errors import AdoptionRefused, SchemaOutdated
from storage.inspection import inspect
from storage.schema import chat_messages, chat_sessions, metadata, server_calls, users
from tests.support import mcp_chat
from tests.support.absence import absent
from tests.support.engines import Engine, Engines, made, params
from tests.support.killing import Killed, killed_after_its_first_change

SHANGHAI = ZoneInfo("Asia/Shanghai")
Rows = Mapping[str, Sequence[tuple[object, ...]]]

pytestmark = pytest.mark.engine


@pytest.fixture(params=params("mariadb", "mysql"))
def engine(request: pytest.FixtureRequest, engines: Engines) -> Engine:
    return engines[request.param]


@pytest.fixture
async def old(engine: Engine) -> AsyncIterator[Database]:
    """The other back end's database."""
    async with made(engine) as db:
        await mcp_chat.make(db)
        yield db


class TestAdopting:
    async def test_no_row_is_lost_and_no_documented_value_changes(self, old: Database) -> None:
        before = await _documented_rows(old)
        assert {table: len(rows) for table, rows in before.items()} == {
            "users": 2,
            "chat_sessions": 3,
            "chat_messages": 3,
            "mcp_servers": 3,
            "server_calls": 4,
        }
        await adopt(old, SHANGHAI, None)
        after = await _documented_rows(old)
        assert after.pop("users")[:2] == before.pop("users")
        assert after == before

    async def test_it_ends_at_the_newest_schema_and_leaves_the_others_revision_alone(self, old: Database) -> None:
        done = await adopt(old, SHANGHAI, None)
        status = await migrate.status(old)
        assert (done.revision, status.current, status.version_table) == (
            status.head,
            status.head,
            "mcp_gateway_version",
        )
        await migrate.require_current(old)
        await migrate.upgrade(old)
        async with old.reading() as connection:
            assert await connection.run_sync(_differences) == []
            found = await connection.execute(text("SELECT version_num FROM alembic_version"))
            assert found.scalars().all() == [mcp_chat.FOREIGN_REVISION]

    async def test_the_other_back_end_goes_on_inserting(self, old: Database) -> None:
        await adopt(old, SHANGHAI, None)
        async with old.writing() as connection:
            await mcp_chat.work(connection)
            call = (await connection.execute(select(server_calls).order_by(server_calls.c.id.desc()))).first()
            message = (await connection.execute(select(chat_messages).order_by(chat_messages.c.id.desc()))).first()
        assert (call.call_uid, call.record_state, call.status, call.response_data) == (None, 2, "success", "[1]")
        assert (message.position, message.content_type, message.content) == (None, "text", "你好 😀")

    async def test_what_was_inserted_meanwhile_is_filled_by_adopting_again(self, old: Database) -> None:
        await adopt(old, SHANGHAI, None)
        async with old.writing() as connection:
            await mcp_chat.work(connection)
        again = await adopt(old, SHANGHAI, None)
        assert again.filled == {"users": 1, "chat_sessions": 1, "chat_messages": 1, "server_calls": 1}
        assert set((await adopt(old, SHANGHAI, None)).filled.values()) == {0}

    async def test_every_person_session_and_message_gets_a_public_id(self, old: Database) -> None:
        await adopt(old, SHANGHAI, None)
        async with old.reading() as connection:
            for table in (users, chat_sessions, chat_messages):
                ids = (await connection.execute(select(table.c.public_id))).scalars().all()
                assert len(set(ids)) == len(ids)
                assert all(len(public_id) == 32 for public_id in ids)

    async def test_calls_get_exact_times_in_utc(self, old: Database) -> None:
        await adopt(old, SHANGHAI, None)
        assert await _times(old) == {
            1: (_utc(2025, 3, 1, 0, 0, 1), _utc(2025, 3, 1, 0, 0, 1, 250_500), 250_500),
            2: (_utc(2025, 3, 1, 0, 0, 3), None, None),
            3: (_utc(2024, 7, 1, 4, 0, 0), _utc(2024, 7, 1, 4, 0, 30), 30_000_000),
            4: (_utc(2025, 3, 1, 0, 0, 5), None, None),
        }

    async def test_a_duration_that_is_none_gives_a_call_no_end_and_stops_nothing(self, old: Database) -> None:
        await _change(
            old,
            "UPDATE server_calls SET response_time = 1e30 WHERE id = 1; UPDATE server_calls SET response_time = -5 WHERE id = 2;"
            " UPDATE server_calls SET response_time = 1e9, created_at = '9999-12-31 23:59:59' WHERE id = 3",
        )
        await adopt(old, SHANGHAI, None)
        times = await _times(old)
        assert times[1] == (_utc(2025, 3, 1, 0, 0, 1), None, None)
        assert times[2] == (_utc(2025, 3, 1, 0, 0, 3), None, None)
        assert times[3][2] == 10**12

    async def test_a_version_table_of_another_tool_is_left_alone(self, old: Database) -> None:
        await _change(old, "DROP TABLE alembic_version; CREATE TABLE alembic_version (applied INT)")
        with pytest.raises(SchemaOutdated, match="`mcp-gateway db adopt`"):
            await migrate.require_current(old)
        await adopt(old, SHANGHAI, None)
        await migrate.require_current(old)

    async def test_summer_time_is_taken_off_in_summer_alone(self, old: Database) -> None:
        await adopt(old, ZoneInfo("Europe/Berlin"), None)
        times = await _times(old)
        assert (times[1][0], times[3][0]) == (_utc(2025, 3, 1, 7, 0, 1), _utc(2024, 7, 1, 10, 0, 0))

    async def test_more_rows_than_one_chunk_are_filled(self, old: Database) -> None:
        async with old.writing() as connection:
            rows = [{"content": str(number)} for number in range(1_200)]
            inserting = "INSERT INTO chat_messages (session_id, message_type, content) VALUES (1, 'user', :content)"
            await connection.execute(text(inserting), rows)
        assert (await adopt(old, SHANGHAI, None)).filled["chat_messages"] == 1_203

    async def test_a_column_keeps_its_comment_and_the_escapes_in_it(self, old: Database) -> None:
        await adopt(old, SHANGHAI, None)
        async with old.reading() as connection:
            shown = (await connection.execute(text("SHOW CREATE TABLE users"))).one()[1]
        assert "`hashed_password` varchar(255) NOT NULL COMMENT '100% 加密'" in shown

    async def test_killed_anywhere_it_is_finished_by_running_it_again(self, old: Database) -> None:
        before = await _documented_rows(old)
        killings = 0
        while await _is_killed(old):
            killings += 1
            if killings <= 20:
                await _change(
                    old, "INSERT INTO chat_messages (session_id, message_type, content) VALUES (1, 'user', '还在')"
                )
        after = await _documented_rows(old)
        assert killings > 20
        assert len(after["chat_messages"]) == len(before["chat_messages"]) + 20
        for table, rows in before.items():
            assert after[table][: len(rows)] == rows
        async with old.reading() as connection:
            assert await connection.run_sync(_differences) == []

    async def test_without_foreign_keys_none_is_added(self, engine: Engine) -> None:
        async with made(engine, foreign_keys=False) as db:
            await mcp_chat.make(db)
            async with db.reading() as connection:
                before = (await inspect(connection)).references
            await adopt(db, SHANGHAI, None)
            async with db.reading() as connection:
                assert (await inspect(connection)).references == before


class TestExamining:
    async def test_it_says_what_it_found_and_what_it_would_do_and_does_nothing(self, old: Database) -> None:
        before = await _everything(old)
        found = await examine(old)
        assert await _everything(old) == before
        assert found.refusals == ()
        assert found.rows == {"users": 2, "chat_sessions": 3, "chat_messages": 3, "mcp_servers": 3, "server_calls": 4}
        assert found.notes == (
            "alembic_version: is not documented; left as it is",
            "chat_messages.session_id: 1 rows name a row of chat_sessions that is not there; left as they are",
            "chat_sessions.user_id: 1 rows name a row of users that is not there; left as they are",
            "server_calls.server_id: 1 rows name a row of mcp_servers that is not there; left as they are",
            "mcp_servers: the rows 2,3 are all named 'docs'; left as they are",
        )
        assert found.steps[0] == "keep the gateway's revision in mcp_gateway_version; alembic_version stays as it is"
        assert any(step.startswith("add to server_calls: call_uid, record_state") for step in found.steps)

    async def test_a_database_to_the_letter_of_the_document_has_no_difference(self, engine: Engine) -> None:
        async with made(engine) as db:
            await migrate.upgrade(db, "gateway_0001")
            async with db.writing() as connection:
                await connection.execute(text("DROP TABLE alembic_version"))
            assert (await examine(db)).notes == ()

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ("DROP TABLE server_calls", "server_calls: there is no such table"),
            (
                "ALTER TABLE mcp_servers DROP COLUMN port",
                "mcp_servers.port: there is no such column; it should be int NOT NULL",
            ),
            (
                "ALTER TABLE mcp_servers MODIFY port VARCHAR(20) NOT NULL",
                "mcp_servers.port: is varchar(20) and not int; first run ALTER TABLE mcp_servers MODIFY COLUMN port int NOT NULL",
            ),
            (
                "ALTER TABLE users MODIFY username VARCHAR(30) NOT NULL",
                "users.username: is varchar(30) and not varchar(50)",
            ),
            (
                "ALTER TABLE chat_messages MODIFY message_type ENUM('user','assistant','system','Robot')",
                "chat_messages.message_type: is enum('user','assistant','system','Robot') and not enum",
            ),
            (
                "ALTER TABLE users MODIFY created_at DATETIME NOT NULL",
                "users.created_at: has no default CURRENT_TIMESTAMP",
            ),
            (
                "UPDATE mcp_servers SET description = ''; ALTER TABLE mcp_servers MODIFY description TEXT NOT NULL",
                "mcp_servers.description: takes no NULL and has no default",
            ),
            (
                "ALTER TABLE chat_sessions ADD tenant INT NOT NULL",
                "chat_sessions.tenant: is not documented, takes no NULL and has no default",
            ),
            (
                "ALTER TABLE chat_messages ADD tokens VARCHAR(9)",
                "chat_messages.tokens: is varchar(9), and the gateway needs a column of that name as int",
            ),
            ("ALTER TABLE chat_sessions ADD UNIQUE (title)", "chat_sessions.title: is unique"),
            ("CREATE TABLE files (id INT)", "files: the gateway needs a table of that name"),
            ("ALTER TABLE mcp_servers CONVERT TO CHARACTER SET utf8mb3", "mcp_servers: holds text in utf8"),
            (
                "CREATE TABLE x LIKE mcp_servers; DROP TABLE mcp_servers; ALTER TABLE x ENGINE=MyISAM; RENAME TABLE x TO mcp_servers",
                "mcp_servers: is kept by MyISAM",
            ),
            ("ALTER TABLE chat_messages ROW_FORMAT=COMPACT", "chat_messages: has the row format Compact"),
            ("ALTER TABLE mcp_servers MODIFY id INT NOT NULL", "mcp_servers.id: does not count up by itself"),
            (
                "CREATE VIEW journals AS SELECT 1 AS id",
                "journals: the gateway needs a table of that name; rename this view",
            ),
            (
                "UPDATE server_calls SET created_at = '0000-00-00' WHERE id > 2",
                "server_calls.created_at: 2 rows hold no valid datetime; mend those of SELECT id FROM server_calls WHERE MONTH(created_at) = 0",
            ),
        ],
    )
    async def test_a_shape_that_cannot_be_lived_with_is_refused_and_the_remedy_named(
        self, old: Database, change: str, words: str
    ) -> None:
        await _change(old, change)
        before = await _everything(old)
        found = await examine(old)
        assert any(words in refusal for refusal in found.refusals), found.refusals
        with pytest.raises(AdoptionRefused) as refused:
            await adopt(old, SHANGHAI, None)
        assert all(reason in str(refused.value) for reason in found.refusals)
        assert await _everything(old) == before

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (
                "ALTER TABLE users MODIFY avatar VARCHAR(900)",
                "users.avatar: is varchar(900) and not varchar(200); left so wide",
            ),
            ("ALTER TABLE chat_messages MODIFY content MEDIUMTEXT NOT NULL", "chat_messages.content: is mediumtext"),
            ("ALTER TABLE mcp_servers MODIFY success_rate DOUBLE", "mcp_servers.success_rate: is double and not float"),
            (
                "ALTER TABLE users MODIFY hashed_password VARCHAR(200) NULL",
                "users.hashed_password: takes NULL; left so",
            ),
            ("ALTER TABLE users DROP INDEX phone", "users.phone: has no unique key; left without"),
            ("ALTER TABLE mcp_servers DROP INDEX idx_status", "mcp_servers.status: has no key; left without"),
            (
                "ALTER TABLE chat_messages DROP FOREIGN KEY chat_messages_ibfk_1",
                "chat_messages.session_id: has no foreign key to chat_sessions.id; left without",
            ),
            (
                "ALTER TABLE mcp_servers ALTER status DROP DEFAULT",
                "mcp_servers.status: has the default None and not offline; left so",
            ),
            (
                "ALTER TABLE users MODIFY updated_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP",
                "users.updated_at: is not refreshed by updates",
            ),
            ("ALTER TABLE users ADD wechat VARCHAR(50)", "users.wechat: is not documented; left as it is"),
            (
                "ALTER TABLE chat_messages ADD tokens INT NOT NULL DEFAULT 0",
                "chat_messages.tokens: is not documented; used as it is",
            ),
            ("CREATE TABLE invoices (id INT)", "invoices: is not documented; left as it is"),
            ("UPDATE users SET username = 'local' WHERE id = 2", "users: there is a user `local`"),
        ],
    )
    async def test_a_shape_that_can_be_lived_with_is_noted_and_kept(
        self, old: Database, change: str, words: str
    ) -> None:
        await _change(old, change)
        found = await examine(old)
        assert (found.refusals, any(words in note for note in found.notes)) == ((), True), found
        before = await _documented_rows(old)
        async with old.reading() as connection:
            columns = (await inspect(connection)).columns
        await adopt(old, SHANGHAI, None)
        assert [row[:11] for row in (await _documented_rows(old))["users"]][:2] == before["users"]
        async with old.reading() as connection:
            after = (await inspect(connection)).columns
        for table, shapes in columns.items():
            for name, shape in shapes.items():
                assert after[table][name].type in (shape.type, *_WIDENED.get(f"{table}.{name}", ()))
                assert after[table][name].null >= shape.null

    async def test_json_that_is_none_is_refused_before_an_alteration_would_be(self, engines: Engines) -> None:
        """MariaDB lets it in while its checks are off."""
        async with made(engines["mariadb"]) as db:
            await mcp_chat.make(db)
            await _change(
                db, "SET check_constraint_checks = 0; UPDATE server_calls SET request_data = '{' WHERE id = 1"
            )
            [refusal] = (await examine(db)).refusals
        assert refusal.startswith("server_calls.request_data: 1 rows hold no valid json; mend those of SELECT id")

    async def test_an_empty_database_is_nothing_to_adopt(self, engine: Engine) -> None:
        async with made(engine) as db:
            with pytest.raises(
                AdoptionRefused, match=r"holds no table of an mcp_chat database; .*`mcp-gateway db upgrade`"
            ):
                await examine(db)

    async def test_a_database_of_our_own_is_nothing_to_adopt(self, engine: Engine) -> None:
        async with made(engine, migrated=True) as db:
            with pytest.raises(AdoptionRefused, match="is the gateway's own already"):
                await examine(db)

    @pytest.mark.parametrize("name", params("sqlite", "postgresql"))
    async def test_other_engines_have_nothing_to_adopt(self, engines: Engines, name: str) -> None:
        async with made(engines[name]) as db:
            with pytest.raises(AdoptionRefused, match="only MySQL and MariaDB have mcp_chat databases"):
                await examine(db)


class TestTheBackup:
    async def test_it_makes_the_same_database_again(self, old: Database, engine: Engine, tmp_path: Path) -> None:
        await _change(
            old,
            "CREATE TABLE `it's: odd` (`a%:b``c` INT PRIMARY KEY AUTO_INCREMENT, i INT, f FLOAT, f2 DOUBLE AS (f + 0E0) VIRTUAL, d DOUBLE, n DECIMAL(30, 10), b BLOB, bits BIT(9),"
            " t TIME(6), day DATE, y YEAR, ts TIMESTAMP(6) NULL, s SET('a','b'), g INT AS (i + 1) STORED, j JSON, l LONGTEXT)",
        )
        await _change(
            old,
            "INSERT INTO `it's: odd` (i, f, d, n, b, bits, t, day, y, ts, s, j, l) VALUES"
            " (1, 12.3456789, 1e-300, 12345678901234567890.0123456789, x'00ff5c27', b'100000001', '-12:34:56.5', '2025-02-28', 1999,"
            " '2025-03-01 00:00:00.123456', 'a,b', '{\"a\": [1, \"\\\\u00e9\"]}', REPEAT('你\\\\''\"\\n', 200000)), (2, NULL,"
            " 3.14159265358979, 0, '', 0, NULL, NULL, NULL, NULL, '', NULL, '')",
        )
        file = tmp_path / "backup.sql"
        before = await _everything(old)
        await adopt(old, SHANGHAI, file)
        assert file.stat().st_mode & 0o777 == 0o600
        assert os.listdir(tmp_path) == ["backup.sql"]
        async with made(engine) as restored:
            _restore(restored, file)
            assert await _everything(restored) == before

    async def test_a_file_that_exists_is_not_overwritten_and_nothing_is_changed(
        self, old: Database, tmp_path: Path
    ) -> None:
        file = tmp_path / "backup.sql"
        file.write_text("precious")
        with pytest.raises(AdoptionRefused, match="exists already"):
            await adopt(old, SHANGHAI, file)
        assert file.read_text() == "precious"
        assert (await migrate.status(old)).current is None

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ("CREATE VIEW names AS SELECT username FROM users", "the view names"),
            ("CREATE TRIGGER twice BEFORE INSERT ON users FOR EACH ROW SET NEW.phone = NULL", "the trigger twice"),
            ("CREATE PROCEDURE nothing() BEGIN END", "the routine nothing"),
            ("CREATE EVENT daily ON SCHEDULE EVERY 1 DAY DO SELECT 1", "the event daily"),
            ("CREATE TABLE plain (id INT) ENGINE=MyISAM", "the MyISAM table plain"),
            ("CREATE TABLE places (at POINT)", "places.at of type point"),
        ],
    )
    async def test_what_it_could_not_bring_back_is_refused_by_name(
        self, old: Database, tmp_path: Path, change: str, words: str
    ) -> None:
        await _change(old, change)
        with pytest.raises(AdoptionRefused, match=f"{words}.*--no-backup"):
            await adopt(old, SHANGHAI, tmp_path / "backup.sql")
        assert os.listdir(tmp_path) == []
        assert (await migrate.status(old)).current is None


_WIDENED = {
    "users.hashed_password": ("varchar(255)",),
    "users.avatar": ("varchar(500)",),
    "chat_sessions.title": ("varchar(255)",),
    "chat_messages.content": ("longtext",),
    "server_calls.id": ("bigint",),
}


def _utc(*when: int) -> datetime:
    return datetime(*when, tzinfo=UTC)


def _differences(connection: Connection) -> list[object]:
    """Comments, collations and the names of keys are the other back end's own affair."""
    context = MigrationContext.configure(connection, opts={"compare_type": True, "include_name": _is_ours})
    found = [two for one in compare_metadata(context, metadata) for two in (one if isinstance(one, list) else [one])]
    theirs = {"add_index", "remove_index", "modify_comment", "remove_table_comment"}
    return [one for one in found if one[0] not in theirs and not _is_a_collation(*one)]


def _is_a_collation(kind: str, *details: object) -> bool:
    return kind == "modify_type" and details[-2].length == details[-1].length == 100


def _is_ours(name: str | None, kind: str, parents: Mapping[str, str | None]) -> bool:
    return kind != "table" or name in metadata.tables


async def _documented_rows(db: Database) -> dict[str, list[tuple[object, ...]]]:
    async with db.reading() as connection:
        return {
            table: [
                tuple(row)
                for row in await connection.execute(text(f"SELECT {', '.join(columns)} FROM {table} ORDER BY id"))
            ]
            for table, columns in documented().items()
        }


async def _everything(db: Database) -> dict[str, object]:
    """Every table: how it is made and what is in it, exactly."""
    async with db.reading() as connection:
        tables = (await connection.execute(text("SHOW TABLES"))).scalars().all()
        found = {}
        for table in tables:
            quoted = f"`{table}`".replace(":", "\\:")
            made_by = (await connection.execute(text(f"SHOW CREATE TABLE {quoted}"))).one()[1]
            rows = (await connection.execute(text(f"SELECT * FROM {quoted}"))).all()
            found[table] = (made_by, sorted(map(repr, rows)))
        return found


async def _times(db: Database) -> dict[int, tuple[object, ...]]:
    calls = server_calls.c
    async with db.reading() as connection:
        rows = await connection.execute(select(calls.id, calls.started_at, calls.finished_at, calls.total_us))
        return {row.id: tuple(row)[1:] for row in rows}


async def _change(db: Database, statements: str) -> None:
    async with db.writing() as connection:
        await connection.exec_driver_sql("SET foreign_key_checks = 0")
        for statement in statements.split("; "):
            await connection.exec_driver_sql(statement.replace("%", "%%"))
        await connection.exec_driver_sql("SET foreign_key_checks = 1")


async def _is_killed(db: Database) -> bool:
    """Adopt in a process of its own that is killed after its first change, unless it has nothing left to change."""
    process = Database(db._settings)
    try:
        with killed_after_its_first_change():
            await adopt(process, SHANGHAI, None)
    except Killed:
        return True
    else:
        return False
    finally:
        await process.close()


def _restore(db: Database, file: Path) -> None:
    """As an administrator would: with the client program."""
    url = make_url(db._settings.url)
    command = [
        "mariadb",
        "--no-defaults",
        f"--host={url.host}",
        f"--port={url.port}",
        f"--user={url.username}",
        url.database,
    ]
    with file.open() as dump:
        try:
            subprocess.run(command, stdin=dump, check=True, capture_output=True)
        except FileNotFoundError:
            absent("mariadb, the client program (Debian package mariadb-client)")
