"""Legacy client sessions: what `initialize` agreed, and the exchanges that live as long as the session.

Which question: whose session is this, what is running in it, and which of its streams does a GET read? Touches
memory, and the clock that it is given. The rule: the session id carries its own facts, sealed, so that `initialize`
stores nothing and a restart forgets nothing; ended, expired, foreign and forged ids are all answered alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from typing import Any

import msgspec

from gateway.archive import Archive, is_standing
from gateway.errors import GatewayError, Kind
from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import Message
from gateway.questions import Questions
from gateway.routing import Shelf
from gateway.sealing import NONCE_BYTES, BadSeal, Sealer
from gateway.sink import Answer, Tell, cannot_be_asked
from gateway.streams import Stream
from storage.records import Caller
from storage.tasks import Tasks

LIFETIME = 30 * 86_400.0
"""Seconds until a session id expires, however much it is used."""

MAX_ID_BYTES = 6_000

PRIMED_VERSIONS = frozenset({"2025-11-25"})
"""Revisions whose clients know empty events, and come back when they are sent away; ids are older than that."""


class SessionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a session id carries. `capabilities` and `client_info` are JSON texts as the client sent them; times are
    seconds since the Unix epoch.
    """

    sid: str
    user_id: int
    endpoint: str
    version: str
    capabilities: msgspec.Raw
    client_info: msgspec.Raw
    expires: float


Work = Callable[[Stream], Coroutine[Any, Any, None]]
Lost = Callable[["asyncio.Task[None]"], Answer]


class Session:
    """One live legacy session of one caller on one endpoint."""

    def __init__(
        self,
        facts: SessionFacts,
        tasks: Tasks,
        archive: Archive,
        on_dropped: Callable[[int], None],
        now: Callable[[], float],
        prefix: str,
    ) -> None:
        self.facts = facts
        self.questions = Questions(prefix)
        self.level: msgspec.Raw | None = None
        """The least severity of log messages that the client wants, as it wrote it; None while it has said nothing."""
        self.own: dict[int, Shelf] = {}
        """What servers offer to this session alone, by their ids."""
        self.last_used = now()
        self.ended = False
        self._tasks = tasks
        self._folder = archive.folder()
        self._on_dropped = on_dropped
        self._now = now
        self._exchanges: dict[bytes, asyncio.Task[None]] = {}
        self._standing = self._stream(standing=True)
        self._readers = 0
        self._missed: dict[str, None] = {}

    def __repr__(self) -> str:
        return f"<Session {self.facts.sid[:8]} {self.facts.version}: {len(self._exchanges)} exchanges>"

    @property
    def busy(self) -> bool:
        return bool(self._exchanges) or self.stands

    @property
    def stands(self) -> bool:
        """Somebody reads the stream of a GET."""
        return self._readers > 0

    def begin(self, request_id: bytes, work: Work, lost: Lost) -> Stream:
        """Run `work` as an exchange that outlives the request which began it, and give the stream it fills. `lost`
        makes the answer when `work` has given none, for one because it was stopped before its first step.

        Raises INVALID_REQUEST when an exchange with this id is still running (MCP 2025-11-25 `basic` §Requests).
        """
        if request_id in self._exchanges:
            raise GatewayError(Kind.INVALID_REQUEST, "a request with this id is still running in this session")
        stream = self._stream()
        task = self._tasks.spawn(work(stream), f"exchange {request_id[:32]!r}")
        self._exchanges[request_id] = task
        task.add_done_callback(lambda _: self._ended(request_id, stream, lost(task)))
        return stream

    def cancel(self, request_id: bytes) -> None:
        """Stop an exchange because its client asked; an unknown id is ignored, as the specification wants."""
        if (task := self._exchanges.get(request_id)) is not None:
            task.cancel(Kind.CANCELLED)

    def say(self, frame: bytes) -> None:
        """A message that belongs to no exchange: for whoever reads the stream of a GET, or does so soon."""
        self._standing.put(frame)

    def stand(self) -> Stream:
        """The stream of a GET, which goes on where the last one ended. The newest wins; the one before ends."""
        self._standing.dismiss()
        self._readers += 1
        missed, self._missed = tuple(self._missed), {}
        self.changed(missed)
        return self._standing

    def changed(self, methods: Iterable[str]) -> None:
        """Lists have changed: `methods` are the notifications that say so; they wait for the next GET, each once."""
        for method in methods:
            if self.stands:
                self._standing.put(jsonrpc.notification(method))
            else:
                self._missed[method] = None

    async def ask(self, method: str, params: msgspec.Raw | None, tell: Tell) -> Message:
        """Put a server's question that belongs to no exchange to the client, on the stream of its GET. Raises
        METHOD_NOT_FOUND while there is none.
        """
        if not self.stands:
            raise cannot_be_asked()
        return await self.questions.ask(self._standing, method, params, tell)

    def resume(self, last_event_id: str) -> tuple[Stream, int | None]:
        """The stream of a GET that comes back, and the number of the last event that its client has.

        A standing stream that is not kept any more begins anew: what it lost is lost, and to refuse would cost the
        client what is to come. Of an exchange there is nothing to come: raises INVALID_REQUEST, so that its client
        stops waiting. It is no 404, which would say that the session has ended.
        """
        found = self._folder.find(last_event_id)
        if found is None and not is_standing(last_event_id):
            words = "Last-Event-ID names no stream that is kept; send the request again if you still need its answer"
            raise GatewayError(Kind.INVALID_REQUEST, words, reason="event_unknown")
        if found is None or found[0].standing:
            return self.stand(), None if found is None else found[1]
        return found

    def leave(self, stream: Stream) -> None:
        """The reader of a GET has gone."""
        self.last_used = self._now()
        if stream is self._standing:
            self._readers -= 1

    def end(self, kind: Kind) -> None:
        """End every exchange and stream; `kind` is the reason that their records get."""
        self.ended = True
        self.forget()
        for task in tuple(self._exchanges.values()):
            task.cancel(kind)
        self.end_standing()

    def forget(self) -> None:
        """Keep nothing for a client that comes back."""
        self._folder.close()

    def end_standing(self) -> None:
        """End the stream of a GET properly; its client comes back to whoever serves next."""
        self._standing.dismiss()

    def _ended(self, request_id: bytes, stream: Stream, lost: Answer) -> None:
        del self._exchanges[request_id]
        self.last_used = self._now()
        stream.end(lost)

    def _stream(self, *, standing: bool = False) -> Stream:
        primed = self.facts.version in PRIMED_VERSIONS
        return Stream(self._folder, primed=primed, on_dropped=self._on_dropped, standing=standing)


class Sessions:
    """The legacy sessions of this worker.

    `entropy(n)` gives n random bytes; `now()` seconds since the Unix epoch. At most `most` sessions are kept in
    memory; beyond that the least recently used idle ones are forgotten, and come back from their ids when used.
    """

    def __init__(
        self,
        sealer: Sealer,
        tasks: Tasks,
        *,
        now: Callable[[], float],
        entropy: Callable[[int], bytes],
        on_opened: Callable[[], None],
        on_dropped: Callable[[int], None],
        most: int,
    ) -> None:
        self._sealer = sealer
        self._tasks = tasks
        self._now = now
        self._entropy = entropy
        self._on_opened = on_opened
        self._on_dropped = on_dropped
        self._most = most
        self._archive = Archive(now, entropy)
        self._live: dict[str, Session] = {}
        self._ended: dict[str, float] = {}
        self._forgotten: dict[str, float] = {}
        """Those that made room, and when they were last used: what servers hold for them ends in its own time."""

    def __len__(self) -> int:
        return len(self._live)

    def restore(self, ended: dict[str, float]) -> None:
        """Learn which ids were ended before this process began: sid → expiry."""
        self._ended.update(ended)

    def open(self, caller: Caller, endpoint: str, version: str, capabilities: bytes, client_info: bytes) -> str:
        """A new session's id. Raises INVALID_PARAMS when its facts are too long for a header."""
        facts = SessionFacts(
            sid=self._entropy(16).hex(),
            user_id=caller.user_id,
            endpoint=endpoint,
            version=version,
            capabilities=msgspec.Raw(capabilities),
            client_info=msgspec.Raw(client_info),
            expires=self._now() + LIFETIME,
        )
        token = self._sealer.seal(msgspec.json.encode(facts), self._entropy(NONCE_BYTES))
        if len(token) > MAX_ID_BYTES:
            raise GatewayError(Kind.INVALID_PARAMS, "capabilities and clientInfo are too long for a session")
        self._on_opened()
        return token

    def find(self, token: str, caller: Caller, endpoint: str) -> Session:
        """The caller's session of that id on that endpoint. Raises SESSION_UNKNOWN, whatever the cause."""
        facts = self._facts(token)
        if (
            facts is None
            or facts.user_id != caller.user_id
            or facts.endpoint != endpoint
            or facts.expires <= self._now()
            or facts.sid in self._ended
        ):
            raise GatewayError(Kind.SESSION_UNKNOWN, "Session not found: initialize again")
        session = self._live.pop(facts.sid, None) or self._session(facts)
        self._forgotten.pop(facts.sid, None)
        self._live[facts.sid] = session
        session.last_used = self._now()
        self._make_room(session)
        return session

    def alive(self, sid: str) -> Session | None:
        """The session of that sid, if this worker has it in memory."""
        return self._live.get(sid)

    @property
    def own_lists(self) -> int:
        """Catalogs of servers that one session alone is shown. Any thread may ask."""
        return sum(len(session.own) for session in tuple(self._live.values()))

    def with_own(self) -> list[Session]:
        """The sessions to which servers offer something of their own."""
        return [session for session in self._live.values() if session.own]

    def like(self, server_id: int, sha256: bytes) -> Shelf | None:
        """What a server offers to some session already, if it is the catalog of that hash."""
        found = (session.own[server_id] for session in self._live.values() if server_id in session.own)
        return next((s for s in found if s.catalog is not None and s.catalog.sha256 == sha256), None)

    def standing(self) -> list[SessionFacts]:
        """Of the sessions whose clients read the stream of a GET."""
        return [session.facts for session in self._live.values() if session.stands]

    def changed(self, changes: Mapping[str, Iterable[str]]) -> None:
        """Lists have changed: endpoint → methods of the notifications that legacy clients get. Who sees lists of his
        own hears of changes from `gateway.overlays`.
        """
        for session in self._live.values():
            if not session.own and (methods := changes.get(session.facts.endpoint)) is not None:
                session.changed(methods)

    def vanished(self, endpoints: Collection[str]) -> None:
        """These endpoints are served no more: the standing streams of their sessions end; calls under way go on."""
        for session in self._live.values():
            if session.facts.endpoint in endpoints:
                session.end_standing()

    def end(self, session: Session) -> None:
        """End a session for good."""
        self._ended[session.facts.sid] = session.facts.expires
        self._live.pop(session.facts.sid, None)
        session.end(Kind.ABANDONED)

    def sweep(self, idle: float) -> list[str]:
        """Forget sessions that nobody has used for `idle` seconds, endings that have expired, and streams that have
        had their time; the sids of such sessions, also of those that had made room.
        """
        now = self._now()
        self._ended = {sid: expires for sid, expires in self._ended.items() if expires > now}
        idle_ones = [sid for sid, s in self._live.items() if not s.busy and now - s.last_used > idle]
        for sid in idle_ones:
            self._live.pop(sid).forget()
        self._archive.sweep()
        made_room = [sid for sid, last_used in self._forgotten.items() if now - last_used > idle]
        for sid in made_room:
            del self._forgotten[sid]
        return idle_ones + made_room

    def end_streams(self) -> None:
        """End every standing stream, at shutdown."""
        for session in self._live.values():
            session.end_standing()

    def _facts(self, token: str) -> SessionFacts | None:
        if len(token) > MAX_ID_BYTES:
            return None
        try:
            return msgspec.json.decode(self._sealer.unseal(token), type=SessionFacts)
        except (BadSeal, UnicodeEncodeError, msgspec.DecodeError):
            return None

    def _session(self, facts: SessionFacts) -> Session:
        return Session(facts, self._tasks, self._archive, self._on_dropped, self._now, self._entropy(4).hex())

    def _make_room(self, kept: Session) -> None:
        if len(self._live) <= self._most:
            return
        for sid, session in tuple(self._live.items()):
            if session is not kept and not session.busy and len(self._live) > self._most:
                self._live.pop(sid).forget()
                self._forgotten[sid] = session.last_used
