"""An MCP server on pipes, as a script for `ScriptedProgram`; every child of it is a real process.

server = PipeServer(legacy=True)
async with ScriptedProgram(server) as program:
    upstream = Upstream(terms(**program.spec), http)
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from tests.support.mcp_http import LEGACY, MODERN, PATIENCE, VERSION_KEY, text
from tests.support.pipes import Peer

Message = dict[str, Any]
Tool = Callable[["PipeChild", Message], Awaitable[None]]


class PipeChild:
    """One child: what it was asked, and a counter of its own."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.asked: list[Message] = []
        self.counter = 0

        self._waiting: list[tuple[set[str], Message, Message]] = []

    @property
    def methods(self) -> list[str]:
        return [message.get("method", "response") for message in self.asked]

    def when(self, ids: set[str], asked: Message) -> None:
        """Answer `asked` once our requests with these ids were answered, with what was said."""
        self._waiting.append((ids, asked, {}))

    async def heard(self, response: Message) -> None:
        for ids, asked, said in self._waiting:
            if response["id"] in ids:
                ids.remove(response["id"])
                said[response["id"].partition("-")[0]] = {k: v for k, v in response.items() if k in ("result", "error")}
                if not ids:
                    await self.result(asked, said)

    async def say(self, message: Message) -> None:
        await self.peer.say(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    async def result(self, asked: Message, result: Any) -> None:
        await self.say({"id": asked["id"], "result": result})

    async def error(self, asked: Message, code: int, message: str) -> None:
        await self.say({"id": asked["id"], "error": {"code": code, "message": message}})


class PipeServer:
    """`on_unknown` says what a legacy child does about `server/discover`: `error`, `silence` or `exit`."""

    def __init__(self, *, legacy: bool = False, modern: bool = False, on_unknown: str = "error") -> None:
        self.legacy, self.modern, self.on_unknown = legacy, modern, on_unknown
        self.children: list[PipeChild] = []
        self.tools: dict[str, Tool] = {"count": _count, "echo": _echo, "exit": _exit, "hang": _hang}
        self.served: dict[str, Tool] = {}
        """What a child does about further methods."""
        self.capabilities: dict[str, Any] = {"tools": {}}
        self.read_ahead = 1
        """Messages that a child reads before it answers the first."""
        self._news = asyncio.Condition()

    async def child(self, number: int = 0) -> PipeChild:
        """The child that was started as `number`, from 0; waits for it."""
        await self.until(lambda: len(self.children) > number)
        return self.children[number]

    async def __call__(self, peer: Peer) -> None:
        child = PipeChild(peer)
        await self._note(lambda: self.children.append(child))
        unanswered: list[Message] = []
        while line := await peer.line():
            message = json.loads(line)
            await self._note(partial(child.asked.append, message))
            unanswered.append(message)
            if len(child.asked) < self.read_ahead:
                continue
            for each in unanswered:
                await self._react(child, each)
            unanswered.clear()
        await peer.exit()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds after some message."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(condition)

    async def _react(self, child: PipeChild, message: Message) -> None:
        if "method" not in message:
            await child.heard(message)
        elif "id" in message:
            await self._answer(child, message)

    async def _note(self, change: Callable[[], object]) -> None:
        async with self._news:
            change()
            self._news.notify_all()

    async def _answer(self, child: PipeChild, asked: Message) -> None:
        modern = VERSION_KEY in asked.get("params", {}).get("_meta", {})
        if modern and not self.modern:
            return await self._unknown(child, asked)
        match asked["method"]:
            case "server/discover":
                await child.result(asked, {"supportedVersions": [MODERN], "capabilities": self.capabilities})
            case "initialize" if self.legacy:
                about = {"serverInfo": {"name": "peer", "version": "1"}, "capabilities": self.capabilities}
                await child.result(asked, {"protocolVersion": LEGACY, **about})
            case "ping" if not modern:
                await child.result(asked, {})
            case "tools/list":
                await child.result(asked, {"tools": [{"name": name, "inputSchema": {}} for name in self.tools]})
            case "tools/call":
                await self.tools[asked["params"]["name"]](child, asked)
            case method if method in self.served:
                await self.served[method](child, asked)
            case _:
                await child.error(asked, -32601, "Method not found")
        return None

    async def _unknown(self, child: PipeChild, asked: Message) -> None:
        if self.on_unknown == "exit":
            await child.peer.exit(1)
        elif self.on_unknown == "error":
            await child.error(asked, -32601, "Method not found")


async def _count(child: PipeChild, asked: Message) -> None:
    child.counter += 1
    await child.result(asked, text(child.counter))


async def _echo(child: PipeChild, asked: Message) -> None:
    await child.result(asked, {"asked": asked["params"]})


async def _exit(child: PipeChild, asked: Message) -> None:
    await child.peer.exit(3)


async def _hang(child: PipeChild, asked: Message) -> None:
    """Say nothing."""
