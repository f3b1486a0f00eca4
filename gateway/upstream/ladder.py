"""The probe ladder: how we find out whether a server does its work.

Which question: how far does one climb get, and why not further? Touches the server through its lines, as calls do.
The rule: a climb never raises for what the server did, ends in time, and leaves no session behind.

Rungs: connect and handshake (a visit), ping (legacy; a modern server's handshake is its ping), and the list of tools
when it is due. MCP 2025-11-25 `basic/utilities/ping`, MCP 2026-07-28 `server/discover`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from gateway.catalog import digest
from gateway.errors import GatewayError
from gateway.protocol.listed import Listed
from gateway.protocol.versions import Era
from gateway.upstream.asking import Asker
from gateway.upstream.catalogs import Listing, list_all, listable
from gateway.upstream.line import Greeting, Line, Lines, SessionLost
from health.probe import Observation, Step

LIST_EVERY = 300.0
"""Seconds from one good listing of the tools to the next."""

REASONS: Mapping[str, str] = {
    "status_401": "unauthorized",
    "status_403": "unauthorized",
    **dict.fromkeys(("connect", "first_byte", "idle", "stalled"), "timeout"),
    **dict.fromkeys(("disconnected", "truncated", "stream_ended"), "closed"),
    **dict.fromkeys(("http", "malformed", "media_type", "no_answer", "redirects"), "protocol"),
}
"""The transports' words in those of health; a word that is missing here is the same in both."""


class Ladder:
    """Climbs to one server; `within` is the time of one climb in seconds, `clock` gives monotonic seconds."""

    def __init__(self, lines: Lines, asker: Asker, within: float, clock: Callable[[], float]) -> None:
        self._lines = lines
        self._asker = asker
        self._within = within
        self._clock = clock
        self._listed: float | None = None

    async def climb(self) -> Observation:
        """One observation."""
        climb = _Climb(self._clock)
        try:
            async with asyncio.timeout(self._within):
                await self._climb_again(climb)
        except TimeoutError:
            return climb.failed("timeout", f"no answer within {self._within:g} s (health.timeout)")
        except GatewayError as error:
            if error.unsent and climb.step is Step.HANDSHAKE:
                climb.step = Step.CONNECT
            return climb.failed(REASONS.get(error.reason, error.reason), error.message)
        return climb.passed()

    async def _climb_again(self, climb: _Climb) -> None:
        """A server that has merely forgotten our session is asked in another one."""
        try:
            await self._climb(climb)
        except SessionLost:
            climb.begin(Step.HANDSHAKE)
            await self._climb(climb)

    async def _climb(self, climb: _Climb) -> None:
        due = self._listed is None or self._clock() - self._listed >= LIST_EVERY
        visit = await self._lines.visit(anew=due and self._listed is not None)
        try:
            climb.reached(visit.greeting)
            if visit.line.era is Era.LEGACY:
                climb.begin(Step.PING)
                await self._ping(visit.line)
                climb.done()
            if due and listable(visit.greeting):
                climb.begin(Step.LIST)
                climb.listed(await list_all(self._asker, visit.line, visit.greeting))
                self._listed = self._clock()
        finally:
            visit.release()

    async def _ping(self, line: Line) -> None:
        """Any answer is a sign of life, "no such method" included."""
        (await self._asker.ask(line, "ping")).outcome()


class _Climb:
    """How far one climb has come."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.step = Step.HANDSHAKE
        self._clock = clock
        self._begun = clock()
        self._latency = 0.0
        self._greeting: Greeting | None = None
        self._listings: Mapping[Listed, Listing] | None = None

    def begin(self, step: Step) -> None:
        self.step, self._begun = step, self._clock()

    def done(self) -> None:
        """The step was answered."""
        self._latency = self._clock() - self._begun

    def reached(self, greeting: Greeting) -> None:
        self._greeting = greeting
        self.done()

    def listed(self, listings: Mapping[Listed, Listing]) -> None:
        self._listings = listings
        self.done()

    def passed(self) -> Observation:
        return self._observation(True, None, None)

    def failed(self, reason: str, detail: str) -> Observation:
        return self._observation(False, reason, detail)

    def _observation(self, ok: bool, reason: str | None, detail: str | None) -> Observation:
        found = self._listings
        offers = None if found is None else {listed: of.entries for listed, of in found.items() if not of.missing}
        return Observation(
            ok=ok,
            step=self.step,
            latency_us=round(self._latency * 1_000_000),
            reason=reason,
            detail=detail,
            era=None if self._greeting is None else self._greeting.era.value,
            protocol_version=None if self._greeting is None else self._greeting.version,
            tools=None if offers is None else len(offers.get(Listed.TOOLS, ())),
            catalog_sha256=None if offers is None else digest(offers),
        )
