"""The doors over a real socket, with a server behind them that a test scripts in Python."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from msgspec import Raw

from gateway.access import KeyRing, frontier
from gateway.asides import Asides
from gateway.calls import CallFacts, Calls
from gateway.catalog import Catalog, digest, entries_of
from gateway.clock import Clock
from gateway.contexts import Contexts
from gateway.dispatch import Dispatch
from gateway.errors import GatewayError
from gateway.http.chat import ChatDoor
from gateway.http.door import Doors
from gateway.listens import Listens
from gateway.live import Live
from gateway.overlays import Overlays
from gateway.pipeline import Pipeline
from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.protocol.listed import Listed
from gateway.protocol.versions import Era
from gateway.router import Router
from gateway.routing import Server, Shelf, shelf, table
from gateway.sealing import Sealer
from gateway.sessions import SessionFacts, Sessions
from gateway.settings import Limits, ServerSpec
from gateway.states import States
from gateway.subscriptions import Subscriptions
from gateway.task_ids import TaskIds
from gateway.upstream.values import Forward, Scope
from gateway.views import Views
from storage.errors import RecordsFull
from storage.records import Caller, Finished, Started
from storage.tasks import Tasks

LOCAL = Caller(user_id=1, user="local")
MODERN, LEGACY = "2026-07-28", "2025-11-25"


@dataclass
class Relaying:
    """A relay whose messages a test puts in; remembers whether it was left early."""

    era: Era
    token: int | None
    attempts: int = 1
    status: int | None = None
    upstream_us: int = 500
    left_early: bool = False
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    messages: asyncio.Queue[Message | GatewayError] = field(default_factory=asyncio.Queue)
    tasks: Tasks = field(default_factory=lambda: Tasks("server"))

    @property
    def progress_token(self) -> int | None:
        return self.token

    def result(self, body: bytes) -> None:
        self.messages.put_nowait(Message(MessageKind.RESULT, Raw(b"1"), body=Raw(body)))

    def error(self, body: bytes) -> None:
        self.messages.put_nowait(Message(MessageKind.ERROR, Raw(b"1"), body=Raw(body)))

    def notify(self, method: str, params: bytes) -> None:
        self.messages.put_nowait(Message(MessageKind.NOTIFICATION, method=method, params=Raw(params)))

    def fail(self, error: GatewayError) -> None:
        self.messages.put_nowait(error)

    async def __aiter__(self) -> AsyncIterator[Message]:
        while True:
            message = await self.messages.get()
            if isinstance(message, GatewayError):
                raise message
            yield message


Behaviour = Callable[[Forward, Relaying], Awaitable[None] | None]


class Scripted:
    """A server: every call runs `behaviour`, which puts messages into the relay; the default echoes its arguments."""

    def __init__(self, era: Era) -> None:
        self.era = era
        self.calls: list[Forward] = []
        self.relays: list[Relaying] = []
        self.called = asyncio.Event()
        self.behaviour: Behaviour = echo
        self.notified: list[tuple[Scope, str, Raw | None]] = []
        self.levels: list[tuple[Scope, Raw]] = []
        self.followed: frozenset[str] = frozenset()
        self.honoured: frozenset[str] = frozenset()
        self.attended: set[str] = set()

    async def notify(self, scope: Scope, method: str, params: Raw | None) -> None:
        self.notified.append((scope, method, params))

    async def set_level(self, scope: Scope, level: Raw) -> None:
        self.levels.append((scope, level))

    async def follow(self, uris: frozenset[str]) -> frozenset[str]:
        self.followed = uris
        return uris & self.honoured

    def attend(self, sid: str) -> None:
        self.attended.add(sid)

    def unattend(self, sid: str) -> None:
        self.attended.discard(sid)

    @asynccontextmanager
    async def forward(self, call: Forward) -> AsyncIterator[Relaying]:
        relay = Relaying(self.era, 77 if call.client.wants_progress else None)
        self.calls.append(call)
        self.relays.append(relay)
        self.called.set()
        finished = False
        try:
            waiting = self.behaviour(call, relay)
            if waiting is not None:
                await waiting
            yield relay
            finished = True
        finally:
            relay.left_early = not finished
            relay.left.set()
            await relay.tasks.close()


def echo(call: Forward, relay: Relaying) -> None:
    relay.result(jsonrpc.encode({"content": b"[]", "echo": call.params.get("arguments", Raw(b"null"))}))


class Memory:
    """A recorder that keeps what it is given, and a witness."""

    def __init__(self) -> None:
        self.opened: list[Started] = []
        self.closed: list[Finished] = []
        self.facts: list[CallFacts] = []
        self.full = False
        self.refusals: list[str] = []
        self.doubted: list[str] = []
        self.statuses: list[int] = []
        self.streams = 0
        self.any_closed = asyncio.Event()

    async def started(self, record: Started) -> None:
        if self.full:
            raise RecordsFull("no room for records")
        self.opened.append(record)

    async def finished(self, record: Finished) -> None:
        self.closed.append(record)
        self.any_closed.set()

    def call_started(self, server: Server) -> None: ...

    def call_finished(self, facts: CallFacts) -> None:
        self.facts.append(facts)

    def catalog_changed(self, server: Server) -> None:
        self.doubted.append(server.slug)

    def request(self, door: str, era: str, status: int) -> None:
        self.statuses.append(status)

    def refusal(self, reason: str) -> None:
        self.refusals.append(reason)

    def stream_opened(self) -> None:
        self.streams += 1

    def stream_closed(self) -> None:
        self.streams -= 1


@dataclass
class Down:
    """A gatekeeper: servers in `errors` are refused."""

    errors: dict[str, GatewayError] = field(default_factory=dict)

    def refusal(self, server: Server) -> GatewayError | None:
        return self.errors.get(server.slug)


class House:
    """Everything between the socket and the scripted servers."""

    def __init__(self, servers: Mapping[str, Scripted], keys: KeyRing, offers: Mapping[str, Mapping[str, Any]]) -> None:
        self.servers = servers
        self.memory = Memory()
        self.down = Down()
        self.tasks = Tasks("test")
        self.settled: list[str] = []
        self.ended: list[str] = []
        self.live = Live(
            _table(servers, offers), dict(enumerate(servers.values(), 1)), keys, frontier("127.0.0.1", (), ())
        )
        clock = Clock()
        self.sessions = Sessions(
            Sealer([b"k" * 32], "session"),
            self.tasks,
            now=clock.now,
            entropy=clock.entropy,
            on_opened=lambda: None,
            on_dropped=lambda count: None,
            most=1_000,
        )
        states = States(Sealer([b"k" * 32], "state"), clock.now, clock.entropy)
        self.subscriptions = Subscriptions()
        self.task_ids = TaskIds(Sealer([b"k" * 32], "task"))
        self.calls = Calls(self.memory, self.down, self.memory, clock, states)
        views = Views()
        self.overlays = Overlays(self, self.sessions, views, self.tasks, clock)
        self.calls.changed_in = self.overlays.heard
        self.contexts = Contexts(self, self.tasks, clock)
        self.router = Router(self, self.sessions, self.contexts, views, self.task_ids)
        self.asides = Asides(self, self.sessions, self.router, self.tasks, self.task_ids)
        self.listens = Listens(self, self.router, self.subscriptions, self.tasks)
        self.dispatch = Dispatch(self.router, self.sessions, self.listens, self.calls, self.task_ids)
        self.pipeline = Pipeline(self, self.sessions, self.router, self.dispatch, self.asides, self.memory)
        self.client: TestClient[Any, Any]

    async def settle(self, endpoint: str, seconds: float) -> None:
        self.settled.append(endpoint)

    async def end_session(self, facts: SessionFacts) -> None:
        self.ended.append(facts.sid)

    def limit(self, **limits: Any) -> None:
        self.live = replace(self.live, depth=limits.get("depth", self.live.depth))

    async def modern(
        self, method: str, params: dict[str, Any] | None = None, *, path: str = "/mcp", **more: Any
    ) -> Any:
        """POST a modern request; `headers` and `meta` are added, `raw` replaces the body."""
        headers, body = modern_request(method, params or {}, more.pop("meta", {}), more.pop("id", 1))
        headers |= more.pop("headers", {})
        headers = {name: value for name, value in headers.items() if value is not None}
        return await self.client.post(path, data=io.BytesIO(more.pop("raw", body)), headers=headers, **more)

    async def legacy(self, message: Any, *, session: str | None = None, path: str = "/mcp", **more: Any) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if session is not None:
            headers |= {"Mcp-Session-Id": session, "MCP-Protocol-Version": LEGACY}
        headers |= more.pop("headers", {})
        headers = {name: value for name, value in headers.items() if value is not None}
        body = message if isinstance(message, bytes) else msgspec.json.encode(message)
        return await self.client.post(path, data=body, headers=headers, **more)

    async def initialize(self, path: str = "/mcp", version: str = LEGACY) -> str:
        params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        answer = await self.legacy({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}, path=path)
        assert answer.status == 200, await answer.text()
        return str(answer.headers["Mcp-Session-Id"])


def modern_request(
    method: str, params: dict[str, Any], meta: dict[str, Any], id: Any = 1
) -> tuple[dict[str, str | None], bytes]:
    envelope = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        **meta,
    }
    headers: dict[str, str | None] = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": method,
    }
    for member in ("name", "taskId"):
        if member in params:
            headers["Mcp-Name"] = params[member]
    message = {"jsonrpc": "2.0", "id": id, "method": method, "params": {**params, "_meta": envelope}}
    return headers, msgspec.json.encode(message)


@asynccontextmanager
async def house(
    servers: Mapping[str, Era] | None = None,
    *,
    keys: KeyRing | None = None,
    limits: Limits | None = None,
    tools: Mapping[str, list[dict[str, Any]]] | None = None,
    offers: Mapping[str, Mapping[str, Any]] | None = None,
) -> AsyncIterator[House]:
    """Doors on a free port; `servers` are slugs with their eras; `offers` are what each lists (`tools`, `prompts`, …)
    beside one tool, and its `capabilities`, which otherwise follow from that.
    """
    offers = {slug: {"tools": found} for slug, found in (tools or {}).items()} | dict(offers or {})
    scripted = {slug: Scripted(era) for slug, era in (servers or {"time": Era.MODERN}).items()}
    built = House(scripted, keys or KeyRing({}, LOCAL), offers)
    parts = (built.pipeline, built.tasks, built.memory, built.memory)
    doors = Doors(*parts, limits=limits or Limits(), frontier=lambda: built.live.frontier)
    chat = ChatDoor(*parts, limits=limits or Limits(), frontier=lambda: built.live.frontier)
    app = web.Application(client_max_size=0)
    app.add_routes([*doors.routes(), *chat.routes()])
    server = TestServer(app)
    await server.start_server(auto_decompress=False)  # the test server cancels handlers already
    async with TestClient(server) as client:
        built.client = client
        yield built
    await built.tasks.close()


def _table(servers: Mapping[str, Scripted], offers: Mapping[str, Mapping[str, Any]]) -> Any:
    named = enumerate(servers.items(), 1)
    return table([shelf_of(number, slug, scripted.era, **offers.get(slug, {})) for number, (slug, scripted) in named])


def shelf_of(
    number: int, slug: str, era: Era, *, capabilities: Mapping[str, Any] | None = None, **lists: list[dict[str, Any]]
) -> Shelf:
    """A server and what it offers."""
    lists = {"tools": [{"name": "now", "inputSchema": {"type": "object"}}], **lists}
    texts = {Listed(kind): [Raw(msgspec.json.encode(one)) for one in found] for kind, found in lists.items()}
    said = Raw(msgspec.json.encode(capabilities or {listed.capability: {} for listed in texts}))
    entries = {listed: entries_of(listed, found) for listed, found in texts.items()}
    catalog = Catalog(era, "x", said, None, None, entries, digest(texts), 0)
    return shelf(Server(number, slug, ServerSpec(name=slug, slug=slug), b"r"), catalog)
