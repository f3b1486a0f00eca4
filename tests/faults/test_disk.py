"""A real journal disk that is full, and one that is read-only: calls go on or are refused, and no record is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.gateways import GatewayProcess
from tests.faults.laws import broken, opened, rows, settled
from tests.faults.traffic import Load, Traffic, recording
from tests.support import waiting
from tests.support.engines import Engines
from tests.support.mounts import SmallDisk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with SmallDisk(tmp_path / "disk", "8m") as disk:
        yield disk


def gateway_on(disk: SmallDisk, folder: Path, url: str, server: str) -> GatewayProcess:
    config = {
        "database": {"url": url, "connect_timeout": 1},
        "recording": {"journal": {"path": str(disk.folder), "segment_bytes": 524_288}},
        "servers": {"demo": {"url": server}},
    }
    return GatewayProcess(folder / "gateway", config, inside=disk.inside)


@pytest.mark.trap(56)
async def test_a_full_disk_stops_calls_only_while_the_database_is_away_and_costs_no_record(
    disk: SmallDisk, engines: Engines, tmp_path: Path
) -> None:
    traffic, url = Traffic(), await engines["sqlite"].migrated()
    async with opened(url) as db, recording(traffic) as server, gateway_on(disk, tmp_path, url, server.url) as gateway:
        async with Load(traffic, gateway.door("demo")) as load:
            await answers(traffic, 100)
            await asyncio.to_thread(disk.fill)
            await answers(traffic, 2_000)  # more than the segments that were there have room for
            before = len(traffic.refused)
            async with db.writing():
                await waiting.until(lambda: len(traffic.refused) >= before + 20)
            told = set(traffic.refused)
            await waiting.until(lambda: max(traffic.answered) > max(told))
            await asyncio.to_thread(disk.clear)
            await answers(traffic, 100)
            await load.end()
        await waiting.until(lambda: settled(traffic, db), every=0.1)
        found = await rows(db)
        assert broken(traffic, found) == []
        assert {error["code"] for error in traffic.refused.values()} == {-32603}
        assert all("journal" in error["message"] for error in traffic.refused.values())
        assert traffic.refused.keys().isdisjoint({*traffic.executed, *(row.number for row in found)})
        verified = await asyncio.to_thread(gateway.run, "calls", "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.trap(56)
async def test_a_read_only_disk_is_told_at_the_start_in_a_line(
    disk: SmallDisk, engines: Engines, tmp_path: Path
) -> None:
    traffic, url = Traffic(), await engines["sqlite"].migrated()
    async with opened(url) as db, recording(traffic) as server:
        gateway = gateway_on(disk, tmp_path, url, server.url)
        async with gateway, Load(traffic, gateway.door("demo")):
            await answers(traffic, 100)
            gateway.kill()
        before = await rows(db)
        await asyncio.to_thread(disk.protect)
        refused = await asyncio.to_thread(gateway.run, "serve")
        assert refused.returncode == 1
        [line] = refused.stderr.splitlines()
        assert str(disk.folder) in line
        assert "Read-only file system" in line
        assert "recording.journal.path" in line
        assert await rows(db) == before


async def answers(traffic: Traffic, calls: int) -> None:
    """Wait until so many more calls were answered."""
    goal = len(traffic.answered) + calls
    await waiting.until(lambda: len(traffic.answered) >= goal, every=0.02)
