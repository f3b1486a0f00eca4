"""The rounds of one operation: a modern server asks, its client answers in a request of its own, and so on.

Which question: which operation does this request go on with, and what does its server get back? Touches seals through
`States`. The rule: for callers with a key of their own the server's state travels under a seal that is bound to them
and to their request; callers that nobody can tell apart carry it as it is.

MCP 2026-07-28 `basic/patterns/mrtr`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from msgspec import Raw

from gateway.protocol import jsonrpc, results
from gateway.protocol.versions import Era
from gateway.request import Request
from gateway.routing import Route
from gateway.states import Bond, States, digest
from storage.records import CallUid

STATE = "requestState"


@dataclass(frozen=True, slots=True)
class Turn:
    """One round. `members` are those of the request's params, with the state as its server gave it; `bind` tells to
    whom a state belongs, and is None where states travel as they are.
    """

    operation_uid: CallUid
    round: int
    members: Mapping[str, Raw] = field(repr=False)
    bind: Callable[[], Bond] | None = None


class Rounds:
    """Opens and goes on with operations."""

    def __init__(self, states: States) -> None:
        self._states = states

    def open(self, uid: CallUid, request: Request, route: Route) -> Turn:
        """The turn that `request` is; `uid` is its call's. Raises INVALID_PARAMS for a state that is not its own."""
        members = request.params.members
        if request.era is Era.LEGACY or request.caller.key is None:
            return Turn(uid, 0, members)
        bind = partial(_bond, request, route)
        if (sealed := members.get(STATE)) is None:
            return Turn(uid, 0, members, bind)
        held = self._states.unwrap(sealed, bind())
        own = {key: raw for key, raw in members.items() if key != STATE or held.state is not None}
        if held.state is not None:
            own[STATE] = Raw(held.state)
        return Turn(held.operation_uid, held.round + 1, own, bind)

    def sealed(self, turn: Turn, result: Raw) -> Raw:
        """A server's result as its client gets it: the state of an `input_required` under seal."""
        if turn.bind is None or results.head(result).resultType != "input_required":
            return result
        found = jsonrpc.members(result)
        state = self._states.wrap(turn.bind(), found.get(STATE), turn.operation_uid, turn.round)
        return jsonrpc.encode({**found, STATE: state})


def _bond(request: Request, route: Route) -> Bond:
    return Bond(
        server_id=route.server.id,
        user_id=request.caller.user_id,
        endpoint=request.endpoint.key,
        request=digest(request.method, route.target, request.params.members),
    )
