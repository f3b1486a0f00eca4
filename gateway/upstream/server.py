"""One MCP server as the gateway knows it: its era, its sessions and children, its limits.

Which question: how does a request get to this server, what does it offer, and is it well? Builds what stands around
one server and opens the doors to it. The rule: whoever leaves early stops the work at the server, once; nobody's
session is ever used for somebody else.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from itertools import count

from aiohttp import ClientSession
from msgspec import Raw

from gateway.errors import GatewayError
from gateway.protocol.mirrors import Mirror
from gateway.protocol.versions import Era
from gateway.upstream.asking import HOUSE, Asker, Behalf
from gateway.upstream.catalogs import list_all
from gateway.upstream.crossing import Crossing, Road
from gateway.upstream.eras import Eras
from gateway.upstream.gate import Gate
from gateway.upstream.ladder import Ladder
from gateway.upstream.legacy import LegacyLine
from gateway.upstream.line import Greeting, Line, SessionLost
from gateway.upstream.modern import discover
from gateway.upstream.scopes import session_key
from gateway.upstream.server_requests import PingOnly
from gateway.upstream.surroundings import Surroundings
from gateway.upstream.transports import lines_of
from gateway.upstream.values import (
    NOBODY,
    Audience,
    Discovery,
    Forward,
    Relay,
    Relist,
    Scope,
    ServerRequests,
    Terms,
    Unheard,
    UpstreamEvents,
)
from gateway.upstream.watch import Watch
from health.probe import Observation
from storage.tasks import Tasks

log = logging.getLogger(__name__)
GOODBYE = 10.0
"""Seconds that sessions and children together get to end when the server is closed."""

_UNHEARD = Unheard()
_PING_ONLY = PingOnly()


async def _as_it_was(call: Forward) -> tuple[Mirror, ...]:
    """Nobody lists the server again."""
    return call.mirrors


class Upstream:
    """One server.

    `http` is the client session that all servers of this worker share; `known_era` is what an earlier run had
    learnt; `audience` hears what the server says outside any call; `relist` is asked when the server says that a call's
    `Mcp-Param-*` headers are not as its schema wants. Nothing is connected or started before the first call, discovery
    or probe.
    """

    def __init__(
        self,
        terms: Terms,
        http: ClientSession,
        *,
        known_era: Era | None = None,
        events: UpstreamEvents = _UNHEARD,
        requests: ServerRequests = _PING_ONLY,
        audience: Audience = NOBODY,
        relist: Relist = _as_it_was,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        spec, ids = terms.spec, count(1)
        self.slug = terms.slug
        self._tasks = Tasks(f"server {terms.slug}")
        self._eras = Eras(None if spec.era == "auto" else Era(spec.era), known_era)
        self._asker = Asker(ids, requests)
        self._gate = Gate(terms.slug, spec.concurrency, spec.queue)
        around = Surroundings(terms, self._eras, self._asker, self._tasks, events, clock, audience)
        self._lines = lines_of(around, http)
        self._watch = Watch(self._lines, around)
        self._ladder = Ladder(self._lines, self._asker, terms.health.timeout, clock)
        self._road = Road(self._lines, self._gate, ids, self._tasks, events, terms.timeouts, relist)

    def __repr__(self) -> str:
        return f"<Upstream {self.slug} {self._eras!r} {self._gate!r}>"

    @property
    def era(self) -> Era | None:
        """What the server was last seen to speak, or what the admin pinned; None while neither is known."""
        return self._eras.proven

    @property
    def in_flight(self) -> int:
        """Calls that are at the server now."""
        return self._gate.inside

    def forward(self, call: Forward) -> AbstractAsyncContextManager[Relay]:
        """Send `call` and relay what comes back.

        Leaving before the response cancels at the server, once, and does not wait for that. Entering may wait for a
        free place (`spec.concurrency`, `spec.queue`; BUSY when there is none); iterating raises as `Relay` says.
        """
        return Crossing(call, self._road)

    async def discover(self) -> Discovery:
        """Ask the server for its capabilities and all of its tools. Raises `GatewayError`."""
        try:
            return await self._discovered()
        except SessionLost:
            return await self._discovered()

    async def _discovered(self) -> Discovery:
        visit = await self._lines.visit(anew=False)
        try:
            return await self._listed(visit.line, visit.greeting, HOUSE)
        finally:
            visit.release()

    async def discover_in(self, sid: str) -> Discovery | None:
        """All that the server offers in the session that serves the client session `sid` alone; None where there is
        none. Raises `GatewayError`.
        """
        if (lease := self._lines.borrow(session_key(sid))) is None:
            return None
        line = lease.line
        try:
            headers = line.loose if isinstance(line, LegacyLine) else {}
            return None if line.greeting is None else await self._listed(line, line.greeting, Behalf(headers=headers))
        finally:
            lease.release()

    async def discover_for(self, call: Forward) -> Discovery:
        """All that the server offers to whoever makes `call`. Raises `GatewayError`."""
        behalf = Behalf(call.client, call.headers)
        lease = await self._lines.take(call)
        try:
            greeting = lease.line.greeting or await discover(self._asker, lease.line, behalf)
            return await self._listed(lease.line, greeting, behalf)
        finally:
            lease.release()

    async def _listed(self, line: Line, greeting: Greeting, behalf: Behalf) -> Discovery:
        listings = await list_all(self._asker, line, greeting, behalf)
        return Discovery(
            era=greeting.era,
            protocol_version=greeting.version,
            capabilities=greeting.capabilities,
            server_info=greeting.server_info,
            instructions=greeting.instructions,
            offers={listed: listing.entries for listed, listing in listings.items() if not listing.missing},
            missing=frozenset(listed for listed, listing in listings.items() if listing.missing),
            flaws=tuple(flaw for listing in listings.values() for flaw in listing.flaws),
        )

    async def probe(self) -> Observation:
        """Climb the ladder once (connect, handshake, ping, list when due) within `health.timeout`. Never raises for
        what the server did.
        """
        return await self._ladder.climb()

    async def end_session(self, sid: str) -> None:
        """The client's legacy session `sid` has ended: end the sessions and children that served it alone."""
        await self._lines.end(session_key(sid))

    async def notify(self, scope: Scope, method: str, params: Raw | None) -> None:
        """Pass on a notification of a client with a session; nothing where the server knows nothing of that session."""
        await self._tell(scope, lambda line: line.tell(method, params))

    async def set_level(self, scope: Scope, level: Raw) -> None:
        """A client's session has set `level` (a JSON string): tell the server now if it knows of that session;
        otherwise it hears of it with the client's next request.
        """
        await self._tell(scope, lambda line: line.attune(level, {}))

    def attend(self, sid: str) -> None:
        """The client's legacy session `sid` has a stream open with us: keep one open to the server, for as long as
        the server has a session for it.
        """
        self._lines.attend(session_key(sid))

    def unattend(self, sid: str) -> None:
        """The client's stream has ended."""
        self._lines.unattend(session_key(sid))

    def watch(self, discovery: Discovery) -> None:
        """Hear of changes from now on, if the server, which has just said this, tells of any."""
        known = (discovery.era, discovery.protocol_version, discovery.capabilities, discovery.server_info)
        self._watch.on(discovery.capabilities, known)

    def unwatch(self) -> None:
        """Leave the server alone, until `watch`."""
        self._watch.off()

    async def follow(self, uris: frozenset[str]) -> frozenset[str]:
        """Hear of changes of these resources, and of no others any more; the server's own URIs. Those that the server
        has agreed to tell of, which legacy servers do to nobody but a session. Waits some seconds at most.
        """
        return await self._watch.follow(uris)

    def succeed(self, before: Upstream) -> None:
        """Take the place of `before`: attend and follow what that did."""
        for key in before._lines.attended:
            self._lines.attend(key)
        self._watch.succeed(before._watch)

    async def sweep(self, now: float) -> None:
        """End sessions and children that nobody used for their idle time; `now` is `time.monotonic()`."""
        await self._lines.sweep(now)

    async def close(self, grace: float = 0.0) -> None:
        """Refuse new calls, give those in flight `grace` seconds, then end every session, child and connection."""
        self._watch.off()
        await self._gate.shut(grace)
        try:
            async with asyncio.timeout(GOODBYE):
                await self._lines.close()
        except TimeoutError:
            log.warning("%s did not let its sessions end within %g s", self.slug, GOODBYE)
        await self._tasks.close()

    async def _tell(self, scope: Scope, tell: Callable[[Line], Awaitable[None]]) -> None:
        """Use the line that serves this client session alone, if it is open."""
        lease = None if scope.session is None else self._lines.borrow(session_key(scope.session))
        if lease is None:
            return
        try:
            with suppress(GatewayError):
                await tell(lease.line)
        finally:
            lease.release()
