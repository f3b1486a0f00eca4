"""The registry: the rows of `mcp_servers` that the gateway keeps, and their generation.

Which question: which servers are registered, and has that changed? Touches `mcp_servers` and `generations`. The rule:
what is to be written is decided inside the transaction that writes it, from the rows as they are then, and each such
transaction that changes something bumps the generation, which is how every worker hears of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from sqlalchemy import RowMapping, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import generations
from storage.attempts import repeated
from storage.database import Database
from storage.registration import Action, Change, Origin, ServerRow
from storage.schema import mcp_servers

REGISTRY = "registry"
"""The name of the registry's generation."""


class Decision(Protocol):
    """What is to be written, and whatever else was found out while deciding."""

    @property
    def changes(self) -> Sequence[Change]: ...


D = TypeVar("D", bound=Decision)

_COLUMNS = (
    mcp_servers.c.id,
    mcp_servers.c.slug,
    mcp_servers.c.name,
    mcp_servers.c.description,
    mcp_servers.c.position,
    mcp_servers.c.origin,
    mcp_servers.c.enabled,
    mcp_servers.c.maintenance,
    mcp_servers.c.host,
    mcp_servers.c.port,
    mcp_servers.c.spec,
    mcp_servers.c.spec_sha256,
    mcp_servers.c.file_revision,
)


async def load(db: Database) -> tuple[ServerRow, ...]:
    """Every row in the order of the file, adopted ones among them. Raises `DatabaseUnavailable`."""
    async with db.reading() as connection:
        return await _rows(connection)


async def generation(db: Database) -> int:
    """Grows with each change to the registry; 0 before the first. Raises `DatabaseUnavailable`."""
    async with db.reading() as connection:
        return await generations.current(connection, REGISTRY)


async def apply(db: Database, decide: Callable[[Sequence[ServerRow]], D]) -> D:
    """Write what `decide` wants, given all rows in order: all or nothing. Returns its decision.

    `decide` runs inside of the transaction, and once more if that has to be repeated: it is pure and quick. Raises
    `DatabaseUnavailable`.
    """

    async def transaction() -> D:
        async with db.writing() as connection:
            await generations.hold(connection, REGISTRY)
            decision = decide(await _rows(connection))
            for change in decision.changes:
                await _write(connection, change)
            if decision.changes:
                await generations.bump(connection, REGISTRY)
            return decision

    return await repeated(transaction)


async def _rows(connection: AsyncConnection) -> tuple[ServerRow, ...]:
    found = await connection.execute(select(*_COLUMNS).order_by(mcp_servers.c.position, mcp_servers.c.id))
    return tuple(_row(mapping) for mapping in found.mappings())


async def _write(connection: AsyncConnection, change: Change) -> None:
    if change.id is None:
        await connection.execute(insert(mcp_servers).values(**_values(change)))
    else:
        row = update(mcp_servers).where(mcp_servers.c.id == change.id)
        await connection.execute(row.values(**_values(change)))


def _values(change: Change) -> dict[str, Any]:
    """What is disabled keeps the rest of its row, so that its records go on naming what was called."""
    server = change.server
    if change.action is Action.DISABLE:
        return {"enabled": False, "file_revision": change.file_revision}
    return {
        "slug": server.slug,
        "name": server.name,
        "description": server.description,
        "position": server.position,
        "origin": Origin.CONFIG.value,
        "enabled": server.enabled,
        "maintenance": server.maintenance,
        "host": server.host,
        "port": server.port,
        "spec": json.dumps(server.spec, ensure_ascii=False, separators=(",", ":")),
        "spec_sha256": server.spec_sha256,
        "file_revision": change.file_revision,
    }


def _row(row: RowMapping) -> ServerRow:
    return ServerRow(
        **{
            **row,
            "origin": Origin(row["origin"]),
            "spec": _spec(row["spec"]),
            "file_revision": row["file_revision"] or 0,
        }
    )


def _spec(text: str | None) -> dict[str, Any] | None:
    """A spec that is no object, as no gateway writes it, is none."""
    value = None if text is None else json.loads(text)
    return value if isinstance(value, dict) else None
