"""A whole gateway in the test's own event loop: real sockets, a real database, the real control path.

async with running_gateway({"servers": {"time": {"url": server.url}}}, tmp_path) as gateway:
    answer = await gateway.call("time__now", {"a": 1})
    rows = await gateway.rows()
"""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import select

from gateway import app
from gateway.config import Configuration, parse
from gateway.control import Surroundings
from gateway.redact import KnownSecrets
from storage.schema import server_calls, server_health, server_transitions
from tests.support.doors import modern_request
from tests.support.waiting import until


@dataclass
class RunningGateway:
    """A gateway and a client of it."""

    inside: app.Gateway
    client: aiohttp.ClientSession
    file: Path

    @property
    def url(self) -> str:
        return self.inside.urls[0]

    @property
    def root(self) -> str:
        return self.url.removesuffix("/mcp")

    def write(self, config: Mapping[str, Any] | str) -> None:
        """Replace the configuration file in one step, as editors and orchestrators do."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(config if isinstance(config, str) else json.dumps(config), encoding="utf-8")
        fresh.replace(self.file)

    async def modern(self, method: str, params: dict[str, Any] | None = None, **more: Any) -> aiohttp.ClientResponse:
        headers, body = modern_request(method, params or {}, more.pop("meta", {}), more.pop("id", 1))
        headers |= more.pop("headers", {})
        kept = {name: value for name, value in headers.items() if value is not None}
        url = f"{self.root}{more.pop('path', '/mcp')}"
        return await self.client.post(url, data=io.BytesIO(more.pop("raw", body)), headers=kept, **more)

    async def call(self, name: str, arguments: Any = None, **more: Any) -> dict[str, Any]:
        answer = await self.modern("tools/call", {"name": name, "arguments": arguments or {}}, **more)
        return json.loads(await answer.text())

    async def tools(self, path: str = "/mcp") -> list[str]:
        answer = await self.modern("tools/list", path=path)
        return [tool["name"] for tool in json.loads(await answer.text())["result"]["tools"]]

    async def rows(self, table: Any = server_calls) -> list[dict[str, Any]]:
        """Every row, once everything accepted so far is written."""
        await self.inside.writer.flush()
        async with self.inside.database.reading() as connection:
            found = await connection.execute(select(table).order_by(*table.primary_key.columns))
            return [dict(row) for row in found.mappings()]

    async def health(self) -> list[dict[str, Any]]:
        return await self.rows(server_health)

    async def transitions(self) -> list[dict[str, Any]]:
        return await self.rows(server_transitions)

    async def until(self, holds: Callable[[], Any]) -> None:
        """Wait, bounded, until `holds()` (which may be awaitable) is true."""
        await until(holds)


@asynccontextmanager
async def running_gateway(
    config: Mapping[str, Any], folder: Path, env: Mapping[str, str] | None = None
) -> AsyncIterator[RunningGateway]:
    """A gateway on a free port with an embedded database in `folder`; `config` may say otherwise."""
    file = folder / "config.yaml"
    whole = {
        "listen": {"port": 0},
        "database": {"url": f"sqlite:///{folder}/mcp_chat.db"},
        "lifecycle": {"reload_interval": 0.02, "grace": 5},
        **config,
    }
    file.write_text(json.dumps(whole), encoding="utf-8")
    load = partial(_load, file, env or {})
    surroundings = Surroundings(file, load, KnownSecrets())
    async with (
        app.running(load(), surroundings, folder / "sealing-keys", folder / "records") as gateway,
        aiohttp.ClientSession() as client,
    ):
        yield RunningGateway(gateway, client, file)


def _load(file: Path, env: Mapping[str, str]) -> Configuration:
    return parse(file.read_text(encoding="utf-8"), source=str(file), env=env, read_file=_no_files)


def _no_files(path: str) -> str:
    raise FileNotFoundError(path)
