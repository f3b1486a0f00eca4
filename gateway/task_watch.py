"""What one modern server tells of tasks, for one client that listens.

Which question: what becomes of the tasks that a client wants to hear of? Touches one request to their server. The
rule: tasks belong to whoever made them, so that each client's wish reaches the server as that client's own, with its
capabilities and headers; when the server tells no more, the client's stream ends, and the client may listen again.

ext-tasks 2026-07-28 (Task Status Notifications); MCP 2026-07-28 `basic/patterns/subscriptions`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import msgspec

from gateway import task_places
from gateway.calls import Forwarder
from gateway.errors import GatewayError
from gateway.glossary import Glossary
from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.request import Request
from gateway.routing import Route
from gateway.subscriptions import ACKNOWLEDGED, Listen
from gateway.upstream.values import Forward

CANCELLED = "notifications/cancelled"
"""How a server ends a stream on a pipe."""

ACKNOWLEDGED_WITHIN = 10.0
"""Seconds that a server gets to agree."""


class TaskWatch:
    """Follows tasks of one server: `wanted` are its own ids, with what the client calls them; `route` leads there."""

    def __init__(self, request: Request, route: Route, wanted: Mapping[str, str], listen: Listen) -> None:
        self.honoured: tuple[str, ...] = ()
        """What the server tells of, in the client's words."""
        self._call = _listening(request, route, wanted)
        self._glossary = Glossary(route.naming, replace(route.tasks, known=wanted))
        self._wanted = wanted
        self._listen = listen
        self._settled = asyncio.Event()

    async def settled(self, within: float = ACKNOWLEDGED_WITHIN) -> None:
        """Wait until the server has agreed or refused, `within` seconds at most. What it agrees to later is not
        honoured: the client has been told by then what is.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._settled.wait()
        self._settled.set()

    async def run(self, upstream: Forwarder) -> None:
        """Pass on what the server tells, until it ends that; cancelling calls it off at the server."""
        try:
            async with upstream.forward(self._call) as relay:
                async for message in relay:
                    if message.kind is not MessageKind.NOTIFICATION or message.method == CANCELLED:
                        return
                    self._take(message)
                    if self._settled.is_set() and not self.honoured:
                        return
        except GatewayError:
            pass  # a server that cannot be asked tells of nothing
        finally:
            self._settled.set()
            if self.honoured:
                self._listen.end()

    def _take(self, message: Message) -> None:
        if message.method == ACKNOWLEDGED and not self._settled.is_set():
            agreed = _agreed(message)
            self.honoured = tuple(name for task_id, name in self._wanted.items() if task_id in agreed)
            self._settled.set()
        elif message.method == task_places.CHANGED:
            self._tell(message)

    def _tell(self, message: Message) -> None:
        """A task that nobody asked for is nobody's to hear of."""
        shown = self._glossary.notification_out(message.method, message.params)
        params = jsonrpc.members(shown or b"{}")
        name = jsonrpc.string(params.get(task_places.ID, b"null"))
        if name in self.honoured:
            self._listen.task_changed(name, params)


def _listening(request: Request, route: Route, wanted: Mapping[str, str]) -> Forward:
    return Forward(
        method="subscriptions/listen",
        target=None,
        params={"notifications": jsonrpc.text({"taskIds": list(wanted)})},
        meta=request.params.meta,
        client=replace(request.client, log_level=None, wants_progress=False),
        scope=request.scope,
        headers=request.headers_for(route.server),
        lasting=True,
    )


class _Acknowledged(msgspec.Struct):
    class Filter(msgspec.Struct):
        taskIds: list[str] = []  # noqa: N815 (a name on the wire)

    notifications: Filter = msgspec.field(default_factory=Filter)


def _agreed(message: Message) -> frozenset[str]:
    try:
        found = msgspec.json.decode(message.params or b"{}", type=_Acknowledged)
    except msgspec.MsgspecError:
        return frozenset()
    return frozenset(found.notifications.taskIds)
