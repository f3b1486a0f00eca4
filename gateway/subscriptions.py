"""The long streams on which modern clients hear of changes: `subscriptions/listen`.

Which question: who wants to hear of this change, and what does each of them read? Touches memory alone. The rule: a
stream begins with what is honoured and holds nothing else; a slow reader costs one waiting frame for each thing that
changed, however often it changed.

MCP 2026-07-28 `basic/patterns/subscriptions`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass

import msgspec
from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol import jsonrpc
from gateway.protocol import meta as keys
from gateway.protocol.jsonrpc import NotAnObject

ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
UPDATED = "notifications/resources/updated"
TASKS = "notifications/tasks"
FLAGS: Mapping[str, str] = {
    "toolsListChanged": "notifications/tools/list_changed",
    "promptsListChanged": "notifications/prompts/list_changed",
    "resourcesListChanged": "notifications/resources/list_changed",
}
"""Members of a filter, and the notifications that they ask for."""

MOST_NAMES = 1_000
"""Resources, and tasks, that one stream follows at most."""

MOST_WAITING = 2_000
MOST_WAITING_BYTES = 2_000_000
"""Frames that wait for one reader at most, and what they weigh; the oldest are dropped."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter: notifications by method, resources and tasks as the client calls them."""

    methods: frozenset[str]
    uris: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of one server, under the server's own URI."""

    server_id: int
    uri: str


class Listen:
    """One client's stream. `id` is the JSON-RPC id of its request, which every frame carries."""

    def __init__(self, id: Raw, endpoint: str, methods: frozenset[str]) -> None:
        self.endpoint = endpoint
        self.methods = methods
        self.resources: Mapping[Resource, str] = {}
        """What is followed, and what the client calls it."""
        self.tasks: tuple[str, ...] = ()
        """Tasks that are followed, as the client calls them."""
        self._id = jsonrpc.copy(id)
        self._waiting: dict[str, bytes] = {}
        self._size = 0
        self._stirred = asyncio.Event()
        self._ended = False

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._size

    def acknowledgement(self) -> bytes:
        """The first frame: what is honoured."""
        honoured: dict[str, object] = {flag: True for flag, method in FLAGS.items() if method in self.methods}
        if self.resources:
            honoured["resourceSubscriptions"] = list(self.resources.values())
        if self.tasks:
            honoured["taskIds"] = list(self.tasks)
        return self._frame(ACKNOWLEDGED, {"notifications": jsonrpc.text(honoured)})

    def result(self) -> bytes:
        """The response that ends the stream properly."""
        body = {"resultType": jsonrpc.text("complete"), "_meta": self._meta({})}
        return jsonrpc.result(self._id, jsonrpc.encode(body))

    def changed(self, methods: Iterable[str]) -> None:
        """Lists have changed; those that the client asked for are told."""
        for method in methods:
            if method in self.methods:
                self._put(method, self._frame(method, {}))

    def updated(self, uri: str, params: Mapping[str, Raw]) -> None:
        """A resource has changed; `params` name it as the client knows it."""
        self._put(uri, self._frame(UPDATED, params))

    def task_changed(self, name: str, params: Mapping[str, Raw]) -> None:
        """A task has changed; `params` are all of it, under the client's `name`."""
        self._put(f"{TASKS} {name}", self._frame(TASKS, params))

    def end(self) -> None:
        """Let the stream end properly after what waits."""
        self._ended = True
        self._stirred.set()

    async def frames(self) -> AsyncIterator[bytes]:
        """The frames in the order of their first change, until `end`."""
        while self._waiting or not self._ended:
            if self._waiting:
                yield self._take(next(iter(self._waiting)))
            else:
                self._stirred.clear()
                await self._stirred.wait()

    def _put(self, key: str, frame: bytes) -> None:
        self._size += len(frame) - len(self._waiting.get(key, b""))
        self._waiting[key] = frame
        while len(self._waiting) > MOST_WAITING or (self._size > MOST_WAITING_BYTES and len(self._waiting) > 1):
            self._take(next(iter(self._waiting)))
        self._stirred.set()

    def _take(self, key: str) -> bytes:
        frame = self._waiting.pop(key)
        self._size -= len(frame)
        return frame

    def _frame(self, method: str, params: Mapping[str, Raw]) -> bytes:
        try:
            about = jsonrpc.members(params.get("_meta", b"{}"))
        except NotAnObject:
            about = {}
        return jsonrpc.notification(method, jsonrpc.encode({**params, "_meta": self._meta(about)}))

    def _meta(self, about: Mapping[str, Raw]) -> Raw:
        return jsonrpc.encode({**about, keys.SUBSCRIPTION_ID: self._id})


class Subscriptions:
    """Every open stream of this worker."""

    def __init__(self) -> None:
        self._listens: dict[Listen, None] = {}
        self._followed: dict[int, Counter[str]] = {}
        self._over = False

    def __len__(self) -> int:
        return len(self._listens)

    def open(self, id: Raw, endpoint: str, methods: frozenset[str]) -> Listen:
        """A stream that hears of changes from now on."""
        listen = Listen(id, endpoint, methods)
        self._listens[listen] = None
        if self._over:
            listen.end()
        return listen

    def follow(self, listen: Listen, resources: Mapping[Resource, str]) -> frozenset[int]:
        """Let `listen` follow `resources`; the servers whose followed set has grown."""
        listen.resources = resources
        grown = {r.server_id for r in resources if not self._followed.get(r.server_id, Counter())[r.uri]}
        for resource in resources:
            self._followed.setdefault(resource.server_id, Counter())[resource.uri] += 1
        return frozenset(grown)

    def narrow(self, listen: Listen, honoured: frozenset[Resource]) -> frozenset[int]:
        """Keep of what `listen` follows only what its servers honour; the servers whose followed set has shrunk."""
        kept = {resource: name for resource, name in listen.resources.items() if resource in honoured}
        dropped = [resource for resource in listen.resources if resource not in kept]
        listen.resources = kept
        return self._forget(dropped)

    def close(self, listen: Listen) -> frozenset[int]:
        """The reader has gone; the servers whose followed set has shrunk."""
        self._listens.pop(listen, None)
        return self._forget(listen.resources)

    def followed(self, server_id: int) -> frozenset[str]:
        """The URIs of a server that some stream follows."""
        return frozenset(self._followed.get(server_id, ()))

    def changed(self, changes: Mapping[str, Iterable[str]]) -> None:
        """Lists have changed: endpoint → methods of the notifications."""
        for listen in self._listens:
            if (methods := changes.get(listen.endpoint)) is not None:
                listen.changed(methods)

    def vanished(self, endpoints: Collection[str]) -> None:
        """These endpoints are served no more: their streams end properly."""
        for listen in self._listens:
            if listen.endpoint in endpoints:
                listen.end()

    def updated(self, server_id: int, params: Mapping[str, Raw]) -> None:
        """A server says that a resource, or something below one, has changed."""
        uri = jsonrpc.string(params.get("uri", b"null"))
        if uri is None:
            return
        for listen in self._listens:
            for resource, known_as in listen.resources.items():
                if resource.server_id == server_id and (rest := _below(resource.uri, uri)) is not None:
                    listen.updated(known_as + rest, {**params, "uri": jsonrpc.text(known_as + rest)})
                    break

    def end(self) -> None:
        """End every stream properly, at shutdown, and those that are opened yet."""
        self._over = True
        for listen in self._listens:
            listen.end()

    def _forget(self, resources: Iterable[Resource]) -> frozenset[int]:
        shrunk = set()
        for resource in resources:
            uris = self._followed[resource.server_id]
            uris[resource.uri] -= 1
            if not uris[resource.uri]:
                del uris[resource.uri]
                shrunk.add(resource.server_id)
            if not uris:
                del self._followed[resource.server_id]
        return frozenset(shrunk)


def wanted(params: Mapping[str, Raw]) -> Wanted:
    """The filter of a request. Unknown members, which extensions may add, are not honoured. Raises INVALID_PARAMS."""
    try:
        found = jsonrpc.members(params.get("notifications", b"null"))
    except NotAnObject as error:
        raise GatewayError(Kind.INVALID_PARAMS, "Invalid params: notifications must be an object") from error
    methods = frozenset(method for flag, method in FLAGS.items() if _flag(found, flag))
    return Wanted(methods, _names(found, "resourceSubscriptions"), _names(found, "taskIds"))


def _flag(found: Mapping[str, Raw], name: str) -> bool:
    value = bytes(found.get(name, b"false"))
    if value not in (b"true", b"false"):
        raise GatewayError(Kind.INVALID_PARAMS, f"Invalid params: notifications.{name} must be true or false")
    return value == b"true"


def _names(found: Mapping[str, Raw], member: str) -> tuple[str, ...]:
    try:
        names = msgspec.json.decode(found.get(member, b"[]"), type=list[str])
    except msgspec.MsgspecError as error:
        words = f"Invalid params: notifications.{member} must be an array of strings"
        raise GatewayError(Kind.INVALID_PARAMS, words) from error
    if len(names) > MOST_NAMES:
        raise GatewayError(Kind.INVALID_PARAMS, f"Invalid params: notifications.{member}: at most {MOST_NAMES}")
    return tuple(dict.fromkeys(names))


def _below(parent: str, uri: str) -> str | None:
    """What follows `parent` in `uri`, "" for the same; None when `uri` is neither `parent` nor below it."""
    if not uri.startswith(parent):
        return None
    rest = uri[len(parent) :]
    return rest if not rest or parent.endswith("/") or rest[0] in "/#?" else None
