"""What legacy clients say and do beside their requests, brought to the servers that they have sessions with.

Which question: which servers does this notification concern, or a client that begins to listen? Touches the sessions
and the servers. The rule: nothing waits for a server, and one session keeps only so much on its way.

MCP 2025-11-25 `basic/transports` (Listening for Messages from the Server), `client/roots` (Root List Changes).
"""

from __future__ import annotations

import asyncio
from collections import Counter

from gateway import task_places
from gateway.live import Live, Source
from gateway.protocol.jsonrpc import Message
from gateway.router import Router
from gateway.routing import Endpoint
from gateway.sessions import SessionFacts, Sessions
from gateway.task_ids import TaskIds
from gateway.upstream.values import Scope
from storage.tasks import Tasks

MOST_TOLD = 16
"""Notifications of one session that are on their way to servers at most; more are dropped."""


class Asides:
    """Brings them there."""

    def __init__(self, source: Source, sessions: Sessions, router: Router, tasks: Tasks, task_ids: TaskIds) -> None:
        self._source = source
        self._sessions = sessions
        self._router = router
        self._tasks = tasks
        self._task_ids = task_ids
        self._telling: Counter[str] = Counter()

    def tell(self, endpoint: Endpoint, scope: Scope, message: Message) -> None:
        """Pass a client's notification on to the servers that it has sessions with, in the background."""
        if self._telling[sid := scope.session or ""] < MOST_TOLD:
            self._telling[sid] += 1
            told = self._tasks.spawn(self._tell(endpoint, scope, message), f"tell of {message.method[:64]}")
            told.add_done_callback(lambda _: self._told(sid))

    @property
    def telling(self) -> int:
        """Notifications of clients that are on their way."""
        return self._telling.total()

    def attend(self, facts: SessionFacts, there: bool) -> None:
        """Whether the client of a session reads what its servers say outside calls. An endpoint that was there when
        its client came may be another, or gone, when it leaves; its servers stay.
        """
        live = self._source.live
        endpoint = live.table.endpoints.get(facts.endpoint)
        if there and endpoint is not None:
            for upstream in self._router.upstreams(endpoint):
                upstream.attend(facts.sid)
        elif not there:
            for upstream in live.upstreams.values():
                upstream.unattend(facts.sid)

    def swapped(self, before: Live, after: Live) -> None:
        """Another live value is in force: servers that have come hear who reads what they say."""
        if after.upstreams.keys() - before.upstreams.keys():
            for facts in self._sessions.standing():
                self.attend(facts, there=True)

    async def _tell(self, endpoint: Endpoint, scope: Scope, message: Message) -> None:
        live, params = self._source.live, message.params
        holder = endpoint.holder(scope.user_id, known=live.keys.local is None)
        told = []
        for server in endpoint.servers:
            if (upstream := live.upstreams.get(server.id)) is not None:
                names = self._task_ids.names(holder, server.id)
                own = None if params is None else task_places.back(params, names)
                told.append(upstream.notify(scope, message.method, own))
        await asyncio.gather(*told)

    def _told(self, sid: str) -> None:
        self._telling[sid] -= 1
        if not self._telling[sid]:
            del self._telling[sid]
