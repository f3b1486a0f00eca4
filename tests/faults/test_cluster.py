"""A database of several nodes, of which one after the other is killed under load and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from tests.faults.test_database import scene
from tests.support.absence import absent
from tests.support.engines import MySQLEngine
from tests.support.galera import Galera, GaleraNode


@pytest.fixture
def cluster() -> Iterator[Galera]:
    if missing := GaleraNode.missing():
        absent(missing)
    server = Galera()
    yield server
    server.stop()


@pytest.mark.engine
@pytest.mark.trap(50)
async def test_a_cluster_whose_nodes_are_killed_in_turn_has_every_call(cluster: Galera, tmp_path: Path) -> None:
    database = make_url(await MySQLEngine(cluster.nodes[0]).migrated()).database
    async with scene(tmp_path, cluster.url(database)) as here:
        await here.goes_on()
        for node in cluster.nodes[:2]:
            node.kill()
            await here.goes_on()
            await here.is_recorded()
            await asyncio.to_thread(node.start)
            await here.goes_on()
        await here.settles()
