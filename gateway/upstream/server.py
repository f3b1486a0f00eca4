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
from gateway.upstream.asking import Asker
from gateway.upstream.catalogs import list_all
from gateway.upstream.crossing import Crossing, Road
from gateway.upstream.eras import Eras
from gateway.upstream.gate import Gate
from gateway.upstream.ladder import Ladder
from gateway.upstream.line import Line
from gateway.upstream.scopes import session_key
from gateway.upstream.server_requests import PingOnly
from gateway.upstream.surroundings import Surroundings
from gateway.upstream.transports import lines_of
from gateway.upstream.values import (
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
    learnt; `relist` is asked when the server says that a call's `Mcp-Param-*` headers are not as its schema wants.
    Nothing is connected or started before the first call, discovery or probe.
    """

    def __init__(
        self,
        terms: Terms,
        http: ClientSession,
        *,
        known_era: Era | None = None,
        events: UpstreamEvents = _UNHEARD,
        requests: ServerRequests = _PING_ONLY,
        relist: Relist = _as_it_was,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        spec, ids = terms.spec, count(1)
        self.slug = terms.slug
        self._tasks = Tasks(f"server {terms.slug}")
        self._eras = Eras(None if spec.era == "auto" else Era(spec.era), known_era)
        self._asker = Asker(ids, requests)
        self._gate = Gate(terms.slug, spec.concurrency, spec.queue)
        around = Surroundings(terms, self._eras, self._asker, self._tasks, events, clock)
        self._lines = lines_of(around, http)
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
        visit = await self._lines.visit(anew=False)
        try:
            greeting = visit.greeting
            listings = await list_all(self._asker, visit.line, greeting)
        finally:
            visit.release()
        return Discovery(
            era=greeting.era,
            protocol_version=greeting.version,
            capabilities=greeting.capabilities,
            server_info=greeting.server_info,
            instructions=greeting.instructions,
            offers={listed: listing.entries for listed, listing in listings.items()},
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

    async def sweep(self, now: float) -> None:
        """End sessions and children that nobody used for their idle time; `now` is `time.monotonic()`."""
        await self._lines.sweep(now)

    async def close(self, grace: float = 0.0) -> None:
        """Refuse new calls, give those in flight `grace` seconds, then end every session, child and connection."""
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
