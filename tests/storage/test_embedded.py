"""The embedded database lets go of its file, whatever happened to a transaction."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import text

from storage import embedded
from storage.database import Database
from storage.settings import DatabaseSettings


@pytest.mark.trap(56)
async def test_a_connection_that_is_closed_in_the_middle_of_a_statement_keeps_no_lock(tmp_path: Path) -> None:
    db = Database(DatabaseSettings(url=f"sqlite:///{tmp_path}/x.db"))
    async with db.writing() as connection:
        await connection.execute(text("CREATE TABLE t (a)"))
        await connection.execute(text("INSERT INTO t VALUES (1), (2), (3)"))
    async with db.reading() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        await raw.execute("BEGIN IMMEDIATE")
        await raw.execute("DELETE FROM t WHERE a = 1")
        cut_short = await raw.execute("SELECT a FROM t")
        await cut_short.fetchone()
        await connection.invalidate()
    async with asyncio.timeout(2), db.writing() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM t"))).scalar() == 3
        await connection.execute(text("INSERT INTO t VALUES (4)"))
    assert cut_short is not None
    await db.close()


@pytest.mark.trap(72)
async def test_a_connection_that_is_stopped_while_it_is_being_closed_keeps_nobody_waiting(tmp_path: Path) -> None:
    connection = await embedded.opened(str(tmp_path / "x.db"))
    free = threading.Event()
    connection._tx.put_nowait((None, free.wait))
    connection.stop()
    closing = asyncio.get_running_loop().create_task(connection.close())
    await asyncio.sleep(0)
    free.set()
    async with asyncio.timeout(2):
        await closing
    await asyncio.to_thread(connection.join)
    assert not connection._thread.is_alive()


@pytest.mark.trap(72)
async def test_closing_the_database_waits_for_what_was_cut_short(tmp_path: Path) -> None:
    db = Database(DatabaseSettings(url=f"sqlite:///{tmp_path}/x.db"))
    free = threading.Event()
    began = asyncio.Event()

    async def work() -> None:
        async with db.reading() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            raw._tx.put_nowait((None, free.wait))
            began.set()
            await connection.execute(text("SELECT 1"))

    before = asyncio.all_tasks()
    working = asyncio.get_running_loop().create_task(work())
    await began.wait()
    threads = [thread for thread in threading.enumerate() if "_connection_worker_thread" in thread.name]
    working.cancel()
    asyncio.get_running_loop().call_later(0.05, free.set)
    with suppress(asyncio.CancelledError):
        await working
    async with asyncio.timeout(2):
        await db.close()
    assert threads
    assert not any(thread.is_alive() for thread in threads)
    assert asyncio.all_tasks() <= before


def test_a_connection_may_be_closed_again(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "x.db", factory=embedded._Connection)
    connection.close()
    connection.close()
