"""The resources of one server that somebody follows, and what the server has agreed to tell.

Which question: about which resources does the server tell us? Touches the event loop alone. The rule: the last wish
counts; whoever waits learns what became of that one, within a bound.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Followed:
    """`uris` is what is wanted now, in the server's own words; `honoured` what the server last agreed to."""

    def __init__(self) -> None:
        self.uris: frozenset[str] = frozenset()
        self.honoured: frozenset[str] = frozenset()
        self.changed = asyncio.Event()
        """Something else is wanted than `begin` last saw."""
        self._wanted = 0
        self._settled = 0
        self._news = asyncio.Event()

    def want(self, uris: frozenset[str]) -> None:
        if uris != self.uris:
            self.uris = uris
            self._wanted += 1
            self.changed.set()

    def begin(self) -> int:
        """What is wanted now is being asked for; `settle` ends that turn."""
        self.changed.clear()
        return self._wanted

    def settle(self, honoured: frozenset[str], turn: int | None = None) -> None:
        """The server agrees to these, asked for in `turn`; None: it will not agree to more, whatever is wanted."""
        self.honoured = honoured
        self._settled = self._wanted if turn is None else turn
        self._news.set()
        self._news = asyncio.Event()

    async def settled(self, within: float) -> frozenset[str]:
        """What the server has agreed to once it knows what is wanted now, or after `within` seconds."""
        wanted = self._wanted
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self._settled < wanted:
                    await self._news.wait()
        return self.honoured
