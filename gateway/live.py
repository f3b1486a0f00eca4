"""All that requests read, as one value.

Which question: what is in force for this request? Words alone. The rule: a live value is built whole and swapped by
one assignment; a request takes it once, so that a reload never changes a call under way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gateway.access import Frontier, KeyRing
from gateway.calls import Forwarder
from gateway.routing import RoutingTable
from gateway.sessions import SessionFacts


@dataclass(frozen=True, slots=True)
class Live:
    """All that requests read, as one value: swapped whole, never changed."""

    table: RoutingTable
    upstreams: Mapping[int, Forwarder]
    keys: KeyRing = field(repr=False)
    frontier: Frontier
    depth: int = 128


class Source(Protocol):
    """Who builds the live value."""

    @property
    def live(self) -> Live: ...

    async def settle(self, endpoint: str, seconds: float) -> None:
        """Wait until every server of the endpoint has been listed or has failed once, but no longer than this."""

    async def end_session(self, facts: SessionFacts) -> None:
        """A client's legacy session has ended: remember it, and free what servers hold for it."""
