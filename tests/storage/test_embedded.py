"""The embedded database lets go of its file, whatever happened to a transaction."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

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
