"""Calls to record, and a writer to record them with."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from time import time
from typing import Any

from prometheus_client import CollectorRegistry
from sqlalchemy import Row, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.redact import Redactor
from storage.committing import PATIENCE
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.journal.diary import Diary, Volatile
from storage.keeping import Keeping
from storage.metrics import StorageMetrics
from storage.payloads import Redaction
from storage.records import Caller, CallUid, Claim, Finished, Outcome, Started, call_uid
from storage.schema import mcp_servers, server_calls
from storage.settings import RecordingSettings
from storage.tasks import Tasks
from storage.users import ensure_users
from storage.writer import Writer

REPLICA = "0" * 32
REQUEST = b'{"name":"get_current_time","arguments":{"timezone":"Asia/Shanghai"}}'
RESPONSE = b'{"content":[{"type":"text","text":"12:00"}],"isError":false}'


@dataclass
class World:
    """A database with two users and one server, and calls between them."""

    db: Database
    alice: Caller
    bob: Caller
    server_id: int
    _numbers: count[int] = field(default_factory=count)

    def started(self, **changes: Any) -> Started:
        uid = new_uid(changes.get("started_us"))
        values: dict[str, Any] = {
            "call_uid": uid,
            "started_us": now_us(),
            "server_id": self.server_id,
            "slug": "time",
            "method": "tools/call",
            "target": "get_current_time",
            "caller": self.alice,
            "client_name": "tester",
            "client_version": "1",
            "client_era": "modern",
            "server_era": "legacy",
            "operation_uid": uid,
            "request": REQUEST,
        }
        return Started(**{**values, **changes})

    def finished(self, started: Started, **changes: Any) -> Finished:
        values: dict[str, Any] = {
            "call_uid": started.call_uid,
            "finished_us": started.started_us + 1_500,
            "outcome": Outcome.OK,
            "total_us": 1_500,
            "upstream_us": 1_000,
            "response": RESPONSE,
        }
        return Finished(**{**values, **changes})

    async def record(self, writer: Writer, *, end: dict[str, Any] | None = None, **changes: Any) -> Started:
        """One whole call, accepted."""
        started = self.started(**changes)
        await writer.started(started)
        await writer.finished(self.finished(started, **(end or {})))
        return started

    async def rows(self, table: Table = server_calls) -> list[Row[Any]]:
        async with self.db.reading() as connection:
            order = [column for column in (table.c.get("id"), *table.primary_key) if column is not None]
            return list(await connection.execute(select(table).order_by(*order)))

    async def has(self, rows: int) -> bool:
        """Whether so many calls have a row."""
        return len(await self.rows()) >= rows

    async def row(self, uid: CallUid) -> Row[Any]:
        async with self.db.reading() as connection:
            return (await connection.execute(select(server_calls).where(server_calls.c.call_uid == uid))).one()


async def until(condition: Callable[[], Awaitable[object]], every: float = 0.005) -> None:
    """Wait until `condition` holds; rows tell nobody when they come. Bound it by a timeout."""
    while not await condition():  # noqa: ASYNC110  there is no event to wait for
        await asyncio.sleep(every)


async def world(db: Database) -> World:
    """Furnish an empty database."""
    ids = await ensure_users(db, ["alice", "bob"])
    async with db.writing() as connection:
        added = await connection.execute(insert(mcp_servers).values(name="Time", slug="time", host="stdio", port=0))
    alice, bob = (Caller(user_id=ids[name], user=name, key=f"{name}'s") for name in ("alice", "bob"))
    return World(db, alice, bob, added.inserted_primary_key[0])


class Flaky(Database):
    """A database that can be away, for a reason if one is given."""

    away: bool | DatabaseUnavailable | None = False

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        self._check()
        async with super().reading() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        self._check()
        async with super().writing() as connection:
            yield connection

    def _check(self) -> None:
        if self.away:
            raise self.away if isinstance(self.away, Exception) else DatabaseUnavailable("the database is away")


@asynccontextmanager
async def running(db: Database, *, linger: float = 0.02, **settings: Any) -> AsyncIterator[Writer]:
    """A writer at work; whatever it accepted is written at the end."""
    tasks = Tasks("test")
    writer = new_writer(db, linger=linger, **settings)
    tasks.spawn(writer.run(), "writer")
    try:
        yield writer
        async with asyncio.timeout(20):
            await writer.flush()
    finally:
        await writer.close(0.5)
        await tasks.close()


def new_writer(
    db: Database,
    *,
    registry: CollectorRegistry | None = None,
    redaction: Redaction | None = None,
    diary: Diary | None = None,
    patience: float = PATIENCE,
    **settings: Any,
) -> Writer:
    """A writer that nobody runs; without a `diary` it has only its memory."""
    recording = RecordingSettings(**settings)
    return Writer(
        db,
        recording,
        diary=diary or Volatile(),
        replica_id=REPLICA,
        keeping=Keeping(recording, redaction or Redactor()),
        metrics=StorageMetrics(registry or CollectorRegistry()),
        patience=patience,
    )


def new_uid(at_us: int | None = None) -> CallUid:
    return call_uid(now_us() if at_us is None else at_us, os.urandom(10))


def now_us() -> int:
    return int(time() * 1_000_000)


def claim(session: str | None = None, message: str | None = None) -> Claim:
    return Claim(session=session, message=message)
