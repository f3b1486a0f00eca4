"""Names that several servers of one endpoint offer: who has them, and whose are hidden.

Which question: which server does a name mean that more than one of them offers? Pure. The rule: of two servers the one
earlier in the file has it, and whoever has a name keeps it until the configuration is loaded again, so that no server
takes over calls that were meant for another by offering its names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.protocol.listed import Listed

_SHOWN = 64


@dataclass(frozen=True, slots=True)
class Hidden:
    """What clients do not see: `name` of the server `slug`, since the server `owner` has that name."""

    listed: Listed
    name: str
    slug: str
    owner: str

    def __str__(self) -> str:
        kind = self.listed.method.partition("/")[0].removesuffix("s")
        return f"{kind} {self.name[:_SHOWN]!r} of {self.slug}, since {self.owner} has it"


def owners(offers: Iterable[tuple[str, Iterable[str]]], before: Mapping[str, str]) -> Mapping[str, str]:
    """Name → slug of the server that has it. `offers`: servers in order with the names that they offer; `before`: who
    had what.
    """
    found: dict[str, str] = {}
    for slug, names in offers:
        for name in names:
            if name not in found or before.get(name) == slug:
                found[name] = slug
    return found
