"""Scriptable stdio servers: real child processes whose every move is made by the test.

    async def script(peer: Peer) -> None:
        request = await peer.line()
        await peer.say(answer(request, b'{"content":[]}') + b"\\n")

    async with ScriptedProgram(script) as program:
        channel = await StdioChannel.start(program.command, …)      # or ServerSpec(**program.spec)
        peer = await program.peer()                                 # the first child that was started

The script runs once for each child, in the test's own event loop; it sees the exact bytes that the child read and
decides on the exact bytes that the child writes. What a script raises is raised again when the program is left.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import struct
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from gateway.upstream.command import Command, environment

PUPPET = Path(__file__).with_name("puppet.py")
PATIENCE = 10.0
"""Seconds after which a wait in a test has failed."""

Script = Callable[["Peer"], Awaitable[None]]


class Peer:
    """One child, seen from the inside."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._stdin = asyncio.StreamReader(limit=2**30)
        self._replies: asyncio.Queue[bytes] = asyncio.Queue()
        self.received = bytearray()
        self.pid = 0
        self.ended = asyncio.Event()

    async def line(self) -> bytes:
        """The next line that the gateway wrote, without its LF; b"" at the end of stdin."""
        async with asyncio.timeout(PATIENCE):
            return (await self._stdin.readline()).removesuffix(b"\n")

    async def stdin_closed(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._stdin.read()

    async def say(self, data: bytes) -> None:
        """Write `data` to stdout."""
        await self._order(b"O", data)

    async def complain(self, data: bytes) -> None:
        """Write `data` to stderr."""
        await self._order(b"E", data)

    async def close_stdin(self) -> None:
        await self._order(b"L", b"0")
        await self._order(b"C", b"0")

    async def close_stdout(self) -> None:
        await self._order(b"C", b"1")

    async def stop_listening(self) -> None:
        """Leave stdin unread."""
        await self._order(b"L", b"0")

    async def listen(self) -> None:
        await self._order(b"L", b"1")

    async def deafen(self) -> None:
        """Ignore SIGTERM from now on."""
        await self._order(b"D")
        await self.fence()

    async def fork(self, *, deaf: bool = False) -> int:
        """Start a grandchild that does nothing; it inherits the pipes. Its process id."""
        return int(await self._ask(b"F", b"1" if deaf else b"0"))

    async def exit(self, code: int = 0) -> None:
        await self._order(b"X", str(code).encode())

    async def kill(self, signal: int) -> None:
        """Let the child send itself a signal."""
        await self._order(b"K", str(signal).encode())

    async def environment(self) -> tuple[str, dict[str, str]]:
        """The folder and the environment that the child was started with."""
        folder, block = (await self._ask(b"V")).split(b"\n", 1)
        pairs = (entry.decode().partition("=") for entry in block.split(b"\0") if entry)
        return folder.decode(), {name: value for name, _, value in pairs}

    async def fence(self) -> None:
        """Return when every earlier order was carried out."""
        await self._ask(b"V")

    async def play(self) -> None:
        """Take in what the child tells, until it ends."""
        with suppress(asyncio.IncompleteReadError, ConnectionResetError):
            while True:
                kind, length = struct.unpack(">cI", await self._reader.readexactly(5))
                self._told(kind, await self._reader.readexactly(length))
        self._stdin.feed_eof()
        self.ended.set()
        self._writer.close()

    def _told(self, kind: bytes, data: bytes) -> None:
        if kind == b"H":
            self.pid = int(data)
        elif kind == b"I":
            self.received += data
            if data:
                self._stdin.feed_data(data)
            else:
                self._stdin.feed_eof()
        else:
            self._replies.put_nowait(data)

    async def _order(self, kind: bytes, data: bytes = b"") -> None:
        self._writer.write(struct.pack(">cI", kind, len(data)) + data)
        async with asyncio.timeout(PATIENCE):
            await self._writer.drain()

    async def _ask(self, kind: bytes, data: bytes = b"") -> bytes:
        await self._order(kind, data)
        async with asyncio.timeout(PATIENCE):
            return await self._replies.get()


async def idle(peer: Peer) -> None:
    """The script of a server that does nothing by itself: the test plays it through `program.peer()`."""


class ScriptedProgram:
    """A program to start, as often as the gateway likes; `script` plays each child."""

    def __init__(self, script: Script = idle, *, env: Mapping[str, str] | None = None) -> None:
        self._script = script
        self._env = dict(env or {})
        self._folder = Path(tempfile.mkdtemp(prefix="pipes-"))
        self._arrived = asyncio.Condition()
        self._plays: list[asyncio.Task[None]] = []
        self.peers: list[Peer] = []

    @property
    def spec(self) -> dict[str, Any]:
        """The members of a `ServerSpec` for this program."""
        args = ("-I", "-S", str(PUPPET), str(self._folder / "s"))
        return {"command": sys.executable, "args": args, "env": self._env}

    @property
    def command(self) -> Command:
        return Command(sys.executable, self.spec["args"], environment(self._env, os.environ))

    async def peer(self, number: int = 0) -> Peer:
        """The child that was started as `number`, from 0; waits for it."""
        async with asyncio.timeout(PATIENCE), self._arrived:
            await self._arrived.wait_for(lambda: len(self.peers) > number)
        return self.peers[number]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._greet, self._folder / "s")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for peer in self.peers:
            peer._writer.close()
        for play in self._plays:
            play.cancel()
        ends = await asyncio.gather(*self._plays, return_exceptions=True)
        await self._server.wait_closed()
        shutil.rmtree(self._folder)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        peer._told(*await _frame(reader))
        self._plays += (
            asyncio.get_running_loop().create_task(peer.play()),
            asyncio.get_running_loop().create_task(self._perform(peer)),
        )
        async with self._arrived:
            self.peers.append(peer)
            self._arrived.notify_all()

    async def _perform(self, peer: Peer) -> None:
        with suppress(ConnectionError):
            await self._script(peer)


async def _frame(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    kind, length = struct.unpack(">cI", await reader.readexactly(5))
    return kind, await reader.readexactly(length)
