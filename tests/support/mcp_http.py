"""An MCP server over a real socket, of either era, that writes down what it was asked and misbehaves on demand.

    async with McpServer(legacy=True) as server:
        upstream = Upstream(terms(url=server.url), http)
        …
        assert [asked.method for asked in server.asked] == ["initialize", "notifications/initialized", "tools/call"]

`tools/call` runs the tool of that name in `server.tools`; what is scripted by method stands in `server.served`, or in
`server.answers` where not even a session is asked for.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Self

from aiohttp import web

PATIENCE = 5.0
LEGACY, MODERN = "2025-11-25", "2026-07-28"
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"


@dataclass
class Session:
    """What a legacy server remembers."""

    id: str
    counter: int = 0
    cookie: str = ""


@dataclass
class Asked:
    """One message as it arrived."""

    http: web.Request
    message: dict[str, Any]
    session: Session | None = None
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    stream: web.StreamResponse | None = None

    @property
    def method(self) -> str:
        return self.message.get("method", "response")

    @property
    def params(self) -> dict[str, Any]:
        return self.message.get("params", {})

    @property
    def modern(self) -> bool:
        return VERSION_KEY in self.params.get("_meta", {})

    def result(self, result: Any, **headers: str) -> web.Response:
        return self._json({"result": result}, 200, headers)

    def error(self, code: int, message: str, status: int = 200, data: Any = None) -> web.Response:
        return self._json({"error": {"code": code, "message": message, "data": data}}, status, {})

    async def say(self, message: dict[str, Any]) -> web.StreamResponse:
        """Send one event of this request's stream, opening it at first."""
        if self.stream is None:
            self.stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await self.stream.prepare(self.http)
        await self.stream.write(b"data: " + json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n\n")
        return self.stream

    async def progress(self, value: float) -> None:
        token = self.params["_meta"]["progressToken"]
        await self.say({"method": "notifications/progress", "params": {"progressToken": token, "progress": value}})

    async def end(self, result: Any) -> web.StreamResponse:
        return await self.say({"id": self.message["id"], "result": result})

    def _json(self, body: dict[str, Any], status: int, headers: dict[str, str]) -> web.Response:
        text = json.dumps({"jsonrpc": "2.0", "id": self.message.get("id"), **body})
        return web.Response(text=text, status=status, content_type="application/json", headers=headers)


Answer = Callable[[Asked], Awaitable[web.StreamResponse]]
Tool = Callable[[Asked], Awaitable[web.StreamResponse]]


def text(value: object) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": str(value)}]}


class McpServer:
    """`legacy`, `modern` or both; `stateful` gives sessions ids; `lost` says how an unknown session is answered."""

    def __init__(self, *, legacy: bool = False, modern: bool = False, stateful: bool = True, lost: str = "404") -> None:
        self.legacy, self.modern, self.stateful, self.lost = legacy, modern, stateful, lost
        self.asked: list[Asked] = []
        self.deleted: list[str] = []
        self.sessions: dict[str, Session] = {}
        self.answers: dict[str, Answer] = {}
        self.served: dict[str, Answer] = {}
        self.tools: dict[str, Tool] = {"count": count_up, "echo": echo}
        self.definitions: list[Any] = [{"name": "count", "inputSchema": {}}, {"name": "echo", "inputSchema": {}}]
        self.capabilities: dict[str, Any] = {"tools": {}}
        self.get: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
        """Answers GET; without it there are no streams."""
        self._serial = count(1)
        self._news = asyncio.Condition()
        self._url = ""

    @property
    def url(self) -> str:
        return self._url

    @property
    def methods(self) -> list[str]:
        return [asked.method for asked in self.asked]

    def named(self, method: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == method]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds after some message or DELETE."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(condition)

    async def saw(self, method: str, times: int = 1) -> Asked:
        """The message of that method, `times` of which have arrived."""
        await self.until(lambda: len(self.named(method)) >= times)
        return self.named(method)[times - 1]

    def initialize(self, asked: Asked) -> web.Response:
        """Open a session."""
        about = {
            "protocolVersion": LEGACY,
            "capabilities": self.capabilities,
            "serverInfo": {"name": "peer", "version": "1"},
        }
        if not self.stateful:
            return asked.result(about)
        sid = f"s{next(self._serial)}"
        self.sessions[sid] = Session(sid, cookie=f"lb={sid}")
        return asked.result(about, **{"Mcp-Session-Id": sid, "Set-Cookie": f"lb={sid}; Path=/; HttpOnly"})

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/mcp", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/mcp"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.method == "DELETE":
            return await self._delete(request)
        if request.method == "GET" and self.get is not None:
            return await self.get(request)
        if request.method != "POST":
            return web.Response(status=405)
        asked = Asked(request, json.loads(await request.text()))
        await self._note(lambda: self.asked.append(asked))
        try:
            if (answer := self.answers.get(asked.method)) is not None:
                return await answer(asked)
            return await (self._modern(asked) if self.modern and asked.modern else self._legacy(asked))
        except asyncio.CancelledError:
            await self._note(asked.gone.set)
            raise

    async def _delete(self, request: web.Request) -> web.Response:
        sid = request.headers["Mcp-Session-Id"]
        known = self.sessions.pop(sid, None)
        await self._note(lambda: self.deleted.append(sid))
        return web.Response(status=200 if known else 404)

    async def _note(self, change: Callable[[], object]) -> None:
        async with self._news:
            change()
            self._news.notify_all()

    async def _modern(self, asked: Asked) -> web.StreamResponse:
        if asked.http.headers.get("Mcp-Method") != asked.method:
            return asked.error(-32020, "Mcp-Method does not match", 400)
        if asked.method == "server/discover":
            return self.discovered(asked)
        return await self._serve(asked)

    def discovered(self, asked: Asked) -> web.Response:
        """What a modern server says of itself."""
        about = {"io.modelcontextprotocol/serverInfo": {"name": "peer", "version": "1"}}
        found = {"supportedVersions": [MODERN], "capabilities": self.capabilities, "_meta": about}
        return asked.result({"resultType": "complete", **found, "ttlMs": 0, "cacheScope": "public"})

    async def _legacy(self, asked: Asked) -> web.StreamResponse:
        if not self.legacy:
            missing = asked.method not in ("initialize", "server/discover")
            return asked.error(-32602, "params._meta is missing", 400) if missing else asked.error(-32601, "?", 404)
        if asked.method == "initialize":
            return self.initialize(asked)
        if self.stateful:
            asked.session = self.sessions.get(asked.http.headers.get("Mcp-Session-Id", ""))
            if asked.session is None:
                return self._unknown_session(asked)
        if "id" not in asked.message or asked.method == "response":
            return web.Response(status=202)
        return await self._serve(asked)

    def _unknown_session(self, asked: Asked) -> web.Response:
        match self.lost:
            case "terminated":
                return asked.error(-32600, "Session terminated")
            case "400":
                return asked.error(-32000, "Bad Request: No valid session ID provided", 400)
            case "400 text":
                return web.Response(status=400, text="Missing session ID")
        return web.Response(status=int(self.lost), text="no such session")

    async def _serve(self, asked: Asked) -> web.StreamResponse:
        if (serve := self.served.get(asked.method)) is not None:
            return await serve(asked)
        if asked.method == "ping":
            return asked.result({})
        if asked.method == "tools/list":
            return asked.result({"tools": self.definitions})
        if asked.method == "tools/call" and asked.params["name"] in self.tools:
            return await self.tools[asked.params["name"]](asked)
        return asked.error(-32601, "Method not found", 404 if asked.modern else 200)


async def count_up(asked: Asked) -> web.StreamResponse:
    """One more for this session."""
    if asked.session is None:
        return asked.result(text("stateless"))
    asked.session.counter += 1
    return asked.result(text(asked.session.counter))


async def echo(asked: Asked) -> web.StreamResponse:
    return asked.result({"asked": asked.params})
