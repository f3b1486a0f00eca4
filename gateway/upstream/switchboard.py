"""Which exchange a message on a shared pipe belongs to.

Which question: whose is this message? Touches nothing but inboxes. The rule: a message goes to at most one reader,
and never to one that it does not name when it names another.

Responses carry our id; progress carries it as its token; the notifications of a subscription carry it in `_meta`
(MCP 2026-07-28 `basic/patterns/subscriptions`). What names nobody goes to the one exchange in flight; with none or
several it goes to the channel's owner, as does what is never about a call: news of lists and resources.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Raw

from gateway.errors import GatewayError
from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.upstream.exchange import Dropped, OnDropped, OnMessage
from gateway.upstream.framing import Edges
from gateway.upstream.inbox import Inbox

LISTS_CHANGED = frozenset(f"notifications/{kind}/list_changed" for kind in ("tools", "prompts", "resources"))
RESOURCE_UPDATED = "notifications/resources/updated"

_NEWS = LISTS_CHANGED | {RESOURCE_UPDATED}
_CANCELLED = "notifications/cancelled"
_SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
_LONGEST_ID = 18


class Switchboard:
    """The exchanges in flight on one pipe, by id."""

    def __init__(self, on_message: OnMessage, on_dropped: OnDropped) -> None:
        self._inboxes: dict[int, Inbox] = {}
        self._named: set[int] = set()
        self._on_message = on_message
        self._on_dropped = on_dropped

    def __len__(self) -> int:
        return len(self._inboxes)

    def open(self, id: int, *, named: bool = False) -> Inbox:
        """The inbox of a new exchange; a `named` one gets nothing that does not name it."""
        if id in self._inboxes:
            raise ValueError(f"the id {id} is in flight on this channel already")
        inbox = self._inboxes[id] = Inbox()
        if named:
            self._named.add(id)
        return inbox

    def close(self, id: int) -> None:
        """The exchange is over; what still arrives for it is thrown away."""
        del self._inboxes[id]
        self._named.discard(id)

    def deliver(self, message: Message) -> None:
        """Pass `message` on to whom it belongs."""
        if message.kind in (MessageKind.RESULT, MessageKind.ERROR):
            self._respond(message)
        elif (named := _named(message)) is not None:
            self._put(self._find(named), message)
        elif message.method == _CANCELLED and (ended := self._ended(message)) is not None:
            self._put(ended, message)
        elif message.method in _NEWS:
            self._on_message(message)
        elif (only := self._only) is not None:
            self._put(only, message)
        else:
            self._on_message(message)

    def unreadable(self, line: Edges, error: GatewayError, *, guess: bool = False) -> None:
        """A line cannot be read: end the exchange that it answers, by its edges. With `guess`, a line that may be
        an answer to anybody ends the one exchange in flight.
        """
        inbox = self._inboxes.get(line.response_id) if line.response_id is not None else None
        if inbox is None and line.response_id is None and guess and line.may_be_response:
            inbox = self._only
        if inbox is not None:
            inbox.fail(error)

    def end(self, error: Callable[[], GatewayError]) -> None:
        """No answer will come any more, for nobody."""
        for inbox in self._inboxes.values():
            inbox.fail(error())

    @property
    def _only(self) -> Inbox | None:
        """The one exchange that a message may be about which names none."""
        if len(self._inboxes) - len(self._named) != 1:
            return None
        return next(inbox for own_id, inbox in self._inboxes.items() if own_id not in self._named)

    def _ended(self, cancelled: Message) -> Inbox | None:
        """The subscription that the server ends so (MCP 2026-07-28 `basic/patterns/subscriptions`). Whoever has
        subscriptions is modern, and sends no requests that it could take back.
        """
        if not self._named or cancelled.params is None:
            return None
        return self._find(jsonrpc.members(cancelled.params).get("requestId", Raw(b"")))

    def _respond(self, message: Message) -> None:
        """An error without an id answers a request that the server could not read: ours, if there is but one."""
        inbox = self._only if message.id is None else self._find(message.id)
        if inbox is None:
            self._on_dropped(Dropped.UNMATCHED)
        else:
            inbox.finish(message)

    def _put(self, inbox: Inbox | None, message: Message) -> None:
        if inbox is None:
            self._on_dropped(Dropped.UNMATCHED)
        elif not inbox.put(message):
            self._on_dropped(Dropped.OVERFLOW)

    def _find(self, id: Raw) -> Inbox | None:
        text = bytes(id)
        return self._inboxes.get(int(text)) if text.isdigit() and len(text) <= _LONGEST_ID else None


def _named(message: Message) -> Raw | None:
    """The id of ours that a notification carries."""
    if message.kind is not MessageKind.NOTIFICATION or message.params is None:
        return None
    params = jsonrpc.members(message.params)
    if message.method == "notifications/progress":
        return params.get("progressToken")
    about = params.get("_meta")
    return jsonrpc.members(about).get(_SUBSCRIPTION) if about is not None and jsonrpc.is_object(about) else None
