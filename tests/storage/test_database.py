"""The door to the database, on every engine."""

from __future__ import annotations

import asyncio
import sqlite3
import timeit
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pymysql.converters import escape_string
from sqlalchemy import Column, Integer, MetaData, Table, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from storage.database import Database
from storage.errors import DatabaseContended, DatabaseMisconfigured, DatabaseUnavailable
from storage.failures import meaning_of
from storage.schema import models
from storage.settings import DatabaseSettings
from storage.types import long_bytes, long_text
from tests.support.engines import Engines, made, made_again, params

SECRET = "s3cr3t-p4ss"

hostile = Table(
    "hostile", MetaData(), Column("id", Integer, primary_key=True), Column("t", long_text()), Column("b", long_bytes())
)


class TestTheAddress:
    @pytest.mark.parametrize(
        ("url", "dialect", "label"),
        [
            ("sqlite:///mcp_chat.db", "sqlite", "SQLite database mcp_chat.db"),
            ("sqlite:////var/lib/x.db", "sqlite", "SQLite database /var/lib/x.db"),
            ("sqlite+aiosqlite:///x.db", "sqlite", "SQLite database x.db"),
            ("mysql://u:p@db/mcp_chat", "mysql", "MySQL database mcp_chat at db"),
            ("mysql+pymysql://u:p@db:3307/x?charset=utf8mb4", "mysql", "MySQL database x at db:3307"),
            ("mariadb://u@[::1]:3306/x", "mysql", "MySQL database x at [::1]:3306"),
            ("mysql://u:p,@one:3307,two,[::1]:3/x?charset=utf8", "mysql", "MySQL database x at one:3307, two, [::1]:3"),
            ("postgresql://one,two/x", "postgresql", "PostgreSQL database x at one, two"),
            ("mysql:///x?unix_socket=/run/my.sock", "mysql", "MySQL database x at /run/my.sock"),
            ("postgresql://u:p@db/x", "postgresql", "PostgreSQL database x at db"),
            ("postgres+psycopg2://u:p@db:5433/x?ssl=require", "postgresql", "PostgreSQL database x at db:5433"),
        ],
    )
    def test_every_usual_spelling_reaches_its_engine(self, url: str, dialect: str, label: str) -> None:
        db = Database(DatabaseSettings(url=url))
        assert (db.dialect, db.label) == (dialect, label)

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            (f"not a url {SECRET}", "is not a URL"),
            (f"mysql://u:{SECRET}@db:port/x", "is not a URL"),
            (f"oracle://u:{SECRET}@db/x", "unknown engine 'oracle'"),
            (f"mysql://u:{SECRET}@db", "names no database"),
            (f"mysql://u:{SECRET}@db/x?ssl_mode=off", "unknown option 'ssl_mode'; for mysql: charset, unix_socket"),
            (f"postgresql://u:{SECRET}@db/", "names no database"),
            (f"mysql://u:{SECRET}@one,two", "names no database"),
            (f"mysql://u:{SECRET}@one,,two/x", "is not a URL"),
            (f"mysql://u:{SECRET}@one:port,two/x", "is not a URL"),
            (f"mysql://u:{SECRET}@one,two/x?unix_socket=/run/my.sock", "several hosts and a socket"),
            (f"sqlite://one,two/{SECRET}.db", "must name a file"),
            ("sqlite://", "must name a file"),
            ("sqlite:///:memory:", "must name a file"),
            ("sqlite://mcp_chat.db", "must name a file"),
        ],
    )
    def test_a_url_that_cannot_be_used_says_why_without_the_password(self, url: str, words: str) -> None:
        with pytest.raises(DatabaseMisconfigured, match=words) as refused:
            Database(DatabaseSettings(url=url))
        assert SECRET not in str(refused.value)
        assert refused.value.__cause__ is None

    def test_no_text_of_a_database_holds_a_credential(self) -> None:
        db = Database(DatabaseSettings(url=f"mysql://admin:{SECRET}@db/x"))
        assert SECRET not in f"{db!r} {db} {db.label}"
        assert "admin" not in f"{db!r}"


class TestWhenItIsGone:
    @pytest.mark.parametrize("scheme", ["mysql", "postgresql"])
    async def test_a_closed_port_is_unavailable(self, scheme: str, unused_tcp_port: int) -> None:
        await _fails(f"{scheme}://u:{SECRET}@127.0.0.1:{unused_tcp_port}/x", f"x at 127.0.0.1:{unused_tcp_port}")

    @pytest.mark.parametrize("scheme", ["mysql", "postgresql"])
    async def test_a_server_that_accepts_and_says_nothing_is_unavailable_in_time(self, scheme: str) -> None:
        async with _silent_server() as port:
            await _fails(f"{scheme}://u:{SECRET}@127.0.0.1:{port}/x", "no answer within 0.2 s")

    async def test_a_sqlite_file_that_cannot_be_opened_is_unavailable(self, tmp_path: Path) -> None:
        await _fails(f"sqlite:///{tmp_path}/missing/x.db", "unable to open database file")

    async def test_a_file_that_is_no_database_is_unavailable(self, tmp_path: Path) -> None:
        (tmp_path / "x.db").write_text("Dear diary, " * 500)
        await _fails(f"sqlite:///{tmp_path}/x.db", "not a database")

    @pytest.mark.parametrize("name", params("mariadb", "mysql"))
    async def test_a_wrong_password_is_unavailable_and_not_shown(self, engines: Engines, name: str) -> None:
        async with made(engines[name]) as db:
            await _fails(db._settings.url.replace("root@", f"root:{SECRET}@"), "Access denied")

    @pytest.mark.parametrize("name", params("mariadb", "mysql", "postgresql"))
    async def test_an_unknown_database_is_unavailable(self, engines: Engines, name: str) -> None:
        async with made(engines[name]) as db:
            await _fails(f"{db._settings.url}_of_nobody", "(?i)(unknown database|does not exist)")

    @pytest.mark.parametrize("name", params("mariadb", "mysql", "postgresql"))
    async def test_a_killed_connection_is_unavailable_once_and_replaced(self, engines: Engines, name: str) -> None:
        async with made(engines[name]) as db, made_again(db) as other:
            with pytest.raises(DatabaseUnavailable):
                await _read_on_a_killed_connection(db, other)
            async with db.reading() as connection:
                assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1

    @pytest.mark.trap(55)
    @pytest.mark.parametrize("name", params("mariadb", "mysql", "postgresql"))
    async def test_a_connection_that_died_in_the_pool_is_never_handed_out(self, engines: Engines, name: str) -> None:
        async with made(engines[name]) as db, made_again(db) as other:
            async with db.reading() as connection:
                dead = await _own_id(db, connection)
            await _kill(other, dead)
            async with db.reading() as connection:
                assert await _own_id(db, connection) != dead

    async def test_an_exhausted_pool_says_so(self, engines: Engines) -> None:
        async with made(engines["sqlite"], pool_size=1, connect_timeout=0.1) as db:
            async with db.reading():
                with pytest.raises(DatabaseUnavailable, match=r"all 1 connections \(database.pool_size\)"):
                    async with db.reading():
                        pass
            assert (db.busy, db.idle) == (0, 1)

    async def test_a_checkout_that_is_cancelled_leaves_the_pool_whole(self) -> None:
        async with _silent_server() as port:
            db = Database(DatabaseSettings(url=f"mysql://u@127.0.0.1:{port}/x", pool_size=1, connect_timeout=5))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05), db.reading():
                    pass
            assert db.busy == 0
            await db.close()


class TestSQLite:
    async def test_every_connection_is_durable_patient_and_strict(self, engines: Engines) -> None:
        async with made(engines["sqlite"]) as db, db.reading() as connection:
            asked = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            got = [(await connection.execute(text(f"PRAGMA {pragma}"))).scalar_one() for pragma in asked]
        assert got == ["wal", 2, 1, 5000]

    async def test_writers_that_read_first_wait_for_each_other(self, engines: Engines) -> None:
        """A deferred transaction that turns to writing fails at once when another one is writing."""
        async with made(engines["sqlite"]) as db, made_again(db) as other:
            async with db.writing() as connection:
                await connection.execute(text("CREATE TABLE counter AS SELECT 0 AS n"))
            await asyncio.gather(*(_count_up(one) for one in (db, other) * 20))
            async with db.reading() as connection:
                assert (await connection.execute(text("SELECT n FROM counter"))).scalar_one() == 40

    async def test_a_lock_held_too_long_is_contention(self, engines: Engines) -> None:
        async with made(engines["sqlite"]) as db, db.writing():
            file = db.label.removeprefix("SQLite database ")
            impatient = sqlite3.connect(file, timeout=0, isolation_level=None)
            with closing(impatient), pytest.raises(sqlite3.OperationalError) as busy:
                impatient.execute("BEGIN IMMEDIATE")
        assert isinstance(meaning_of(DBAPIError("", None, busy.value), "x"), DatabaseContended)


class TestMySQL:
    @pytest.fixture(params=params("mariadb", "mysql"))
    async def db(self, request: pytest.FixtureRequest, engines: Engines) -> AsyncIterator[Database]:
        async with made(engines[request.param]) as db:
            async with db.writing() as connection:
                await connection.run_sync(hostile.create)
            yield db

    async def test_every_connection_speaks_utc_and_utf8mb4_strictly(self, db: Database) -> None:
        async with db.reading() as connection:
            row = (
                await connection.execute(
                    text("SELECT @@session.time_zone, @@character_set_connection, @@session.sql_mode")
                )
            ).one()
        assert tuple(row) == ("+00:00", "utf8mb4", "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION")

    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        values=st.lists(
            st.tuples(
                st.text(
                    st.sampled_from("'\"\\%_;-#`\0\n\r\x1a\x80ÿ￿😀𝒳 nrbtZ0") | st.characters(exclude_categories=["Cs"])
                ),
                st.binary(),
            ),
            min_size=1,
            max_size=4,
        )
    )
    @example(values=[("\\", b"'\\"), ("\\'; DROP TABLE hostile; -- ", b"\0\x1a\xff'"), ("%s %(x)s %%", b"")])
    async def test_hostile_text_and_bytes_come_back_as_they_were(
        self, db: Database, values: list[tuple[str, bytes]]
    ) -> None:
        await _come_back(db, values)

    async def test_text_is_safe_on_a_server_without_backslash_escapes(self, db: Database) -> None:
        async with db.writing() as connection:
            await connection.execute(text("SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'"))
            row = {"id": 1, "t": "\\'; DROP TABLE hostile; -- \\", "b": b"\\'\0"}
            await connection.execute(insert(hostile).values(**row))
            assert (await connection.execute(select(hostile))).one()._asdict() == row

    async def test_a_lone_surrogate_is_refused_before_it_is_sent(self, db: Database) -> None:
        with pytest.raises(UnicodeEncodeError):
            async with db.writing() as connection:
                await connection.execute(insert(hostile).values(id=1, t="\udc80"))
        async with db.reading() as connection:
            assert (await connection.execute(select(hostile))).all() == []

    async def test_a_megabyte_is_escaped_without_holding_the_event_loop(self, db: Database) -> None:
        value = '{"text": "it\'s \\" 你好"}' * 50_000
        async with db.reading() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            ours = min(timeit.repeat(lambda: raw.escape(value), number=1, repeat=5))
        stock = min(timeit.repeat(lambda: escape_string(value), number=1, repeat=3))
        assert ours < stock / 4


class TestAnyEngine:
    async def test_what_is_written_together_is_kept_or_lost_together(self, database: Database) -> None:
        with pytest.raises(IntegrityError):
            await _insert_twice(database, _model("a"))
        async with database.reading() as connection:
            assert (await connection.execute(select(models.c.id))).all() == []

    async def test_a_statements_own_fault_stays_what_it_is_and_hides_its_values(self, database: Database) -> None:
        with pytest.raises(IntegrityError) as failed:
            await _insert_twice(database, _model("a") | {"description": SECRET})
        assert SECRET not in str(failed.value)

    async def test_nothing_read_is_committed(self, database: Database) -> None:
        async with database.reading() as connection:
            await connection.execute(insert(models).values(_model("a")))
        async with database.reading() as connection:
            assert (await connection.execute(select(models.c.id))).all() == []

    @pytest.mark.trap(55)
    @pytest.mark.parametrize("name", params("mariadb", "mysql", "postgresql"))
    async def test_a_deadlock_is_contention(self, engines: Engines, name: str) -> None:
        async with made(engines[name], migrated=True) as db:
            async with db.writing() as connection:
                await connection.execute(insert(models), [_model("a"), _model("b")])
            barrier = asyncio.Barrier(2)
            async with asyncio.timeout(20):
                ended = await asyncio.gather(
                    _update_both(db, barrier, "a", "b"), _update_both(db, barrier, "b", "a"), return_exceptions=True
                )
        assert [type(one) for one in ended if one is not None] == [DatabaseContended]


@asynccontextmanager
async def _silent_server() -> AsyncIterator[int]:
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda reader, writer: held.append(writer), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in held:
            writer.transport.abort()
        await server.wait_closed()


async def _fails(url: str, words: str) -> None:
    db = Database(DatabaseSettings(url=url, connect_timeout=0.2 if "no answer" in words else 5))
    try:
        with pytest.raises(DatabaseUnavailable, match=words) as failed:
            async with asyncio.timeout(30), db.reading():
                pass
        assert SECRET not in str(failed.value)
    finally:
        await db.close()


async def _own_id(db: Database, connection: object) -> int:
    query = "SELECT CONNECTION_ID()" if db.dialect == "mysql" else "SELECT pg_backend_pid()"
    return (await connection.execute(text(query))).scalar_one()


async def _kill(db: Database, victim: int) -> None:
    """Kill a connection and wait until the server has let go of it."""
    async with db.writing() as connection:
        if db.dialect == "mysql":
            await connection.execute(text(f"KILL {victim}"))
        else:
            await connection.execute(text(f"SELECT pg_terminate_backend({victim}, 5000)"))


async def _count_up(db: Database) -> None:
    async with db.writing() as connection:
        n = (await connection.execute(text("SELECT n FROM counter"))).scalar_one()
        await connection.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})


async def _come_back(db: Database, values: list[tuple[str, bytes]]) -> None:
    """By a single insert, by a batch, and as a condition."""
    rows = [{"id": number, "t": t, "b": b} for number, (t, b) in enumerate(values, 1)]
    async with db.reading() as connection:
        await connection.execute(insert(hostile).values(rows[0] | {"id": 99}))
        await connection.execute(insert(hostile), rows)
        got = (await connection.execute(select(hostile).order_by(hostile.c.id))).all()
        assert [row._asdict() for row in got] == [*rows, rows[0] | {"id": 99}]
        for row in rows:
            same = select(hostile.c.id).where(hostile.c.b == row["b"])
            assert row["id"] in (await connection.execute(same)).scalars().all()


async def _read_on_a_killed_connection(db: Database, other: Database) -> None:
    async with db.reading() as connection:
        await _kill(other, await _own_id(db, connection))
        await connection.execute(text("SELECT 1"))


async def _insert_twice(db: Database, row: dict[str, object]) -> None:
    async with db.writing() as connection:
        await connection.execute(insert(models).values(row))
        await connection.execute(insert(models).values(row))


async def _update_both(db: Database, barrier: asyncio.Barrier, *order: str) -> None:
    async with db.writing() as connection:
        for one in order:
            await connection.execute(update(models).where(models.c.id == one).values(display_name="x"))
            if one == order[0]:
                await barrier.wait()


def _model(id: str) -> dict[str, object]:
    now = datetime.now(UTC)
    return {"id": id, "display_name": id, "created_at": now, "updated_at": now}
