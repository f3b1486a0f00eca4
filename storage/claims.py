"""What clients say their calls belong to, held against the database.

Which question: do the chat session and message that a client names exist, and are they the caller's? Reads
`chat_sessions` and `chat_messages`. The rule: a row that was deleted, softly or not, does not exist; and whatever is
wrong with a claim, nothing is done for it: it is only named in the call's row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Row, Select, Table, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.records import Link
from storage.schema import chat_messages, chat_sessions

Reference = int | str
"""An integer id, or a public UUID as 32 hexadecimal digits."""

MAX_ID = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """A claim and whose it is; at least one of the two is named."""

    user_id: int
    session: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """A claim that holds; the message is None when only the session was named."""

    session_id: int
    message_id: int | None


@dataclass(frozen=True, slots=True)
class _Owned:
    """What a row says of itself: its own id, its session's, its owner, and whether it was not deleted."""

    id: int
    session_id: int
    user_id: int
    is_active: bool


async def judge(connection: AsyncConnection, wanted: Collection[Wanted]) -> dict[Wanted, Found | Link]:
    """What holds of `wanted`; else `Link.UNKNOWN` or `Link.FOREIGN`."""
    sessions = await _rows(connection, _sessions(), chat_sessions, [claim.session for claim in wanted])
    messages = await _rows(connection, _messages(), chat_messages, [claim.message for claim in wanted])
    return {claim: _verdict(claim, sessions, messages) for claim in wanted}


def _verdict(
    claim: Wanted, sessions: Mapping[Reference | None, _Owned], messages: Mapping[Reference | None, _Owned]
) -> Found | Link:
    session, message = sessions.get(_reference(claim.session)), messages.get(_reference(claim.message))
    named = [row for text, row in ((claim.session, session), (claim.message, message)) if text is not None]
    if any(row is not None and row.user_id != claim.user_id for row in named):
        return Link.FOREIGN
    if any(row is None or not row.is_active for row in named) or len({row.session_id for row in named if row}) != 1:
        return Link.UNKNOWN
    whole = message or session
    return Link.UNKNOWN if whole is None else Found(whole.session_id, message.id if message else None)


def _sessions() -> Select[int, int, int, bool, str | None]:
    table = chat_sessions.c
    return select(table.id, table.id.label("session_id"), table.user_id, table.is_active, table.public_id)


def _messages() -> Select[int, int, int, bool, str | None]:
    table, session = chat_messages.c, chat_sessions.c
    return select(
        table.id, table.session_id, session.user_id, and_(table.is_active, session.is_active), table.public_id
    ).join_from(chat_messages, chat_sessions)


async def _rows(
    connection: AsyncConnection, query: Select[int, int, int, bool, str | None], table: Table, texts: list[str | None]
) -> dict[Reference | None, _Owned]:
    references = {reference for text in texts if (reference := _reference(text)) is not None}
    if not references:
        return {}
    ids = [reference for reference in references if isinstance(reference, int)]
    public_ids = [reference for reference in references if isinstance(reference, str)]
    found = await connection.execute(query.where(or_(table.c.id.in_(ids), table.c.public_id.in_(public_ids))))
    return {reference: _owned(row) for row in found for reference in (row[0], row[4]) if reference is not None}


def _owned(row: Row[int, int, int, bool, str | None]) -> _Owned:
    return _Owned(row[0], row[1], row[2], bool(row[3]))


def _reference(text: str | None) -> Reference | None:
    """What a claim names; None for text that can name nothing."""
    if text is None:
        return None
    if text.isascii() and text.isdecimal():
        return int(text) if len(text) <= 10 and 0 < int(text) <= MAX_ID else None
    try:
        return UUID(text).hex
    except ValueError:
        return None
