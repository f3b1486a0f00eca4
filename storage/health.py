"""The rows of health: what is believed of each server, how it came to that, and the documented columns.

Which question: what do the database's readers see of a server's health? Touches `server_health`,
`server_transitions` and the mirrored columns of `mcp_servers`. The rule: a row of `server_health` is written only by
whoever knows its version, so that of two writers one loses and knows it.

`mcp_servers` is referenced by every call: a write to it waits for the inserts of calls, and they for it. So it is
mirrored rarely, and last in the transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import Database
from storage.rows import storable
from storage.schema import mcp_servers, server_health, server_transitions

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class HealthRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `server_health`. Times are microseconds since the Unix epoch, UTC."""

    server_id: int
    version: int
    state: str
    reason: str | None
    since_us: int
    rise: int
    fall: int
    observed_us: int | None
    latency_us: int | None
    server_era: str | None
    catalog_sha256: bytes | None


class TransitionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `server_transitions`: the history that nobody rewrites."""

    server_id: int
    version: int
    at_us: int
    from_state: str
    to_state: str
    reason: str
    detail: str | None
    replica_id: str


class Mirror(msgspec.Struct, frozen=True, kw_only=True):
    """The documented columns of `mcp_servers`: status, mean response time in milliseconds, success rate and load
    from 0 to 1; None is not known.
    """

    status: str
    response_time: float | None
    success_rate: float | None
    server_load: float | None


async def load(db: Database) -> dict[int, HealthRow]:
    """Every row, by server id."""
    async with db.reading() as connection:
        rows = await connection.execute(select(server_health))
        return {row.server_id: _health(row) for row in rows}


async def load_one(db: Database, server_id: int) -> HealthRow | None:
    """One server's row."""
    async with db.reading() as connection:
        found = await connection.execute(select(server_health).where(server_health.c.server_id == server_id))
        row = found.one_or_none()
        return None if row is None else _health(row)


async def save(
    db: Database,
    row: HealthRow,
    transitions: Sequence[TransitionRow] = (),
    mirror: Mirror | None = None,
    *,
    expected: int | None,
) -> bool:
    """Compare and swap: write `row` if the stored version is still `expected` (None: if there is no row yet), with
    the transitions that led to it, in one transaction. False, and nothing written, when somebody else was sooner.
    """
    try:
        async with db.writing() as connection:
            if not await _swap(connection, row, expected):
                return False
            if transitions:
                await connection.execute(insert(server_transitions), [_transition_values(one) for one in transitions])
            if mirror is not None:
                await _mirror(connection, row.server_id, mirror)
    except IntegrityError:  # somebody inserted the first row, or a transition of this version, in the same moment
        return False
    return True


async def history(db: Database, server_id: int, limit: int = 50) -> list[TransitionRow]:
    """The latest changes of one server's state, the newest first."""
    query = (
        select(server_transitions)
        .where(server_transitions.c.server_id == server_id)
        .order_by(server_transitions.c.version.desc())
        .limit(limit)
    )
    async with db.reading() as connection:
        return [_transition(row) for row in await connection.execute(query)]


async def mirrors(db: Database) -> dict[int, Mirror]:
    """The documented columns of every server, by its id."""
    names = Mirror.__struct_fields__
    async with db.reading() as connection:
        rows = await connection.execute(select(mcp_servers.c.id, *(mcp_servers.c[name] for name in names)))
        return {row.id: Mirror(**{name: getattr(row, name) for name in names}) for row in rows}


async def _swap(connection: AsyncConnection, row: HealthRow, expected: int | None) -> bool:
    values = _health_values(row)
    if expected is None:
        await connection.execute(insert(server_health).values(server_id=row.server_id, **values))
        return True
    swapped = await connection.execute(
        update(server_health)
        .where(server_health.c.server_id == row.server_id, server_health.c.version == expected)
        .values(values)
    )
    return swapped.rowcount == 1


async def _mirror(connection: AsyncConnection, server_id: int, mirror: Mirror) -> None:
    """A probe is no change of the registration: `updated_at` stays, on engines too that would set it themselves."""
    await connection.execute(
        update(mcp_servers)
        .where(mcp_servers.c.id == server_id)
        .values(**msgspec.structs.asdict(mirror), updated_at=mcp_servers.c.updated_at)
    )


def _health(row: Row[tuple[object, ...]]) -> HealthRow:
    return HealthRow(
        server_id=row.server_id,
        version=row.version,
        state=row.state,
        reason=row.reason,
        since_us=_us(row.since),
        rise=row.rise,
        fall=row.fall,
        observed_us=None if row.observed_at is None else _us(row.observed_at),
        latency_us=row.latency_us,
        server_era=row.server_era,
        catalog_sha256=row.catalog_sha256,
    )


def _health_values(row: HealthRow) -> dict[str, object]:
    return {
        "version": row.version,
        "state": row.state,
        "reason": None if row.reason is None else storable(row.reason[:64]),
        "since": _moment(row.since_us),
        "rise": row.rise,
        "fall": row.fall,
        "observed_at": None if row.observed_us is None else _moment(row.observed_us),
        "latency_us": row.latency_us,
        "server_era": row.server_era,
        "catalog_sha256": row.catalog_sha256,
    }


def _transition(row: Row[tuple[object, ...]]) -> TransitionRow:
    return TransitionRow(
        server_id=row.server_id,
        version=row.version,
        at_us=_us(row.at),
        from_state=row.from_state,
        to_state=row.to_state,
        reason=row.reason,
        detail=row.detail,
        replica_id=row.replica_id,
    )


def _transition_values(row: TransitionRow) -> dict[str, object]:
    return {
        "server_id": row.server_id,
        "version": row.version,
        "at": _moment(row.at_us),
        "from_state": row.from_state,
        "to_state": row.to_state,
        "reason": storable(row.reason[:64]),
        "detail": None if row.detail is None else storable(row.detail[:1000]),
        "replica_id": row.replica_id,
        "lease_token": 0,  # one replica alone needs no lease
    }


def _moment(us: int) -> datetime:
    return _EPOCH + us * _MICROSECOND


def _us(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
