"""Lines to a server behind a URL.

Which question: which era does the server behind this URL speak, and which of its sessions serves this call? Touches
one channel. The rule: the era is asked once, whoever waits for it, and sessions belong to their scopes and to nobody
else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Protocol

from gateway.errors import GatewayError, Kind
from gateway.protocol.versions import Era
from gateway.upstream.asking import question
from gateway.upstream.attendance import Attendance, Streaming
from gateway.upstream.exchange import Channel
from gateway.upstream.flight import Flight
from gateway.upstream.legacy import Deleting, Guest, Handshake, HttpSession, LegacyLine, Means
from gateway.upstream.line import Begun, Denied, Greeting, Lease, Line, Visit
from gateway.upstream.modern import ModernLine, discover
from gateway.upstream.news import advertised, changed
from gateway.upstream.scopes import HOUSE, Pool, ScopeKeys
from gateway.upstream.surroundings import Surroundings
from gateway.upstream.values import Forward, ScopeKey
from gateway.upstream.wishes import Memories


class SessionChannel(Channel, Deleting, Streaming, Protocol):
    """A channel that can also end sessions, and be listened to."""


class HttpLines:
    """Opens lines over `channel`; `is_old` recognises a server that speaks only a transport that we do not.

    A house session lasts as long as somebody visits: probes leave nothing behind, and a watch shares its session with
    them.
    """

    def __init__(self, channel: SessionChannel, around: Surroundings, *, is_old: Callable[[], Awaitable[bool]]) -> None:
        self._channel = channel
        self._audience = around.audience
        self._slug = around.terms.slug
        self._is_old = is_old
        self._eras = around.eras
        self._asker = around.asker
        self._tasks = around.tasks
        self._idle = around.terms.lifecycle.session_idle
        self._keys = ScopeKeys(around.terms.spec.isolation)
        self._modern = ModernLine(channel)
        self._handshake = Handshake(Means(around.asker, around.tasks, pipe=False, on_dropped=around.events.dropped))
        self._memories = Memories()
        self._attendance = Attendance(channel, around, self._reopened)
        self._asking: Flight[Greeting | None] | None = None
        self._pool = Pool(self._open, around, brief=frozenset({HOUSE}))

    async def take(self, call: Forward) -> Lease:
        if await self._era() is Era.MODERN:
            return Lease(self._modern, _keep)
        return await self._session(self._keys.of(call), call)

    async def visit(self, *, anew: bool) -> Visit:
        if self._eras.belief is Era.LEGACY:
            greeting = await self._upgraded() if anew else None
        else:
            greeting = await self._ask()
        if greeting is not None:
            return Visit(self._modern, greeting, _keep)
        lease = await self._session(HOUSE, question("initialize"))
        return Visit(lease.line, _said(lease.line), lease.release)

    def doubt(self, line: Line) -> None:
        self._eras.forget(line.era)

    def borrow(self, key: ScopeKey) -> Lease | None:
        return self._pool.borrow(key)

    def attend(self, key: ScopeKey) -> None:
        lease = self._pool.borrow(key)
        line = None if lease is None else lease.line
        self._attendance.begin(key, line if isinstance(line, LegacyLine) else None)
        if lease is not None:
            lease.release()

    @property
    def attended(self) -> frozenset[ScopeKey]:
        return self._attendance.keys

    def unattend(self, key: ScopeKey) -> None:
        self._attendance.end(key)

    async def attention(self, line: Line, begun: Begun) -> bool:
        return isinstance(line, LegacyLine) and await self._attendance.listen(HOUSE, line, begun)

    async def end(self, key: ScopeKey) -> None:
        self._memories.forget(key)
        self._attendance.forget(key)
        await self._pool.end(key)

    async def sweep(self, now: float) -> None:
        await self._pool.sweep(now - self._idle, keep=self._memories.subscribed | self._attendance.keys)

    async def close(self) -> None:
        await self._pool.close()
        await self._channel.close()

    async def _era(self) -> Era:
        if (belief := self._eras.belief) is not None:
            return belief
        return Era.LEGACY if await self._ask() is None else Era.MODERN

    async def _ask(self) -> Greeting | None:
        """What a modern server says of itself; None for one that is not modern. One question for all who wait."""
        flight = self._asking
        if flight is None:
            flight = self._asking = Flight(self._tasks, self._asked, "discover")
        return await flight.join()

    async def _asked(self) -> Greeting | None:
        try:
            greeting = await discover(self._asker, self._modern)
            self._eras.prove(Era.MODERN)
            return greeting
        except Denied:
            if self._eras.pinned is Era.MODERN:
                raise
            self._eras.presume(Era.LEGACY)
            return None
        finally:
            self._asking = None

    async def _upgraded(self) -> Greeting | None:
        """Whether a legacy server has become modern; failing to answer this question proves nothing."""
        if self._eras.pinned is None:
            with suppress(GatewayError):
                return await self._ask()
        return None

    async def _session(self, key: ScopeKey, call: Forward) -> Lease:
        """The session of `key`. A server that was known as legacy and denies it is asked anew, once."""
        remembered = self._eras.doubtable
        try:
            return await self._pool.take(key, call)
        except Denied:
            self._eras.forget(Era.LEGACY)
            if remembered and await self._ask() is not None:
                return Lease(self._modern, _keep)
            self._eras.fail()
            if await self._is_old():
                raise old_transport(self._slug) from None
            raise
        except GatewayError:
            self._eras.fail()
            raise

    async def _open(self, key: ScopeKey, call: Forward) -> LegacyLine:
        line = await self._handshake.initialize(self._channel, Guest(call, self._memories.of(key)), self._life)
        self._eras.prove(Era.LEGACY)
        await self._attendance.opened(key, line)
        for message in changed(advertised(line.greeting.capabilities)) if self._memories.opened(key) else ():
            self._audience.heard(key, message)
        return line

    async def _reopened(self, key: ScopeKey, opening: Forward) -> None:
        (await self._session(key, opening)).release()

    def _life(self, headers: Mapping[str, str] | None) -> HttpSession:
        return HttpSession(self._channel, headers)


def old_transport(slug: str) -> GatewayError:
    """The error of a server that speaks HTTP+SSE alone."""
    words = f"{slug} speaks the HTTP+SSE transport of 2024-11-05, which this gateway does not; see `transport`"
    return GatewayError(Kind.SERVER_PROTOCOL, words, reason="transport", unsent=True)


def _keep() -> None:
    """Nothing is given back: a modern line belongs to everybody."""


def _said(line: Line) -> Greeting:
    if line.greeting is None:
        raise RuntimeError("a session was opened without a greeting")
    return line.greeting
