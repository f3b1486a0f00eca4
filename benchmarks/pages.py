"""What a page of recorded calls costs, and how that grows with the table.

    .venv/bin/python -m benchmarks.pages [--engine sqlite|mariadb] [--rows 100000 10000000] [--days] [--folder DIR]

Fills a database of its own with calls of ninety days (20 servers, 200 tools, 50 users, 1 call in 100 a timeout) and
times `storage.calls.page` for each filter, 50 rows each, in milliseconds: the median of the newest 20 pages (those that
people look at), of pages from 100 random places on for the first time, and of the same once more, when what they need
is in memory. Beside it stands the index by which the engine finds them. Ten million calls take 10 GB in DIR, and are
removed at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import event, func, insert, select, text
from sqlalchemy.schema import CreateIndex, DropIndex

from storage import migrate
from storage.call_filters import CallFilter
from storage.calls import Cursor, page
from storage.database import Database
from storage.partitions import TABLES, partition
from storage.schema import chat_messages, chat_sessions, mcp_servers, server_calls, users
from storage.settings import DatabaseSettings
from tests.support import servers
from tests.support.servers import MariaDB

PAGES, NEWEST, LIMIT = 100, 20, 50
DAYS = 90
SERVERS, TOOLS, USERS, SESSIONS = 20, 200, 50, 1_000
CHUNK = 500_000
REQUEST = '{"name":"get_current_time","arguments":{"timezone":"Asia/Shanghai"}}'
RESPONSE = '{"content":[{"type":"text","text":"2026-11-23T12:00:00+08:00"}],"isError":false}'

COLUMNS = (
    "server_id, session_id, message_id, request_data, response_data, status, response_time, created_at, call_uid,"
    " record_state, outcome, link, method, target, user_id, client_name, client_era, server_era, operation_uid, round,"
    " attempts, trace_id, started_at, finished_at, total_us, upstream_us, request_bytes, response_bytes, journal_id,"
    " journal_seq"
)
ROW: Mapping[str, str] = {
    "sqlite": f"""
WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last),
 m(i, at, h) AS (SELECT i, :began + CAST(i * :step AS INTEGER), (i * 2654435761) % 4294967296 FROM n)
INSERT INTO server_calls ({COLUMNS})
SELECT 1 + h % {SERVERS}, 1 + h / 64 % {SESSIONS}, 1, :request, :response,
 CASE WHEN h / 8 % 100 THEN 'success' ELSE 'timeout' END, 1.5, strftime('%Y-%m-%d %H:%M:%S', at, 'unixepoch'),
 printf('%012x%08x%012x', at * 1000, h, i), 2, CASE WHEN h / 8 % 100 THEN 'ok' ELSE 'timeout' END, 'auto',
 'tools/call', 'tool_' || (h / 16 % {TOOLS}), 1 + h / 32 % {USERS}, 'tester', 'modern', 'legacy',
 printf('%012x%08x%012x', at * 1000, h, i), 0, 1, printf('%032x', h), strftime('%Y-%m-%d %H:%M:%S.000000', at,
 'unixepoch'), strftime('%Y-%m-%d %H:%M:%S.000000', at, 'unixepoch'), 1500 + h % 100000, 1000, 68, 80, 1, i
FROM m""",
    "mysql": f"""
INSERT INTO server_calls ({COLUMNS})
SELECT 1 + h % {SERVERS}, 1 + h DIV 64 % {SESSIONS}, 1, :request, :response,
 IF(h DIV 8 % 100, 'success', 'timeout'), 1.5, FROM_UNIXTIME(at), CONCAT(LPAD(LOWER(HEX(at * 1000)), 12, '0'),
 LPAD(LOWER(HEX(h)), 8, '0'), LPAD(LOWER(HEX(i)), 12, '0')), 2, IF(h DIV 8 % 100, 'ok', 'timeout'), 'auto',
 'tools/call', CONCAT('tool_', h DIV 16 % {TOOLS}), 1 + h DIV 32 % {USERS}, 'tester', 'modern', 'legacy',
 CONCAT(LPAD(LOWER(HEX(at * 1000)), 12, '0'), LPAD(LOWER(HEX(h)), 8, '0'), LPAD(LOWER(HEX(i)), 12, '0')), 0, 1,
 LPAD(LOWER(HEX(h)), 32, '0'), FROM_UNIXTIME(at), FROM_UNIXTIME(at), 1500 + h % 100000, 1000, 68, 80, 1, i
FROM (SELECT seq AS i, :began + FLOOR(seq * :step) AS at, (seq * 2654435761) % 4294967296 AS h
 FROM seq_1_to_1000000000 WHERE seq BETWEEN :first AND :last) AS m""",
}
"""Calls from `first` to `last`. The hash spreads what they have in common, the same on both engines."""


class RoomyMariaDB(MariaDB):
    """One with room, on a disk."""

    options = tuple(
        {"--innodb-buffer-pool-size=64M": "--innodb-buffer-pool-size=2G"}.get(
            option, "--innodb-log-file-size=1G" if "log-file-size" in option else option
        )
        for option in MariaDB.options
    )


FILTERS: Mapping[str, Callable[[datetime], CallFilter]] = {
    "all": lambda at: CallFilter(),
    "--server": lambda at: CallFilter(server="server-7"),
    "--tool": lambda at: CallFilter(tool="tool_42"),
    "--user": lambda at: CallFilter(user="user-17"),
    "--outcome timeout": lambda at: CallFilter(outcome="timeout"),
    "--outcome ok": lambda at: CallFilter(outcome="ok"),
    "--session": lambda at: CallFilter(session=7),
    "--since --until": lambda at: CallFilter(since=at - timedelta(days=3), until=at),
    "--server --outcome": lambda at: CallFilter(server="server-7", outcome="timeout"),
    "--min-ms 101": lambda at: CallFilter(min_ms=101),
    "--error": lambda at: CallFilter(error="reset"),
}


@contextmanager
def engine(name: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database whose files are in `folder`."""
    if name == "sqlite":
        yield f"sqlite:///{folder}/pages.db"
        return
    servers.scratch = lambda: folder
    server = RoomyMariaDB()
    try:
        yield server.url("pages")
    finally:
        server.stop()


async def fill(db: Database, rows: int, in_days: bool) -> None:
    """Make the schema, and `rows` calls in it; the indexes come last, since that is ten times faster."""
    await migrate.upgrade(db)
    async with db.writing() as connection:
        await furnish(connection)
    began = int((datetime.now(UTC) - timedelta(days=DAYS)).timestamp())
    await add(db, 1, 1, began, rows)  # the oldest call says where the days begin
    for table in TABLES if in_days else ():
        tell(f"{table.name} in {await partition(db, table)} parts")
    async with db.writing() as connection:
        for index in server_calls.indexes:
            await connection.execute(DropIndex(index))
    for first in range(2, rows + 1, CHUNK):
        await add(db, first, min(first + CHUNK - 1, rows), began, rows)
    for index in sorted(server_calls.indexes, key=lambda one: str(one.name)):
        async with db.writing() as connection:
            await connection.execute(CreateIndex(index))
        tell(f"index {index.name}")
    async with db.writing() as connection:
        await connection.execute(text("ANALYZE" if db.dialect == "sqlite" else "ANALYZE TABLE server_calls"))


async def add(db: Database, first: int, last: int, began: int, rows: int) -> None:
    """The calls from `first` to `last` of `rows`."""
    values = {"first": first, "last": last, "began": began, "step": DAYS * 86_400 / rows}
    async with db.writing() as connection:
        await connection.execute(text(ROW[db.dialect]), {**values, "request": REQUEST, "response": RESPONSE})
    tell(f"{last:,} calls")


def tell(what: str) -> None:
    """How far it is, for whoever waits."""
    print(f"  {what}", file=sys.stderr, flush=True)


async def furnish(connection: Any) -> None:
    """What calls refer to."""
    names = [{"name": f"Server {n}", "slug": f"server-{n}", "host": "h", "port": 1} for n in range(1, SERVERS + 1)]
    await connection.execute(insert(mcp_servers), names)
    await connection.execute(
        insert(users), [{"username": f"user-{n}", "hashed_password": "!"} for n in range(1, USERS + 1)]
    )
    await connection.execute(insert(chat_sessions), [{"title": "", "user_id": 1} for _ in range(SESSIONS)])
    await connection.execute(insert(chat_messages).values(session_id=1, message_type="system", content=""))


async def places(db: Database, rows: int) -> list[Cursor]:
    """Random places all over the table."""
    chosen = random.Random(7)
    found = []
    async with db.reading() as connection:
        for _ in range(PAGES):
            calls, least = server_calls.c, chosen.randint(rows // 10, rows)
            query = select(calls.created_at, calls.id).where(calls.id >= least).order_by(calls.id).limit(1)
            found.append(Cursor(*(await connection.execute(query)).one()))
    return found


async def newest(db: Database, make: Callable[[datetime], CallFilter]) -> float:
    """The median milliseconds of the newest pages, one after another, the second time."""
    spent: list[float] = []
    for _ in range(2):
        spent.clear()
        place = None
        for _ in range(NEWEST):
            begun = time.perf_counter()
            found = await page(db, make(datetime.now(UTC)), limit=LIMIT, before=place)
            spent.append((time.perf_counter() - begun) * 1_000)
            place = found.more
    return median(spent)


async def anywhere(db: Database, make: Callable[[datetime], CallFilter], at: Sequence[Cursor]) -> float:
    """The median milliseconds of a page from each of these places on."""
    spent = []
    for place in at:
        begun = time.perf_counter()
        await page(db, make(place.created_at), limit=LIMIT, before=place)
        spent.append((time.perf_counter() - begun) * 1_000)
    return median(spent)


async def plan(db: Database, make: Callable[[datetime], CallFilter], at: Cursor) -> str:
    """The index by which the calls of a page are found."""
    seen: list[tuple[str, Any]] = []

    def remember(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if "FROM server_calls" in statement and not statement.startswith("EXPLAIN"):
            seen.append((statement, parameters))

    event.listen(db._engine.sync_engine, "before_cursor_execute", remember)
    await page(db, make(at.created_at), limit=LIMIT, before=at)
    event.remove(db._engine.sync_engine, "before_cursor_execute", remember)
    statement, parameters = seen[-1]
    async with db.reading() as connection:
        words = "EXPLAIN QUERY PLAN " if db.dialect == "sqlite" else "EXPLAIN "
        steps = (await connection.exec_driver_sql(words + statement, parameters)).mappings().all()
    if db.dialect == "sqlite":
        return "; ".join(step["detail"] for step in steps if "server_calls" in step["detail"])
    return "; ".join(
        f"{step['type']} {step['key']}, {step['Extra']}" for step in steps if step["table"] == "server_calls"
    )


async def measure(url: str, rows: int, in_days: bool) -> None:
    db = Database(DatabaseSettings(url=url, foreign_keys=False))
    try:
        begun = time.perf_counter()
        await fill(db, rows, in_days)
        seconds = time.perf_counter() - begun
        async with db.reading() as connection:
            count = await connection.scalar(select(func.count()).select_from(server_calls))
            size = await connection.scalar(text(SIZE[db.dialect]))
        each = int(size) / rows
        print(
            f"{db.dialect}: {count:,} calls, {int(size) / 1e9:.2f} GB, {each:.0f} bytes each, filled in {seconds:.0f} s"
        )
        at = await places(db, rows)
        for name, make in FILTERS.items():
            spent = [await newest(db, make), await anywhere(db, make, at), await anywhere(db, make, at)]
            print(
                f"| {name} | {' | '.join(f'{one:.1f}' for one in spent)} | {await plan(db, make, at[0])} |", flush=True
            )
    finally:
        await db.close()


SIZE: Mapping[str, str] = {
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
    "mysql": "SELECT SUM(data_length + index_length) FROM information_schema.tables WHERE table_schema = DATABASE()",
}


async def prepared(url: str) -> None:
    """The database itself, which MariaDB does not have yet."""
    if url.startswith("mariadb"):
        server = Database(DatabaseSettings(url=url.replace("/pages", "/mysql")))
        async with server.writing() as connection:
            await connection.execute(text("DROP DATABASE IF EXISTS pages"))
            await connection.execute(text("CREATE DATABASE pages CHARACTER SET utf8mb4"))
        await server.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("sqlite", "mariadb"), default="sqlite")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 10_000_000])
    parser.add_argument("--days", action="store_true", help="cut into days, as `db partition` does")
    parser.add_argument("--folder", type=Path, default=None, help="where there is room")
    arguments = parser.parse_args()
    for rows in arguments.rows:
        folder = Path(tempfile.mkdtemp(prefix="pages-", dir=arguments.folder))
        try:
            with engine(arguments.engine, folder) as url:
                await prepared(url)
                await measure(url, rows, arguments.days)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(main())
