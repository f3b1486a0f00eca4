"""The first words to a child: which era does it speak?

Which question: is this child modern or legacy, and what does it say of itself? Touches one child at a time. The
rule: nobody else speaks to a child before it was greeted; a modern answer counts whenever it comes, and silence is
no answer.

MCP 2026-07-28 `basic/transports/stdio` (Backward Compatibility): any error but a modern one, or silence, is legacy.
"""

from __future__ import annotations

from functools import partial

from gateway.protocol.versions import Era
from gateway.upstream.children import ChildLife
from gateway.upstream.flight import Flight, first_good
from gateway.upstream.legacy import Guest, Handshake, Means
from gateway.upstream.line import Denied, Line
from gateway.upstream.modern import ModernLine, discover
from gateway.upstream.surroundings import Surroundings


class Greeter:
    """Greets children in the order that their server's era suggests."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._eras = around.eras
        self._handshake = Handshake(Means(around.asker, around.tasks, pipe=True, on_dropped=around.events.dropped))

    async def greet(self, life: ChildLife, guest: Guest) -> Line:
        """A line over the child, opened for `guest` if it is legacy. Raises `GatewayError`."""
        if self._eras.pinned is Era.MODERN:
            return await self._modern(life)
        if self._eras.belief is not Era.LEGACY:
            return await self._either(life, guest)
        try:
            return await self._legacy(life, guest)
        except Denied:
            if self._eras.pinned is not None:
                raise
            return await self._modern(life)

    async def _either(self, life: ChildLife, guest: Guest) -> Line:
        """Modern if it answers so, else legacy. A slow starter may still answer the first question late."""
        tasks = self._around.tasks
        asking: Flight[Line] = Flight(tasks, partial(self._modern, life), "discover")
        if not await asking.landed(self._around.terms.silence):
            return await first_good(asking, Flight(tasks, partial(self._legacy, life, guest), "initialize"))
        try:
            return await asking.join()
        except Denied:
            return await self._legacy(life, guest)

    async def _modern(self, life: ChildLife) -> Line:
        line = ModernLine(life.channel, life, pipe=True)
        line.greeting = await discover(self._around.asker, line)
        return line

    async def _legacy(self, life: ChildLife, guest: Guest) -> Line:
        return await self._handshake.initialize(life.channel, guest, lambda _: life)
