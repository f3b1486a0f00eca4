"""One gateway for all of interop, in front of published servers, over the means that its users have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.e2e.interop.servers import SERVERS, Surroundings
from tests.support.cache import Unavailable
from tests.support.node import node
from tests.support.process import Served, free_port, running, served

EVERYTHING_LISTENS = re.compile(r"listening on port \d+")


@pytest.fixture(scope="session")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    """Folders that the servers work in, and Node with a published server over HTTP where Node is available."""
    alone = Surroundings(tmp_path_factory.mktemp("interop"))
    try:
        around = replace(alone, node=node())
    except Unavailable as error:
        yield replace(alone, missing=str(error))
        return
    port = free_port()
    command = [*around.node_server("everything"), "streamableHttp"]
    with running(command, around.folder, EVERYTHING_LISTENS, {"PORT": str(port)}):
        yield replace(around, everything_url=f"http://127.0.0.1:{port}/mcp")


@pytest.fixture(scope="session")
def gateway(surroundings: Surroundings) -> Iterator[Served]:
    """The gateway, in front of every published server that can run here."""
    specs = {server.slug: server.spec(surroundings) for server in SERVERS if server.runs_in(surroundings)}
    config = {"listen": {"port": 0}, "database": {"url": "sqlite:///interop.db"}, "servers": specs}
    with served(json.dumps(config), surroundings.folder) as running_gateway:
        yield running_gateway
