"""One `subscriptions/listen` at a modern server.

Which question: what does the server tell us of its lists and resources? Touches one exchange of one line. The rule:
it counts as open when the server has acknowledged it, and for what the server has acknowledged; a filter never
changes, another listen takes its place.

MCP 2026-07-28 `basic/patterns/subscriptions`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol import jsonrpc, meta, results
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.upstream.asking import question
from gateway.upstream.exchange import OnMessage, RefusedByStatus
from gateway.upstream.line import Line
from gateway.upstream.modern import LISTEN
from gateway.upstream.refusals import Refusal
from gateway.upstream.surroundings import Surroundings

ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
CANCELLED = "notifications/cancelled"
FILTERS: Mapping[str, str] = {
    "tools": "toolsListChanged",
    "prompts": "promptsListChanged",
    "resources": "resourcesListChanged",
}
"""The lists of a server, by capability, as a filter names them."""

_NOBODY_LISTENS = "nobody listens any more"


class ListenRefused(GatewayError):
    """SERVER_STATUS: the server answered with an error instead of an acknowledgement."""

    def __init__(self, refusal: Refusal) -> None:
        words = f"the server refuses {LISTEN}: {refusal.code} {refusal.text[:200]}"
        super().__init__(Kind.SERVER_STATUS, words, reason="refused")
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Interest:
    """What a listen is about: lists by their capability, and resources by the server's own URIs."""

    lists: frozenset[str] = frozenset()
    uris: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.lists or self.uris)


class Listen:
    """One listen on `line` about `interest`; `hear` gets what the server tells, without the id of the listen."""

    def __init__(self, line: Line, interest: Interest, hear: OnMessage, around: Surroundings) -> None:
        self.honoured: frozenset[str] = frozenset()
        """The URIs that the server has acknowledged."""
        self._line = line
        self._id = around.asker.number()
        self._call = replace(question(LISTEN, {"notifications": _filter(interest)}), lasting=True)
        self._hear = hear
        self._events = around.events
        self._tasks = around.tasks
        self._acknowledged = asyncio.Event()
        self._reading = around.tasks.spawn(self._read(), f"{LISTEN} {self._id}")

    async def acknowledged(self, within: float) -> None:
        """Wait until the server listens. Raises `ListenRefused` and other `GatewayError`s."""
        await self.wait(self._acknowledged, within)
        if self._acknowledged.is_set():
            return
        if self.over and not self._reading.cancelled() and (error := self._reading.result()) is not None:
            raise error
        raise GatewayError(Kind.TIMEOUT, f"no acknowledgement of {LISTEN} within {within:g} s", reason="first_byte")

    @property
    def over(self) -> bool:
        """The server has ended it, or it broke."""
        return self._reading.done()

    async def wait(self, other: asyncio.Event, within: float | None = None) -> None:
        """Wait until it is over, or `other` is set, or `within` seconds have passed."""
        waiting = self._tasks.spawn(other.wait(), f"news for {self._id}")
        try:
            await asyncio.wait({self._reading, waiting}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    def leave(self) -> None:
        """Listen no more. Over HTTP the closed stream says it; a child is told, in the background."""
        if not self.over:
            self._reading.cancel()
            self._tasks.spawn(self._cancel(), f"cancel {self._id}")

    async def _read(self) -> GatewayError | None:
        """Read to the end; why it ended, None where the server ended it as agreed."""
        request = self._line.compose(self._id, self._call)
        left = False
        try:
            async with self._line.channel.exchange(request) as exchange:
                async for message in exchange:
                    if (ended := self._take(message)) is not None:
                        return ended
        except RefusedByStatus as error:
            return ListenRefused(Refusal(error.head.status, None, error.message))
        except GatewayError as error:
            return error
        except asyncio.CancelledError:
            left = True
            raise
        finally:
            if self._acknowledged.is_set():
                self._events.stream_closed("watch", broken=not left)
        return None

    def _take(self, message: Message) -> GatewayError | None:
        """Take in one message; the error that ends it all, if it is one."""
        if message.kind is MessageKind.ERROR:
            return ListenRefused(Refusal(None, *results.error_head(message.body or b"{}")))
        if message.kind is not MessageKind.NOTIFICATION:
            return None
        if message.method == CANCELLED:
            return GatewayError(Kind.SERVER_CLOSED, f"the server has ended {LISTEN}", reason="closed")
        if message.method == ACKNOWLEDGED:
            self._begin(_honoured(message.params))
        else:
            self._hear(_unaddressed(message))
        return None

    def _begin(self, honoured: frozenset[str]) -> None:
        if not self._acknowledged.is_set():
            self.honoured = honoured
            self._acknowledged.set()
            self._events.stream_opened("watch")

    async def _cancel(self) -> None:
        with suppress(GatewayError):
            await self._line.cancel(self._id, self._call, _NOBODY_LISTENS)


def _filter(interest: Interest) -> Raw:
    wanted: dict[str, Any] = {FILTERS[name]: True for name in sorted(interest.lists)}
    if interest.uris:
        wanted["resourceSubscriptions"] = sorted(interest.uris)
    return jsonrpc.text(wanted)


class _Acknowledged(msgspec.Struct):
    class Filter(msgspec.Struct):
        resourceSubscriptions: list[str] = []  # noqa: N815 (a name on the wire)

    notifications: Filter = msgspec.field(default_factory=Filter)


def _honoured(params: Raw | None) -> frozenset[str]:
    """The URIs in an acknowledgement; none where it says nothing that can be read."""
    try:
        found = msgspec.json.decode(params or b"{}", type=_Acknowledged)
    except msgspec.MsgspecError:
        return frozenset()
    return frozenset(found.notifications.resourceSubscriptions)


def _unaddressed(message: Message) -> Message:
    """The notification without the id of our listen; all else keeps its bytes."""
    params = {} if message.params is None else jsonrpc.members(message.params)
    about = params.get("_meta")
    if about is None or not jsonrpc.is_object(about):
        return message
    rest = {key: raw for key, raw in jsonrpc.members(about).items() if key != meta.SUBSCRIPTION_ID}
    if rest:
        params["_meta"] = jsonrpc.encode(rest)
    else:
        del params["_meta"]
    return msgspec.structs.replace(message, params=jsonrpc.encode(params) if params else None)
