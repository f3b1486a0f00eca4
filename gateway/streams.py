"""The events of one stream of a legacy session, kept for a client that lost its connection.

Which question: what does a reader get next, and what does one that comes back get again? Touches the event loop
alone. The rule: events are numbered from 1 and never renumbered, the answer is the last of them, and memory is
bounded, whoever reads or does not.

MCP 2025-11-25 `basic/transports` §Resumability and Redelivery.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from gateway.sink import Answer, Label, Reader, Sink

RING_FRAMES = 256
RING_BYTES = 1_000_000


class Keeper(Protocol):
    """Who knows the streams of a session by name, and how long one is kept that nobody reads."""

    def name(self, stream: Stream) -> str:
        """A name to come back with, unique in the session."""

    def keep(self, stream: Stream) -> None:
        """Nobody reads it, and nothing but a reader is to come; it may be kept already."""

    def take(self, stream: Stream) -> None:
        """Somebody reads it."""


class Stream:
    """Filled by an exchange, or by what belongs to none (`standing`); read by at most one request at a time.

    `primed`: its client knows empty events and may be sent away (2025-11-25). While somebody reads, a full stream
    makes its writer wait; while nobody does, the oldest events are dropped.
    """

    def __init__(
        self, keeper: Keeper, *, primed: bool, on_dropped: Callable[[int], None], standing: bool = False
    ) -> None:
        self.standing = standing
        self.name = ""
        """What its client knows it by; empty while it has seen no event id."""
        self._keeper = keeper
        self._primed = primed
        self._on_dropped = on_dropped
        self._ring: deque[bytes] = deque()
        self._ring_bytes = 0
        self._number = 0
        """Of the newest event."""
        self._read = 0
        """Number of the last event that a reader has got."""
        self._answer: Answer | None = None
        self._retry: int | None = None
        self._reader: object | None = None
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Stream {self.name or 'without a name'}: {len(self._ring)} of {self._number} events>"

    @property
    def size(self) -> int:
        """Bytes that are kept, the answer's included."""
        return self._ring_bytes + (len(self._answer.body or b"") if self._answer is not None else 0)

    def has(self, number: int) -> bool:
        """Whether an event of that number was ever made; 0 stands before the first."""
        return 0 <= number <= self._number

    async def send(self, frame: bytes) -> None:
        while self._reader is not None and self._full() and self._oldest() > self._read:
            await self._wait()
        self.put(frame)

    def put(self, frame: bytes) -> None:
        """`send` for those who cannot wait: the oldest events make room. Nothing comes after the answer."""
        if self._answer is not None:
            return
        while self._full():
            self._drop_oldest()
        self._ring.append(frame)
        self._ring_bytes += len(frame)
        self._number += 1
        self._retry = None
        self._changed.set()
        self._rest()

    def pause(self, retry: int) -> None:
        """As `Sink.pause`: whoever reads is sent away, if it knows how to come back."""
        if self._primed:
            self._retry = retry
            self._changed.set()

    async def finish(self, answer: Answer) -> None:
        self.end(answer)

    def end(self, answer: Answer) -> None:
        """`finish` for those who cannot wait; the first answer counts."""
        if self._answer is None:
            self._answer = answer
            self._number += 1
        self._changed.set()
        self._rest()

    async def relay(self, sink: Sink, after: int | None = None) -> None:
        """Hand to `sink` every event after that number (None: after the last that was read), then the answer. A
        newer reader ends an older one.
        """
        reader = sink if isinstance(sink, Reader) else _Plain(sink)
        mine = self._enter(after)
        try:
            knows = await reader.follow(self._label, self._read if self._primed else None)
            while self._reader is mine:
                if self._has_unread():
                    await self._hand_next(reader, mine)
                elif self._answer is not None:
                    return await self._conclude(reader, mine)
                elif self._retry is not None and knows:
                    return await reader.part(self._read, self._retry)
                else:
                    await self._wait()
            await reader.finish(Answer(None))
        finally:
            if self._reader is mine:
                self.dismiss()

    def dismiss(self) -> None:
        """Whoever reads is to end properly, and may come back."""
        self._reader = None
        self._changed.set()
        self._rest()

    def drop(self) -> None:
        """Its time is over: forget all that it holds, and its name."""
        self.name = ""
        while self._ring:
            self._drop_oldest()
        if self._answer is not None:
            self._on_dropped(self._read < self._number)
            self._answer = Answer(None)

    def _enter(self, after: int | None) -> object:
        self._reader = mine = object()
        self._keeper.take(self)
        self._read = self._read if after is None else after
        self._retry = None
        self._changed.set()
        return mine

    def _has_unread(self) -> bool:
        return bool(self._ring) and self._read < self._oldest() + len(self._ring) - 1

    async def _hand_next(self, reader: Reader, mine: object) -> None:
        number = max(self._read + 1, self._oldest())
        await reader.event(number, self._ring[number - self._oldest()])
        self._got(number, mine)

    async def _conclude(self, reader: Reader, mine: object) -> None:
        """The answer, unless this is a client that came back after it had it."""
        assert self._answer is not None
        if self._read < self._number:
            await reader.conclude(self._number, self._answer)
            self._got(self._number, mine)
        else:
            await reader.finish(Answer(None))

    def _got(self, number: int, mine: object) -> None:
        if self._reader is mine:
            self._read = number
            self._changed.set()

    def _label(self, number: int) -> str:
        if not self.name:
            self.name = self._keeper.name(self)
        return f"{self.name}.{number}"

    def _rest(self) -> None:
        """Only what a client can name, or finds without a name, is worth keeping."""
        worth = bool(self._ring) if self.standing else self._answer is not None and self.name != ""
        if worth and self._reader is None:
            self._keeper.keep(self)

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _oldest(self) -> int:
        """The number of the ring's first event."""
        return self._number - len(self._ring) + (self._answer is None)

    def _drop_oldest(self) -> None:
        if self._oldest() > self._read:
            self._on_dropped(1)
        self._ring_bytes -= len(self._ring.popleft())

    def _full(self) -> bool:
        return bool(self._ring) and (len(self._ring) >= RING_FRAMES or self._ring_bytes >= RING_BYTES)


class _Plain(Reader):
    """A sink as a reader without numbers."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    async def follow(self, label: Label, first: int | None) -> bool:
        return False

    async def event(self, number: int, frame: bytes) -> None:
        await self._sink.send(frame)

    async def part(self, number: int, retry: int) -> None:
        """Never sent away, since nothing was followed."""

    async def conclude(self, number: int, answer: Answer) -> None:
        await self._sink.finish(answer)

    async def finish(self, answer: Answer) -> None:
        await self._sink.finish(answer)
