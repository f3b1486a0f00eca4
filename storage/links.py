"""The chat session and message of a call.

Which question: to which rows of `chat_sessions` and `chat_messages` does a call belong? Touches those two tables, in
transactions of its own, before the call's: rows that others reference are never locked while calls are written. The
rule: a client's claim counts only if `storage.claims` finds that it holds; whatever else happens, there is the
caller's automatic session.

Every writer computes the same ids for automatic sessions and for anchors, so the rows need no coordination.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, TypeVar
from uuid import UUID, uuid5

from sqlalchemy import Table, select

from storage.claims import Found, Wanted, judge
from storage.database import Database
from storage.records import Link, Started
from storage.rows import Linked, instant, storable
from storage.schema import chat_messages, chat_sessions
from storage.upserts import once

NAMESPACE = UUID("2f0f1f4e-6a0a-5d0c-9c1e-6f2b7c8d9e10")
"""Of the UUIDv5s (RFC 9562 §5.5) of automatic sessions and anchors; another one would orphan them all."""

Key = TypeVar("Key", bound=Hashable)

KIND = "mcp"
CACHED = 10_000


@dataclass(frozen=True, slots=True)
class Automatic:
    """The session of a caller's calls that name none: one per key, client, and legacy session or UTC day."""

    user_id: int
    key: str | None
    client: str | None
    distinction: str

    @property
    def public_id(self) -> str:
        return _public_id("session", self.user_id, self.key, self.client, self.distinction)

    def row(self) -> dict[str, Any]:
        """`client_key` says whose it is; a legacy session's id is a secret and stays out of it."""
        client = storable((self.client or "an MCP client")[:100])
        return {
            "public_id": self.public_id,
            "user_id": self.user_id,
            "title": f"Calls of {client}",
            "kind": KIND,
            "client_key": f"{self.key or ''}/{client}"[:255],
        }


def automatic(call: Started) -> Automatic:
    """The session that `call` belongs to when its client names none."""
    distinction = call.auto_session or instant(call.started_us).date().isoformat()
    return Automatic(call.caller.user_id, call.caller.key, call.client_name, distinction)


class Links:
    """Finds and creates what calls belong to, and remembers up to `cached` finds."""

    def __init__(self, db: Database, cached: int = CACHED) -> None:
        self._db = db
        self._cached = cached
        self._known: OrderedDict[Hashable, Linked] = OrderedDict()

    async def resolve(self, calls: Sequence[Started]) -> list[Linked]:
        """Where each of `calls` belongs. Raises `DatabaseUnavailable`."""
        claims = [_wanted(call) for call in calls]
        judged = await self._claimed({claim for claim in claims if claim is not None})
        verdicts = [None if claim is None else judged[claim] for claim in claims]
        homeless = {automatic(c) for c, verdict in zip(calls, verdicts, strict=True) if not isinstance(verdict, Linked)}
        own = await self._automatic(homeless)
        return [
            verdict if isinstance(verdict, Linked) else _told(own[automatic(call)], verdict)
            for call, verdict in zip(calls, verdicts, strict=True)
        ]

    async def fallback(self, call: Started) -> Linked:
        """The automatic session of `call`, looked up afresh: what was remembered may have been removed."""
        self._known.pop(automatic(call), None)
        return (await self._automatic({automatic(call)}))[automatic(call)]

    async def _claimed(self, wanted: Collection[Wanted]) -> dict[Wanted, Linked | Link]:
        known = self._recall(wanted)
        verdicts: Mapping[Wanted, Found | Link] = {}
        if new := [claim for claim in wanted if claim not in known]:
            async with self._db.reading() as connection:
                verdicts = await judge(connection, new)
        held = {claim: verdict for claim, verdict in verdicts.items() if isinstance(verdict, Found)}
        broken = {claim: verdict for claim, verdict in verdicts.items() if isinstance(verdict, Link)}
        return {**known, **broken, **await self._with_messages(held)}

    async def _with_messages(self, held: Mapping[Wanted, Found]) -> dict[Wanted, Linked]:
        """Claims that hold, with an anchor where a session was named without a message."""
        bare = {found.session_id: claim.user_id for claim, found in held.items() if found.message_id is None}
        anchors = await self._anchors(bare)
        linked = {
            claim: Linked(found.session_id, found.message_id or anchors[found.session_id], Link.CLIENT)
            for claim, found in held.items()
        }
        self._remember(linked)
        return linked

    async def _automatic(self, wanted: Collection[Automatic]) -> dict[Automatic, Linked]:
        known = self._recall(wanted)
        new = [session for session in wanted if session not in known]
        if not new:
            return known
        ids = await self._ensured(chat_sessions, [session.row() for session in new])
        owners = {ids[session.public_id]: session.user_id for session in new}
        anchors = await self._anchors(owners)
        made = {session: Linked(id_, anchors[id_], Link.AUTO) for session in new for id_ in [ids[session.public_id]]}
        self._remember(made)
        return {**known, **made}

    async def _anchors(self, owners: Mapping[int, int]) -> dict[int, int]:
        """The anchor message of each session in `owners` (session id → user id)."""
        rows = {session_id: _anchor(session_id, user_id) for session_id, user_id in owners.items()}
        ids = await self._ensured(chat_messages, list(rows.values()))
        return {session_id: ids[row["public_id"]] for session_id, row in rows.items()}

    async def _ensured(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """The id of each row by its `public_id`; rows that are missing are inserted, in one order by every writer.

        Three transactions, since a snapshot taken before another writer's commit would not show its rows.
        """
        public_ids = [row["public_id"] for row in rows]
        found = await self._ids(table, public_ids)
        if missing := [row for row in rows if row["public_id"] not in found]:
            async with self._db.writing() as connection:
                await connection.execute(once(self._db.dialect, table), sorted(missing, key=itemgetter("public_id")))
            found = await self._ids(table, public_ids)
        return found

    async def _ids(self, table: Table, public_ids: Sequence[str]) -> dict[str, int]:
        if not public_ids:
            return {}
        async with self._db.reading() as connection:
            found = await connection.execute(
                select(table.c.public_id, table.c.id).where(table.c.public_id.in_(public_ids))
            )
            return {row.public_id: row.id for row in found}

    def _recall(self, keys: Collection[Key]) -> dict[Key, Linked]:
        known = {key: self._known[key] for key in keys if key in self._known}
        for key in known:
            self._known.move_to_end(key)
        return known

    def _remember(self, found: Mapping[Key, Linked]) -> None:
        for key, linked in found.items():
            self._known[key] = linked
        while len(self._known) > self._cached:
            self._known.popitem(last=False)


def _wanted(call: Started) -> Wanted | None:
    claim = call.claim
    if claim is None or (claim.session is None and claim.message is None):
        return None
    return Wanted(call.caller.user_id, claim.session, claim.message)


def _told(own: Linked, verdict: Link | None) -> Linked:
    """The automatic link of a call, with what was wrong with its claim if it had one."""
    return own if verdict is None else replace(own, link=verdict)


def _anchor(session_id: int, user_id: int) -> dict[str, Any]:
    return {
        "public_id": _public_id("anchor", session_id),
        "session_id": session_id,
        "user_id": user_id,
        "message_type": "system",
        "content": "",
        "is_active": False,
    }


def _public_id(*parts: object) -> str:
    return uuid5(NAMESPACE, json.dumps(parts)).hex
