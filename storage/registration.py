"""The words of the registry: a server as it was registered, its row, and a change.

Which question: what does the registry remember of a server? Imports nothing of the project. The rule: a registration
holds what the administrator wrote, its `${VAR}`s unresolved, so that no row holds a secret that was kept out of the
file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Origin(StrEnum):
    """Who registered a server. Adopted rows were there before the gateway was."""

    CONFIG = "config"
    API = "api"
    ADOPTED = "adopted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """One server as it was registered.

    `position` is its place in the file, from 0. `spec` holds the keys that are not fields here, as JSON values;
    `host` and `port` are where it runs (`stdio` and 0 for a program that the gateway starts).
    """

    slug: str
    name: str
    description: str | None = None
    position: int = 0
    enabled: bool = True
    maintenance: bool = False
    host: str
    port: int
    spec: Mapping[str, Any] = field(repr=False)

    @property
    def spec_sha256(self) -> bytes:
        """Changes when anything changes that the server's sessions depend on."""
        return fingerprint(self.spec)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRow:
    """One row of `mcp_servers`. A row of another back end that nobody took over has no slug and no spec.

    `file_revision` is the number of the file that wrote the row, 0 for none.
    """

    id: int
    slug: str | None
    name: str
    description: str | None
    position: int
    origin: Origin
    enabled: bool
    maintenance: bool
    host: str
    port: int
    spec: Mapping[str, Any] | None = field(repr=False)
    spec_sha256: bytes | None
    file_revision: int = 0


class Action(StrEnum):
    """What a change does to the registry."""

    ADD = "add"
    TAKE_OVER = "take over"
    REVIVE = "revive"
    CHANGE = "change"
    MOVE = "move"
    DISABLE = "disable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One row to be written: a new one when `id` is None. `keys` are those that differ from the row, for people."""

    action: Action
    id: int | None
    server: Registration
    file_revision: int = 0
    keys: tuple[str, ...] = ()


NOT_CONNECTED = frozenset({"health"})
"""Keys of a spec that its sessions do not depend on."""


def fingerprint(spec: Mapping[str, Any]) -> bytes:
    """SHA-256 over what the server's sessions depend on, whatever the order of the keys."""
    connected = {key: value for key, value in spec.items() if key not in NOT_CONNECTED}
    text = json.dumps(connected, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).digest()
