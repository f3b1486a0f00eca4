"""The one listen that is open at a modern server, whatever is wanted of it meanwhile.

Which question: which listen stands, and which takes its place? Touches one line. The rule: make before break: a
listen is closed when the next one was acknowledged, so that nothing is missed; what both tell is told twice.
"""

from __future__ import annotations

import random

from gateway.errors import GatewayError, Kind
from gateway.upstream.exchange import OnMessage
from gateway.upstream.followed import Followed
from gateway.upstream.line import Begun, Line
from gateway.upstream.listen import Interest, Listen, ListenRefused
from gateway.upstream.modern import LISTEN
from gateway.upstream.pace import Pace
from gateway.upstream.refusals import METHOD_NOT_FOUND
from gateway.upstream.surroundings import Surroundings

ACKNOWLEDGED_WITHIN = 10.0
"""Seconds that a server gets to acknowledge a listen."""


class Listening:
    """Listens on `line` to changes of `lists` (capabilities) and of what is `followed`."""

    def __init__(self, line: Line, lists: frozenset[str], followed: Followed, around: Surroundings) -> None:
        self._line = line
        self._lists = lists
        self._followed = followed
        self._around = around
        self._pace = Pace()
        self._current: Listen | None = None

    async def run(self, hear: OnMessage, begun: Begun) -> None:
        """Listen until nothing is wanted any more; `begun` is told of the first acknowledgement. Raises
        `GatewayError` when no listen stands: it was refused, or ended.
        """
        try:
            while interest := Interest(self._lists, self._followed.uris):
                within = await self._renew(interest, hear, begun)
                if self._current is not None:
                    await self._current.wait(self._followed.changed, within)
                if self._current is None or self._current.over:
                    raise GatewayError(Kind.SERVER_CLOSED, f"the server has ended {LISTEN}", reason="stream_ended")
        finally:
            self._replace(None)

    async def _renew(self, interest: Interest, hear: OnMessage, begun: Begun) -> float | None:
        """Have a listen of this interest stand; seconds after which to try that again, None when there is no need."""
        turn = self._followed.begin()
        try:
            fresh = await self._opened(interest, hear)
        except GatewayError as error:
            if self._current is None or self._current.over:
                raise
            self._followed.settle(self._current.honoured, turn)
            return None if isinstance(error, ListenRefused) else self._pace.wait(random.random())  # noqa: S311
        if self._current is None:
            begun(True)
        self._replace(fresh)
        self._pace.succeeded()
        self._followed.settle(fresh.honoured, turn)
        return None

    async def _opened(self, interest: Interest, hear: OnMessage) -> Listen:
        """A listen that the server has acknowledged; without resources if it wants to hear nothing of those."""
        try:
            return await self._acknowledged(interest, hear)
        except ListenRefused as error:
            lists = Interest(interest.lists)
            if error.refusal.code == METHOD_NOT_FOUND or not interest.uris or not lists or self._current is not None:
                raise
            return await self._acknowledged(lists, hear)

    async def _acknowledged(self, interest: Interest, hear: OnMessage) -> Listen:
        listen = Listen(self._line, interest, hear, self._around)
        try:
            await listen.acknowledged(ACKNOWLEDGED_WITHIN)
        except BaseException:
            listen.leave()
            raise
        return listen

    def _replace(self, fresh: Listen | None) -> None:
        before, self._current = self._current, fresh
        if before is not None:
            before.leave()
