"""Readers of streams that keep what they are given."""

from __future__ import annotations

import asyncio

from gateway.sink import Answer, Label, Reader


class Plain:
    """A sink without event ids; `gate` makes it slow."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.answers: list[Answer] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, frame: bytes) -> None:
        await self.gate.wait()
        self.frames.append(frame)

    def pause(self, retry: int) -> None:
        raise AssertionError("a stream pauses nobody that cannot come back")

    async def finish(self, answer: Answer) -> None:
        self.answers.append(answer)


class Follower(Reader):
    """A client that shows event ids; `takes_stream` False: it takes JSON alone. `gate` makes it slow."""

    def __init__(self, *, takes_stream: bool = True) -> None:
        self.takes_stream = takes_stream
        self.first: int | None = None
        self.frames: list[bytes] = []
        self.ids: list[str] = []
        self.parted: list[tuple[str, int]] = []
        self.answers: list[bytes | None] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._label: Label | None = None

    async def follow(self, label: Label, first: int | None) -> bool:
        self._label, self.first = label, first
        return self.takes_stream

    async def event(self, number: int, frame: bytes) -> None:
        await self.gate.wait()
        self.frames.append(frame)
        self._note(number)

    async def part(self, number: int, retry: int) -> None:
        self.parted.append((self._label(number), retry))

    async def conclude(self, number: int, answer: Answer) -> None:
        await self.gate.wait()
        self.answers.append(answer.body)
        if self.frames:
            self._note(number)

    async def finish(self, answer: Answer) -> None:
        self.answers.append(answer.body)

    def _note(self, number: int) -> None:
        if self.takes_stream:
            self.ids.append(self._label(number))
