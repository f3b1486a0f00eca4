"""The one watch of a server: how the gateway hears that lists and resources have changed.

Which question: what has changed at this server since we last asked? Touches a house line, the same that probes use.
The rule: one watch per server; what may have been missed counts as changed; a server that tells nothing is left to
the probes, and one that is down costs one attempt per back-off.

Legacy servers tell it on the stream of a session of ours, or on the pipes of the house child; modern ones on a
`subscriptions/listen` (MCP 2026-07-28 `basic/patterns/subscriptions`). There is no bound on the silence of a watch:
dead connections are found by TCP keep-alive, and what a silent proxy hides by the list that probes ask for.
"""

from __future__ import annotations

import asyncio
import logging
import random
from enum import Enum

from msgspec import Raw

from gateway.errors import GatewayError
from gateway.protocol.jsonrpc import Message
from gateway.protocol.versions import Era
from gateway.upstream.followed import Followed
from gateway.upstream.line import Again, Lines, Visit
from gateway.upstream.listen import ListenRefused
from gateway.upstream.listening import ACKNOWLEDGED_WITHIN, Listening
from gateway.upstream.news import advertised, changed, updated
from gateway.upstream.pace import STEADY_AFTER, Pace
from gateway.upstream.refusals import METHOD_NOT_FOUND
from gateway.upstream.scopes import HOUSE
from gateway.upstream.surroundings import Surroundings

log = logging.getLogger(__name__)


class _Ending(Enum):
    """What one opening of the watch came to."""

    BROKEN = "broken"
    NOTHING = "nothing to watch"
    REFUSED = "refused"


class Watch:
    """Watches one server over `lines`, once it is `on`, or while somebody follows a resource."""

    def __init__(self, lines: Lines, around: Surroundings) -> None:
        self._lines = lines
        self._around = around
        self._pace = Pace()
        self._task: asyncio.Task[None] | None = None
        self._off = False
        self._refused = False
        self._known: object = None
        self._lists: frozenset[str] = frozenset()
        self._followed = Followed()

    def on(self, capabilities: Raw | None, known: object) -> None:
        """The server advertises `capabilities`; `known` is all that it says of itself: a server that has refused to be
        watched is not asked again while that stays the same.
        """
        self._off = False
        lists = advertised(capabilities)
        if known != self._known:
            self._known, self._refused = known, False
            if lists != self._lists:
                self._stop()
        if lists or self._followed.uris:
            self._start()

    def off(self) -> None:
        """Watch no more, until it is on again."""
        self._off = True
        self._stop()
        self._followed.settle(frozenset())

    async def follow(self, uris: frozenset[str]) -> frozenset[str]:
        """Listen to changes of these resources and of no others; those that the server has agreed to tell of. Waits
        `ACKNOWLEDGED_WITHIN` seconds at most. Legacy servers agree to none.
        """
        self._follow(uris)
        if uris:
            self._start()
        if not self._runs:
            self._followed.settle(frozenset())
        return await self._followed.settled(ACKNOWLEDGED_WITHIN) & uris

    def succeed(self, before: Watch) -> None:
        """Follow what `before` did."""
        if before._followed.uris:
            self._follow(before._followed.uris)
            self._start()

    def _follow(self, uris: frozenset[str]) -> None:
        self._followed.want(uris)
        self._around.events.following(len(uris))

    @property
    def _runs(self) -> bool:
        return self._task is not None and not self._task.done()

    def _start(self) -> None:
        if not (self._runs or self._off or self._refused):
            self._task = self._around.tasks.spawn(self._run(), "watch")

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        """Keep the watch open for as long as that is of use."""
        ending = _Ending.BROKEN
        while ending is _Ending.BROKEN:
            begun = self._around.clock()
            try:
                ending = await self._once()
            except GatewayError as error:
                log.debug("server %s is not watched now: %s", self._around.terms.slug, error.message)
            if self._around.clock() - begun >= STEADY_AFTER:
                self._pace.succeeded()
            if ending is _Ending.BROKEN:
                await asyncio.sleep(self._pace.wait(random.random()))  # noqa: S311 (spreads load)
        self._refused = ending is _Ending.REFUSED
        self._followed.settle(frozenset())

    async def _once(self) -> _Ending:
        """Watch until that breaks. Raises `GatewayError`."""
        visit = await self._lines.visit(anew=False)
        self._lists = advertised(visit.greeting.capabilities)
        try:
            return await (self._modern(visit) if visit.line.era is Era.MODERN else self._legacy(visit))
        finally:
            visit.release()

    async def _legacy(self, visit: Visit) -> _Ending:
        self._followed.settle(frozenset())
        if not self._lists:
            return _Ending.NOTHING
        served = await self._lines.attention(visit.line, self._begun)
        return _Ending.BROKEN if served else _Ending.REFUSED

    async def _modern(self, visit: Visit) -> _Ending:
        listening = Listening(visit.line, self._lists, self._followed, self._around)
        try:
            await listening.run(self._heard, self._begun)
        except ListenRefused as error:
            if error.refusal.code == METHOD_NOT_FOUND:
                return _Ending.REFUSED
            if visit.line.again(error.refusal) is Again.ERA:
                self._lines.doubt(visit.line)
            raise
        return _Ending.NOTHING

    def _heard(self, message: Message) -> None:
        self._pace.succeeded()
        self._around.audience.heard(HOUSE, message)

    def _begun(self, missed: bool) -> None:
        """What may have changed unheard counts as changed."""
        if missed:
            for message in (*changed(self._lists), *updated(self._followed.honoured & self._followed.uris)):
                self._around.audience.heard(HOUSE, message)
