"""The last good catalog of each server, kept for the time when it is down or we are new.

Which question: what did this server offer when it was last asked? Touches `server_catalogs` and `generations`. The
rule: what a server wrote comes back byte for byte, and other workers hear of another catalog in the transaction that
stores it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
from sqlalchemy import RowMapping, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import generations
from storage.attempts import repeated
from storage.database import Database
from storage.registry import REGISTRY
from storage.schema import server_catalogs

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_VERSION_LENGTH = 32


@dataclass(frozen=True, slots=True)
class StoredCatalog:
    """All that one server offered. `capabilities`, `server_info` and each tool, prompt, resource and template are the
    server's own JSON texts; `fetched_us` is microseconds since the Unix epoch; `sha256` tells one catalog from another.
    """

    era: str
    protocol_version: str
    capabilities: bytes | None
    server_info: bytes | None
    instructions: str | None
    tools: tuple[bytes, ...]
    sha256: bytes
    fetched_us: int
    prompts: tuple[bytes, ...] = ()
    resources: tuple[bytes, ...] = ()
    templates: tuple[bytes, ...] = ()


async def store(db: Database, server_id: int, catalog: StoredCatalog) -> bool:
    """Keep `catalog` as the last good one; returns whether it differs from the one before. Raises
    `DatabaseUnavailable`.
    """

    async def transaction() -> bool:
        async with db.writing() as connection:
            await generations.hold(connection, REGISTRY)
            known = await _digest(connection, server_id)
            await _write(connection, server_id, catalog, is_new=known is None)
            if known != catalog.sha256:
                await generations.bump(connection, REGISTRY)
            return known != catalog.sha256

    return await repeated(transaction)


async def load_all(db: Database) -> Mapping[int, StoredCatalog]:
    """Server id → its last good catalog. Raises `DatabaseUnavailable`."""
    async with db.reading() as connection:
        rows = await connection.execute(select(server_catalogs))
        return {row["server_id"]: _catalog(row) for row in rows.mappings()}


async def load(db: Database, server_id: int) -> StoredCatalog | None:
    """The last good catalog of one server. Raises `DatabaseUnavailable`."""
    async with db.reading() as connection:
        rows = await connection.execute(select(server_catalogs).where(server_catalogs.c.server_id == server_id))
        row = rows.mappings().first()
        return None if row is None else _catalog(row)


async def _write(connection: AsyncConnection, server_id: int, catalog: StoredCatalog, *, is_new: bool) -> None:
    values = _values(catalog)
    if is_new:
        await connection.execute(insert(server_catalogs).values(server_id=server_id, **values))
    else:
        row = update(server_catalogs).where(server_catalogs.c.server_id == server_id)
        await connection.execute(row.values(**values))


async def _digest(connection: AsyncConnection, server_id: int) -> bytes | None:
    digest: bytes | None = await connection.scalar(
        select(server_catalogs.c.sha256).where(server_catalogs.c.server_id == server_id)
    )
    return digest


def _values(catalog: StoredCatalog) -> dict[str, object]:
    """Instructions are kept as a JSON string: they may hold what no engine's text type does (NUL, half a surrogate
    pair). Definitions are framed with MessagePack, so that nothing has to parse them to tell one from the next.
    """
    return {
        "era": catalog.era,
        "protocol_version": catalog.protocol_version[:_VERSION_LENGTH],
        "capabilities": _text(catalog.capabilities),
        "server_info": _text(catalog.server_info),
        "instructions": None if catalog.instructions is None else json.dumps(catalog.instructions),
        "tools": msgspec.msgpack.encode(catalog.tools),
        "prompts": msgspec.msgpack.encode(catalog.prompts),
        "resources": msgspec.msgpack.encode(catalog.resources),
        "templates": msgspec.msgpack.encode(catalog.templates),
        "sha256": catalog.sha256,
        "fetched_at": _EPOCH + catalog.fetched_us * _MICROSECOND,
    }


def _catalog(row: RowMapping) -> StoredCatalog:
    return StoredCatalog(
        era=row["era"],
        protocol_version=row["protocol_version"],
        capabilities=_bytes(row["capabilities"]),
        server_info=_bytes(row["server_info"]),
        instructions=None if row["instructions"] is None else json.loads(row["instructions"]),
        tools=_framed(row["tools"]),
        prompts=_framed(row["prompts"]),
        resources=_framed(row["resources"]),
        templates=_framed(row["templates"]),
        sha256=row["sha256"],
        fetched_us=(row["fetched_at"] - _EPOCH) // _MICROSECOND,
    )


def _framed(blob: bytes | None) -> tuple[bytes, ...]:
    """Rows that are older than a column have NULL there."""
    return () if blob is None else msgspec.msgpack.decode(blob, type=tuple[bytes, ...])


def _text(json_text: bytes | None) -> str | None:
    return None if json_text is None else json_text.decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()
