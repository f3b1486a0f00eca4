"""What servers say outside calls, brought to the clients that may hear it.

Which question: whose is a message that belongs to no call? Touches the sessions and the subscriptions. The rule: what
a server says in a session that serves one client is for that client alone; what it says to the gateway itself is for
those who follow what it speaks of; nobody hears anything twice.

MCP 2025-11-25 `basic/transports` (Listening for Messages from the Server), MCP 2026-07-28
`basic/patterns/subscriptions`.
"""

from __future__ import annotations

from typing import Protocol

from gateway.errors import JSONRPC_CODE
from gateway.frames import loose_frame
from gateway.glossary import Glossary
from gateway.interaction import Interaction
from gateway.live import Live
from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import Message
from gateway.routing import Server
from gateway.sessions import Session, Sessions
from gateway.sink import cannot_be_asked
from gateway.subscriptions import UPDATED, Subscriptions
from gateway.task_ids import TaskIds
from gateway.upstream.scopes import HOUSE, session_of
from gateway.upstream.values import ScopeKey


class Source(Protocol):
    @property
    def live(self) -> Live: ...


class Voices:
    """The audiences of all servers."""

    def __init__(self, source: Source, sessions: Sessions, subscriptions: Subscriptions, task_ids: TaskIds) -> None:
        self._source = source
        self._sessions = sessions
        self._subscriptions = subscriptions
        self._task_ids = task_ids

    def of(self, server: Server) -> Voice:
        """The audience of one server."""
        return Voice(server, self._source, self._sessions, self._subscriptions, self._task_ids)


class Voice:
    """An `Audience`: hears what one server says outside calls."""

    def __init__(
        self, server: Server, source: Source, sessions: Sessions, subscriptions: Subscriptions, task_ids: TaskIds
    ) -> None:
        self._server = server
        self._source = source
        self._sessions = sessions
        self._subscriptions = subscriptions
        self._task_ids = task_ids

    def heard(self, scope: ScopeKey, message: Message) -> None:
        if scope == HOUSE:
            if message.method == UPDATED and message.params is not None:
                self._subscriptions.updated(self._server.id, jsonrpc.members(message.params))
        elif (session := self._session(scope)) is not None:
            frame = loose_frame(message, session.level, self._glossary(session))
            if frame is not None:
                session.say(frame)

    async def asked(self, scope: ScopeKey, request: Message) -> bytes:
        session = self._session(scope)
        if session is None:
            refused = cannot_be_asked()
            return jsonrpc.error(request.id, JSONRPC_CODE[refused.kind], refused.message)
        return await Interaction(session, self._glossary(session), _unheard).answer(request, None)

    def _session(self, scope: ScopeKey) -> Session | None:
        """The session that hears this; none any more when a reload has taken its endpoint, or the server from that."""
        sid = session_of(scope)
        session = None if sid is None else self._sessions.alive(sid)
        if session is None or (endpoint := self._source.live.table.endpoints.get(session.facts.endpoint)) is None:
            return None
        return session if self._server.slug in endpoint.by_slug else None

    def _glossary(self, session: Session) -> Glossary:
        live, facts = self._source.live, session.facts
        endpoint = live.table.endpoint(facts.endpoint)
        holder = endpoint.holder(facts.user_id, known=live.keys.local is None)
        return Glossary(endpoint.naming_of(self._server), self._task_ids.names(holder, self._server.id))


async def _unheard(params: object) -> None:
    """Progress of a question that belongs to no call goes nowhere."""
