"""Rows of the registry, as plans leave them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.config import Configuration, parse
from gateway.registry import Plan
from storage.registration import Action, Change, Origin, ServerRow

ENV = {"TOKEN": "t0k3n"}


def config(text: str, revision: int = 0) -> Configuration:
    def no_file(path: str) -> str:
        raise FileNotFoundError(2, "No such file or directory", path)

    return parse(
        f"registry: {{revision: {revision}}}\nservers:\n{text}", source="config.yaml", env=ENV, read_file=no_file
    )


def row(**fields: Any) -> ServerRow:
    """A row of another back end, but for `fields`."""
    foreign: dict[str, Any] = {
        "id": 1,
        "slug": None,
        "name": "time",
        "description": None,
        "position": 0,
        "origin": Origin.ADOPTED,
        "enabled": True,
        "maintenance": False,
        "host": "10.0.0.7",
        "port": 8000,
        "spec": None,
        "spec_sha256": None,
    }
    return ServerRow(**{**foreign, **fields})


def written(plan: Plan, rows: Sequence[ServerRow] = ()) -> tuple[ServerRow, ...]:
    """The rows after `plan`: what `storage.registry.apply` does, in memory."""
    after = {one.id: one for one in rows}
    for change in plan.changes:
        known = change.id if change.id is not None else max(after, default=0) + 1
        after[known] = _after(change, known, after.get(known))
    return tuple(sorted(after.values(), key=lambda one: (one.position, one.id)))


def _after(change: Change, known: int, before: ServerRow | None) -> ServerRow:
    server = change.server
    if change.action is Action.DISABLE:
        assert before is not None
        fields = {name: getattr(before, name) for name in ServerRow.__slots__}
        return ServerRow(**{**fields, "enabled": False, "file_revision": change.file_revision})
    return row(
        **{name: getattr(server, name) for name in type(server).__slots__},
        id=known,
        origin=Origin.CONFIG,
        spec_sha256=server.spec_sha256,
        file_revision=change.file_revision,
    )
