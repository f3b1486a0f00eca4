"""Gateways that work on one database, as they know of each other.

Which question: which installations are there, and when was each last seen? Touches `replicas`, by the database's clock.
The rule: a gateway says that it is alive from a task of its own, so that neither load nor a long batch makes it look
dead.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update

from storage.attempts import repeated
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.moments import database_now
from storage.schema import replicas
from storage.upserts import once

log = logging.getLogger(__name__)

BEAT = 10.0
"""Seconds between two signs of life."""

FORGOTTEN = timedelta(days=7)
"""An installation that was not seen for so long is listed no more."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One installation; `id` is a UUID, 32 hexadecimal digits. `silent`: seconds since its last sign of life."""

    id: str
    name: str
    version: str
    started_at: datetime
    draining: bool
    silent: float


class Presence:
    """Says that this gateway is alive. `in_flight` tells how many calls each server has from here."""

    def __init__(
        self, db: Database, replica_id: str, name: str, version: str, in_flight: Callable[[], Mapping[str, int]]
    ) -> None:
        self._db = db
        self._id = replica_id
        self._name = name[:255]
        self._version = version
        self._in_flight = in_flight

    async def run(self) -> None:
        """At once, and every ten seconds; for ever. A database that is away hears of it later."""
        while True:
            try:
                await self.beat()
            except DatabaseUnavailable as error:
                log.debug("the database does not hear that this gateway is alive: %s", error)
            await asyncio.sleep(BEAT)

    async def beat(self) -> None:
        """One sign of life. Raises `DatabaseUnavailable`."""
        await repeated(lambda: self._said(draining=False))

    async def leave(self) -> None:
        """This gateway is stopping. Raises `DatabaseUnavailable`."""
        await repeated(lambda: self._said(draining=True))

    async def _said(self, *, draining: bool) -> None:
        async with self._db.writing() as connection:
            now = await database_now(connection, self._db.dialect)
            known = {"name": self._name, "version": self._version, "seen_at": now, "draining": draining}
            told = {**known, "in_flight": json.dumps(dict(self._in_flight()))}
            moved = await connection.execute(update(replicas).where(replicas.c.id == self._id).values(told))
            if moved.rowcount == 0:
                await connection.execute(once(self._db.dialect, replicas), {"id": self._id, "started_at": now, **told})


async def known(db: Database) -> list[Replica]:
    """Every installation, the one seen last first. Raises `DatabaseUnavailable`."""
    columns = replicas.c["id", "name", "version", "started_at", "draining", "seen_at"]
    async with db.reading() as connection:
        now = await database_now(connection, db.dialect)
        found = await connection.execute(select(*columns).order_by(replicas.c.seen_at.desc()))
        return [
            Replica(row.id, row.name, row.version, row.started_at, row.draining, (now - row.seen_at).total_seconds())
            for row in found
        ]


async def forget(db: Database) -> None:
    """Take those off the list that nobody has seen for a week. Raises `DatabaseUnavailable`."""
    async with db.writing() as connection:
        now = await database_now(connection, db.dialect)
        await connection.execute(delete(replicas).where(replicas.c.seen_at < now - FORGOTTEN))
