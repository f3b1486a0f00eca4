"""What must hold of the records after whatever has happened.

(a) Answered: exactly one row, final, with the outcome and the very result that the client saw.
(b) Carried out by the server: exactly one row.
(c) Sent and not answered: at most one row, with its true outcome or `unknown`.
(d) No row in progress, none without a request, no call twice.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import select

from storage.database import Database
from storage.records import RecordState
from storage.schema import server_calls
from storage.settings import DatabaseSettings
from tests.faults.traffic import Traffic, digest

TRUE_OUTCOMES = {"ok", "unknown", "cancelled", "upstream_error"}


@dataclass(frozen=True)
class Row:
    """One recorded call of the load."""

    number: int
    uid: str
    state: int
    outcome: str | None
    result: str | None


async def rows(db: Database) -> list[Row]:
    """Every row, by the numbers in their requests."""
    calls = server_calls.c
    wanted = select(calls.call_uid, calls.record_state, calls.outcome, calls.request_data, calls.response_data)
    async with db.reading() as connection:
        found = (await connection.execute(wanted.order_by(calls.id))).all()
    return [
        Row(
            json.loads(_text(row.request_data))["arguments"]["number"],
            row.call_uid,
            row.record_state,
            row.outcome,
            None if row.response_data is None else digest(json.loads(_text(row.response_data))),
        )
        for row in found
    ]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """The database of a gateway, for whoever looks into it."""
    db = Database(DatabaseSettings(url=url))
    try:
        yield db
    finally:
        await db.close()


async def settled(traffic: Traffic, db: Database) -> bool:
    """Whether every answer has come to the database, and nothing is under way there any more."""
    found = {row.number: row.state for row in await rows(db)}
    return traffic.answered.keys() <= found.keys() and RecordState.OPEN not in found.values()


def broken(traffic: Traffic, found: list[Row]) -> list[str]:
    """Where a law does not hold, in words, ten at most."""
    return list(islice(_broken(traffic, found), 10))


def _broken(traffic: Traffic, found: list[Row]) -> Iterator[str]:
    by_number = {row.number: row for row in found}
    times = Counter(row.number for row in found)
    uids = Counter(row.uid for row in found)
    yield from (f"(d) {uid} stands twice" for uid, n in uids.items() if n > 1)
    yield from (f"(b) call {number} has {n} rows" for number, n in times.items() if n > 1)
    yield from (f"(d) call {row.number} is in progress" for row in found if row.state == RecordState.OPEN)
    for number, seen in traffic.answered.items():
        row = by_number.get(number)
        if row is None:
            yield f"(a) call {number} was answered and has no row"
        elif (row.state, row.outcome) != (RecordState.FINAL, "ok"):
            yield f"(a) call {number} was answered and its row says {row.outcome}"
        elif row.result != seen:
            yield f"(a) the client of call {number} saw something else than its row says"
    yield from (f"(b) call {n} was carried out and has no row" for n in traffic.executed if n not in by_number)
    for number in traffic.sent - traffic.answered.keys():
        row = by_number.get(number)
        if row is not None and row.outcome not in TRUE_OUTCOMES:
            yield f"(c) call {number} was not answered and its row says {row.outcome}"
        if row is not None and row.outcome == "ok" and number not in traffic.executed:
            yield f"(c) call {number} never ran and its row says ok"
    yield from (f"call {number} was never sent" for number in by_number if number not in traffic.sent)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
