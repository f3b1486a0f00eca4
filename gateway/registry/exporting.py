"""The registry as a configuration file.

Which question: which file would have written these rows? Pure. The rule: what is exported, parsed and planned against
the same rows changes nothing, and variables stay as they were written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gateway.naming import slug_of
from storage.registration import ServerRow


def exported(rows: Sequence[ServerRow]) -> dict[str, Any]:
    """The `servers:` of the file, those that are disabled among them. Rows of another back end have no spec and are
    left out. Of two servers with one name the second stands under its slug.
    """
    servers: dict[str, Any] = {}
    for row in rows:
        if row.slug is not None and row.spec is not None:
            key = row.name if row.name not in servers else row.slug
            servers[key] = {**dict(_columns(row, key)), **row.spec}
    return {"servers": servers}


def _columns(row: ServerRow, key: str) -> Iterator[tuple[str, Any]]:
    if row.slug != slug_of(key):
        yield "slug", row.slug
    if row.description is not None:
        yield "description", row.description
    if not row.enabled:
        yield "enabled", False
    if row.maintenance:
        yield "maintenance", True
