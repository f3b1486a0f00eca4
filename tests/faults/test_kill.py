"""A gateway that is killed again and again, under load: nothing that it answered is lost (`make faults`: 100 times)."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import delete, distinct, func, select

from storage.database import Database
from storage.schema import journals, server_calls
from tests.faults.gateways import GatewayProcess
from tests.faults.laws import broken, opened, rows, settled
from tests.faults.traffic import Load, Traffic, recording
from tests.support import waiting
from tests.support.absence import absent
from tests.support.engines import Engines, params
from tests.support.nginx import Nginx

KILLS = int(os.environ.get("FAULTS_KILLS", "20"))


@pytest.mark.trap(49)
@pytest.mark.parametrize("engine", params("sqlite", "mariadb"))
async def test_a_gateway_that_is_killed_at_random_moments_loses_nothing(
    engine: str, engines: Engines, tmp_path: Path
) -> None:
    url, traffic, luck = await engines[engine].migrated(), Traffic(), random.Random(49)
    async with opened(url) as db, recording(traffic) as server:
        config = {"database": {"url": url}, "servers": {"demo": {"url": server.url}}}
        gateway = GatewayProcess(tmp_path / "gateway", config)
        async with gateway, Load(traffic, gateway.door("demo")) as load:
            for _ in range(KILLS):
                answered = len(traffic.answered)
                await waiting.until(lambda: len(traffic.answered) > answered)  # noqa: B023
                await asyncio.sleep(luck.random() / 2)
                gateway.kill()
                await gateway.start()
            await load.end()
            await waiting.until(lambda: settled(traffic, db), every=0.1)
            assert broken(traffic, await rows(db)) == []
            assert len(traffic.answered) > KILLS
            verified = await asyncio.to_thread(gateway.run, "calls", "verify")
            assert verified.returncode == 0, verified.stdout + verified.stderr
            journal, seq = await _delete_one(db)
            verified = await asyncio.to_thread(gateway.run, "calls", "verify")
            assert verified.returncode == 1
            assert f"journal {journal:016x}: there is no row of call {seq} of it" in verified.stdout


@pytest.mark.trap(49)
@pytest.mark.parametrize("engine", params("mariadb", "postgresql"))
async def test_of_two_gateways_on_one_database_behind_nginx_one_may_be_killed(
    engine: str, engines: Engines, tmp_path: Path
) -> None:
    url, traffic, luck = await engines[engine].migrated(), Traffic(), random.Random(12)
    async with opened(url) as db, recording(traffic) as server:
        config = {"database": {"url": url}, "servers": {"demo": {"url": server.url}}}
        first, second = (GatewayProcess(tmp_path / name, config) for name in ("first", "second"))
        async with first, second, behind_nginx(first, second) as nginx, Load(traffic, nginx.door("demo")) as load:
            for _ in range(max(2, KILLS // 10)):
                answered = len(traffic.answered)
                await waiting.until(lambda: len(traffic.answered) > answered + 50)  # noqa: B023
                await asyncio.sleep(luck.random() / 2)
                second.kill()
                answered = len(traffic.answered)
                await waiting.until(lambda: len(traffic.answered) > answered + 50)  # noqa: B023
                await second.start()
            await load.end()
            await waiting.until(lambda: settled(traffic, db), every=0.1)
            assert broken(traffic, await rows(db)) == []
            assert traffic.refused == {}
            assert await _replicas(db) == 2
            verified = await asyncio.to_thread(first.run, "calls", "verify")
            assert verified.returncode == 0, verified.stdout + verified.stderr


@asynccontextmanager
async def behind_nginx(*gateways: GatewayProcess) -> AsyncIterator[Nginx]:
    if missing := Nginx.missing():
        absent(missing)
    nginx = Nginx([gateway.port for gateway in gateways])
    yield nginx
    nginx.stop()


async def _replicas(db: Database) -> int:
    """How many installations have recorded calls."""
    async with db.reading() as connection:
        replicas = func.count(distinct(journals.c.replica_id))
        return await connection.scalar(select(replicas).where(journals.c.started_seq > 0))


async def _delete_one(db: Database) -> tuple[int, int]:
    """The journal and the number of a call whose row is gone now."""
    calls = server_calls.c
    async with db.writing() as connection:
        row = (await connection.execute(select(calls.id, calls.journal_id, calls.journal_seq).limit(1))).one()
        await connection.execute(delete(server_calls).where(calls.id == row.id))
    return row.journal_id, row.journal_seq
