"""What the calls take.

Which question: how many bytes are all calls together, and how many of them are too many? Reads `journals` and a sample
of `server_calls`. The rule: what is counted shrinks when rows are removed. Files and tables do not, on any engine, and
whoever removed until they did would remove everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

from sqlalchemy import ColumnElement, LargeBinary, Text, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.dialects import Dialect
from storage.schema import journals, server_call_payloads, server_calls

ROW_BYTES = 1_000
"""A row without its payloads, with its part of thirteen indexes: docs/scaling.md measures 650 to 750 where they are
dense, and those that grow call by call are about two thirds full.
"""

PLACES, AT_EACH = 20, 25
"""The sample: so many calls, at so many places, all over the table."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """So many calls, and what one takes on average."""

    calls: int
    bytes_each: float

    @property
    def bytes(self) -> int:
        return round(self.calls * self.bytes_each)

    def beyond(self, size: int) -> int:
        """How many calls have to go until all fit into `size` bytes."""
        return min(self.calls, ceil(max(0, self.bytes - size) / self.bytes_each)) if self.calls else 0


async def bulk(connection: AsyncConnection, dialect: Dialect) -> Bulk:
    """Estimate; calls of other applications are left out."""
    of = journals.c
    calls = await connection.scalar(select(func.sum(of.started_seq - of.purged - of.set_aside)))
    return Bulk(max(0, int(calls or 0)), await _bytes_each(connection, dialect))


async def _bytes_each(connection: AsyncConnection, dialect: Dialect) -> float:
    ids = server_calls.c.id
    first, last = (await connection.execute(select(func.min(ids), func.max(ids)))).one()
    if first is None:
        return ROW_BYTES
    step, rows, total = max(1, (last - first) // PLACES), 0, 0
    for place in range(first, last + 1, step):
        for size in await connection.scalars(_sizes(dialect, place)):
            rows, total = rows + 1, total + int(size or 0)
    return ROW_BYTES + total / max(1, rows)


def _sizes(dialect: Dialect, place: int) -> Any:
    """Bytes of the payloads of the calls from the id `place` on."""
    calls, payloads = server_calls.c, server_call_payloads.c
    same = (payloads.created_at == calls.created_at, payloads.call_uid == calls.call_uid)
    body = func.octet_length(payloads.body) if dialect == "postgresql" else func.length(payloads.body)
    bodies = select(func.sum(body)).where(*same).correlate(server_calls).scalar_subquery()
    inline = (func.coalesce(_length(dialect, one), 0) for one in (calls.request_data, calls.response_data))
    query = select(sum(inline, func.coalesce(bodies, 0))).where(calls.id >= place, calls.call_uid.is_not(None))
    return query.order_by(calls.id).limit(AT_EACH)


def _length(dialect: Dialect, column: ColumnElement[Any]) -> ColumnElement[int]:
    if dialect == "mysql":
        return func.length(column)
    if dialect == "postgresql":
        return func.octet_length(cast(column, Text))
    return func.length(cast(column, LargeBinary))
