"""What servers offer to one legacy session alone.

Which question: whose lists have changed when a server says so in the session that it has for one client? Touches the
sessions and the servers behind them. The rule: such a list is asked for on the session's own line and shown to that
session, until everybody sees the same or the session ends; a session is told only when what it sees has changed.

MCP 2025-11-25 `server/tools` (List Changed Notification): servers may give tools to a session, and take them back.
"""

from __future__ import annotations

import asyncio
import logging

from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.fleet import catalog_of, quiet
from gateway.live import Live, Source
from gateway.protocol.versions import Era
from gateway.routing import Endpoint, Server, differences, shelf
from gateway.sessions import Session, Sessions
from gateway.views import Views
from storage.tasks import Tasks

log = logging.getLogger(__name__)

LISTED_WITHIN = 30.0
"""Seconds that a server gets to list all that it offers to a session."""


class Overlays:
    """Keeps each session's own catalogs in step with what its servers say there."""

    def __init__(self, source: Source, sessions: Sessions, views: Views, tasks: Tasks, clock: Clock) -> None:
        self._source = source
        self._sessions = sessions
        self._views = views
        self._tasks = tasks
        self._clock = clock
        self._wanted: dict[tuple[str, int], bool] = {}
        """Sessions and servers whose lists are being asked for, and whether that is wished for once more."""

    def heard(self, sid: str | None, server: Server) -> None:
        """A server has said in the session of `sid` that a list has changed. Never raises, never waits."""
        if sid is None or self._sessions.alive(sid) is None:
            return
        key = (sid, server.id)
        if key in self._wanted:
            self._wanted[key] = True
        else:
            self._wanted[key] = False
            self._tasks.spawn(self._keep(key), f"list {server.slug} for a session")

    def swapped(self, before: Live, after: Live) -> None:
        """Another live value is in force: what is everybody's now is no session's own, and what a server has offered
        that was replaced is nobody's.
        """
        for session in self._sessions.with_own():
            old = before.table.endpoints.get(session.facts.endpoint)
            new = after.table.endpoints.get(session.facts.endpoint)
            seen = None if old is None else self._over(session, old)
            for server_id in tuple(session.own):
                upstream = after.upstreams.get(server_id)
                replaced = upstream is None or upstream is not before.upstreams.get(server_id)
                if replaced or (new is not None and _offers(new, server_id) == _mark(session, server_id)):
                    del session.own[server_id]
            if seen is not None and new is not None:
                session.changed(differences(seen, self._over(session, new), Era.LEGACY))

    def _over(self, session: Session, endpoint: Endpoint) -> Endpoint:
        """`endpoint` as the session sees it."""
        return self._views.over(endpoint, session.own)

    async def _keep(self, key: tuple[str, int]) -> None:
        """List at once, and again after some quiet, for as long as that is wished."""
        fruitless = 0
        try:
            while True:
                self._wanted[key] = False
                fruitless = 0 if await self._list(*key) else fruitless + 1
                await asyncio.sleep(quiet(fruitless))
                if not self._wanted[key] or self._sessions.alive(key[0]) is None:
                    return
        finally:
            del self._wanted[key]

    async def _list(self, sid: str, server_id: int) -> bool:
        """Whether the session sees something else now."""
        upstream = self._source.live.upstreams.get(server_id)
        if upstream is None:
            return False
        try:
            async with asyncio.timeout(LISTED_WITHIN):
                found = await upstream.discover_in(sid)
        except (GatewayError, TimeoutError) as error:
            log.debug("a session's own lists could not be had: %s", error)
            return False
        live, session = self._source.live, self._sessions.alive(sid)
        if found is None or session is None or live.upstreams.get(server_id) is not upstream:
            return False
        endpoint = live.table.endpoints.get(session.facts.endpoint)
        everybodys = None if endpoint is None else endpoint.shelf_of(server_id)
        if endpoint is None or everybodys is None:
            return False
        before = self._over(session, endpoint)
        own = catalog_of(found, everybodys.catalog, self._clock.wall_us())
        if _offers(endpoint, server_id) == own.sha256:
            session.own.pop(server_id, None)
        elif _mark(session, server_id) != own.sha256:
            session.own[server_id] = self._sessions.like(server_id, own.sha256) or shelf(everybodys.server, own)
        told = differences(before, self._over(session, endpoint), Era.LEGACY)
        session.changed(told)
        return bool(told)


def _offers(endpoint: Endpoint, server_id: int) -> bytes | None:
    """What everybody is offered by a server."""
    found = endpoint.shelf_of(server_id)
    return None if found is None or found.catalog is None else found.catalog.sha256


def _mark(session: Session, server_id: int) -> bytes | None:
    found = session.own.get(server_id)
    return None if found is None or found.catalog is None else found.catalog.sha256
