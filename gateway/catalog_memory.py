"""The last good catalogs, in the database's words and in ours.

Which question: what did each server offer before this process began? Touches `storage.catalogs`. The rule: bytes in,
the same bytes out.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Raw

from gateway.catalog import Catalog, entries_of
from gateway.protocol.listed import Listed
from gateway.protocol.versions import Era
from storage import catalogs
from storage.catalogs import StoredCatalog
from storage.database import Database


class CatalogMemory:
    """A `gateway.fleet.CatalogStore` over the database. Both verbs raise `StorageError`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def load(self) -> Mapping[int, Catalog]:
        """Server id → its last good catalog."""
        stored = await catalogs.load_all(self._db)
        return {server_id: _ours(catalog) for server_id, catalog in stored.items()}

    async def store(self, server_id: int, catalog: Catalog) -> None:
        """Keep `catalog` as the last good one."""
        await catalogs.store(self._db, server_id, _stored(catalog))


def _ours(stored: StoredCatalog) -> Catalog:
    return Catalog(
        era=Era(stored.era),
        protocol_version=stored.protocol_version,
        capabilities=_raw(stored.capabilities),
        server_info=_raw(stored.server_info),
        instructions=stored.instructions,
        offers={listed: entries_of(listed, [Raw(one) for one in found]) for listed, found in _kinds(stored).items()},
        sha256=stored.sha256,
        fetched_us=stored.fetched_us,
    )


def _stored(catalog: Catalog) -> StoredCatalog:
    return StoredCatalog(
        era=catalog.era.value,
        protocol_version=catalog.protocol_version,
        capabilities=_bytes(catalog.capabilities),
        server_info=_bytes(catalog.server_info),
        instructions=catalog.instructions,
        tools=_texts(catalog, Listed.TOOLS),
        prompts=_texts(catalog, Listed.PROMPTS),
        resources=_texts(catalog, Listed.RESOURCES),
        templates=_texts(catalog, Listed.TEMPLATES),
        sha256=catalog.sha256,
        fetched_us=catalog.fetched_us,
    )


def _kinds(stored: StoredCatalog) -> Mapping[Listed, tuple[bytes, ...]]:
    return {
        Listed.TOOLS: stored.tools,
        Listed.PROMPTS: stored.prompts,
        Listed.RESOURCES: stored.resources,
        Listed.TEMPLATES: stored.templates,
    }


def _texts(catalog: Catalog, listed: Listed) -> tuple[bytes, ...]:
    return tuple(bytes(entry.definition) for entry in catalog.offers.get(listed, ()))


def _raw(text: bytes | None) -> Raw | None:
    return None if text is None else Raw(text)


def _bytes(raw: Raw | None) -> bytes | None:
    return None if raw is None else bytes(raw)
