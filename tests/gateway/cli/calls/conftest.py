"""Databases that hold calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from storage import migrate
from storage.database import Database
from storage.settings import DatabaseSettings
from tests.support.recording import World, running, world

Filled = Callable[..., str]


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    """A configuration whose database holds the calls that a function records."""

    def fill(record: Callable[[World, Any], Awaitable[None]] | None = None, **settings: Any) -> str:
        file = tmp_path / "config.yaml"
        url = f"sqlite:///{tmp_path}/calls.db"
        file.write_text(f"database: {{url: '{url}'}}\n")
        asyncio.run(_fill(url, record, settings))
        return str(file)

    return fill


async def _fill(url: str, record: Callable[[World, Any], Awaitable[None]] | None, settings: dict[str, Any]) -> None:
    db = Database(DatabaseSettings(url=url))
    try:
        await migrate.upgrade(db)
        here = await world(db)
        async with running(db, **settings) as writer:
            if record is not None:
                await record(here, writer)
    finally:
        await db.close()
