"""What a configuration file would change in the registry.

Which question: which rows have to be written so that the registry says what the file says? Pure. The rule: a server
keeps its row as long as its slug or its name says that it is the same, because the row's id is what records point to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.config import Configuration
from storage.registration import Action, Change, Origin, Registration, ServerRow

_FIELDS = ("slug", "name", "description", "enabled", "maintenance", "host", "port")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a file would change. `newer` is the revision of the file that wrote the registry, when ours is older than
    that: then nothing is changed.
    """

    changes: tuple[Change, ...]
    newer: int | None = None


def plan(config: Configuration, rows: Sequence[ServerRow]) -> Plan:
    """The changes from `rows` to what `config` says.

    A server of the file is the row with its slug; else the row with its name, if that one is the file's already, or
    was there before the gateway. Servers that left the file are disabled; other rows of other origins are left alone.
    """
    ours = config.registry.revision
    newest = max((row.file_revision for row in rows if row.origin is Origin.CONFIG), default=0)
    if newest > ours:
        return Plan((), newest)
    matched = _matched(config.registrations, rows)
    wanted = (_wanted(server, matched.get(server.slug), ours) for server in config.registrations)
    kept = {row.id for row in matched.values()}
    gone = (row for row in rows if row.origin is Origin.CONFIG and row.enabled and row.id not in kept)
    return Plan((*(change for change in wanted if change is not None), *(_disabled(row, ours) for row in gone)))


def _matched(servers: Sequence[Registration], rows: Sequence[ServerRow]) -> Mapping[str, ServerRow]:
    """A slug of the file → the row that is this server's."""
    wanted = {server.slug for server in servers}
    by_slug = {row.slug: row for row in rows if row.slug is not None}
    by_name = {row.name: row for row in reversed(rows) if _may_be_renamed(row, wanted)}
    found = {server.slug: by_slug.get(server.slug) or by_name.get(server.name) for server in servers}
    return {slug: row for slug, row in found.items() if row is not None}


def _may_be_renamed(row: ServerRow, wanted: set[str]) -> bool:
    return row.slug is None or (row.origin is Origin.CONFIG and row.slug not in wanted)


def _wanted(server: Registration, row: ServerRow | None, revision: int) -> Change | None:
    if row is None:
        return Change(action=Action.ADD, id=None, server=server, file_revision=revision)
    keys = tuple(_differing(server, row))
    if row.origin is not Origin.CONFIG:
        action = Action.TAKE_OVER
    elif server.enabled and not row.enabled:
        action = Action.REVIVE
    elif keys:
        action = Action.CHANGE
    elif server.position != row.position:
        action = Action.MOVE
    else:
        return None
    return Change(action=action, id=row.id, server=server, file_revision=revision, keys=keys)


def _differing(server: Registration, row: ServerRow) -> Iterator[str]:
    yield from (name for name in _FIELDS if getattr(server, name) != getattr(row, name))
    before = row.spec or {}
    yield from (key for key in sorted({*server.spec, *before}) if server.spec.get(key) != before.get(key))


def _disabled(row: ServerRow, revision: int) -> Change:
    server = Registration(
        slug=row.slug or "",
        name=row.name,
        position=row.position,
        enabled=False,
        host=row.host,
        port=row.port,
        spec=row.spec or {},
    )
    return Change(action=Action.DISABLE, id=row.id, server=server, file_revision=revision)
