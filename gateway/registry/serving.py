"""From the rows of the registry to the servers that are served.

Which question: which servers does the registry give us, variables filled in? Pure. The rule: whoever may write the
table must be able neither to start programs here nor to read our environment; so commands and variables count only
where the file holds the very same spec.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.config import ConfigErrors, Configuration, Place, Problem, resolve
from gateway.config.interpolation import has_variables
from gateway.routing import Server
from gateway.settings import ServerSpec
from storage.registration import Origin, ServerRow, fingerprint

_NOT_CONNECTED = {"name", "description", "enabled", "maintenance", "health"}
"""Keys that a server's sessions and children do not depend on."""


@dataclass(frozen=True, slots=True)
class Served:
    """The servers to serve, in order, and why others of the registry are not among them."""

    servers: tuple[Server, ...]
    problems: tuple[Problem, ...]


def served(config: Configuration, rows: Sequence[ServerRow]) -> Served:
    """The enabled servers among `rows`; those of another back end, which have no spec, are passed over."""
    servers, problems = list[Server](), list[Problem]()
    for row in rows:
        if not row.enabled or row.slug is None or row.spec is None:
            continue
        try:
            spec = _spec(config, row, row.slug, row.spec)
        except ConfigErrors as error:
            problems.extend(error.problems)
        else:
            servers.append(Server(id=row.id, slug=row.slug, spec=spec, revision=_revision(config, spec)))
    return Served(tuple(servers), tuple(problems))


def _spec(config: Configuration, row: ServerRow, slug: str, spec: Mapping[str, Any]) -> ServerSpec:
    """Raises `ConfigErrors` for what may not come from a table, or cannot be used."""
    ours = config.registration(slug)
    if ours is not None and row.origin is Origin.CONFIG and ours.spec_sha256 == fingerprint(spec):
        found = config.servers[ours.name]
    else:
        found = _of_table(config, spec, f"registry, server {row.name!r}")
    of_row = {"slug": slug, "name": row.name, "description": row.description, "maintenance": row.maintenance}
    return found.model_copy(update={**of_row, "enabled": True})


def _of_table(config: Configuration, spec: Mapping[str, Any], source: str) -> ServerSpec:
    fault = None
    if "command" in spec:
        fault = "starts a program, which only the configuration file may ask for; register it there"
    elif has_variables(json.dumps(spec)):
        fault = "names variables, which only the configuration file may do; register it there"
    if fault is not None:
        raise ConfigErrors([Problem(Place(source), fault)])
    return resolve(spec, source=source, env={}, read_file=_no_file, common=config)


def _no_file(path: str) -> str:
    raise FileNotFoundError(path)


def _revision(config: Configuration, spec: ServerSpec) -> bytes:
    """Changes with everything that a running server was built from; it holds secrets' hash, and is never stored."""
    common = config.model_dump_json(include={"timeouts", "limits", "lifecycle"})
    own = spec.model_dump_json(exclude=_NOT_CONNECTED)
    patience = (spec.health or config.health).timeout
    return hashlib.sha256(f"{own}\n{common}\n{patience}".encode()).digest()
