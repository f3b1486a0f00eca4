"""What people ask for when they look for calls.

Which question: which recorded calls do these words mean? Reads the names of servers and users. The rule: words that
mean nothing are a `Mistake` that says what may be written, or the nearest that exists, never an empty answer; and
whoever sees his own calls alone learns nothing here of anybody else's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Container, Iterable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from gateway.config.keys import nearest
from gateway.moments import moment
from storage import registry
from storage.call_filters import IN_PROGRESS, CallFilter
from storage.calls import Cursor
from storage.database import Database
from storage.records import Caller, CallUid, Outcome
from storage.rows import created_at, storable
from storage.users import canonical, usernames

OUTCOMES = (*(outcome.value for outcome in Outcome), IN_PROGRESS)
OFFERED = 20
"""Names that are listed when none is near."""

LONGEST = 200
"""Characters that are searched for."""

_UID = re.compile(r"[0-9a-f]{32}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_BIGINT = 2**63
_SKEW = timedelta(days=1)


class Mistake(ValueError):
    """`param` is what was meant to be read, `message` what is wrong with it and what may be written."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for, as it was written; what is None does not matter."""

    server: str | None = None
    tool: str | None = None
    outcome: str | None = None
    user: str | None = None
    session: str | None = None
    trace: str | None = None
    operation: str | None = None
    min_ms: str | None = None
    error: str | None = None
    since: str | None = None
    until: str | None = None


PARAMS = tuple(field.name for field in fields(Asked))


async def wanted(
    db: Database, asked: Asked, now: datetime, *, own: Caller | None = None, zoned: bool = False
) -> CallFilter:
    """The calls that `asked` means; with `own`, those of that caller alone. `zoned`: a time of day names its zone,
    since whoever asks may live in another. Raises `Mistake` and `DatabaseUnavailable`.
    """
    _check(asked)
    slug, tool = None, asked.tool
    servers = await _servers(db) if asked.server or asked.tool else {}
    if asked.server is not None:
        slug = servers[_known("server", asked.server, servers, servers.values())]
    elif asked.tool is not None:
        slug, tool = _tool(asked.tool, servers)
    return CallFilter(
        server=slug,
        tool=tool,
        outcome=None if asked.outcome is None else _known("outcome", asked.outcome, OUTCOMES, OUTCOMES),
        user=await _user(db, asked.user, own),
        user_id=None if own is None else own.user_id,
        session=_session(asked.session),
        trace_id=_trace(asked.trace),
        operation_uid=_operation(asked.operation, now),
        min_ms=_milliseconds(asked.min_ms),
        error=_words(asked.error),
        since=_moment("since", asked.since, now, zoned),
        until=_moment("until", asked.until, now, zoned),
    )


def place(param: str, text: str | None) -> Cursor | None:
    """Where a page begins. Raises `Mistake`."""
    try:
        return None if text is None else Cursor.parse(text)
    except ValueError as error:
        raise Mistake(param, f"{error}; take the one that was told at the end of the page before") from error


def number(param: str, text: str, most: int) -> int:
    """A number from 1 to `most`. Raises `Mistake`."""
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and 1 <= int(text) <= most):
        raise Mistake(param, f"{text[:LONGEST]!r} is no number from 1 to {most}")
    return int(text)


def truth(param: str, text: str) -> bool:
    """Raises `Mistake`."""
    if text not in ("true", "false"):
        raise Mistake(param, f"{text[:LONGEST]!r} is neither true nor false")
    return text == "true"


def check_names(names: Iterable[str], known: Collection[str]) -> None:
    """Raises `Mistake` for a parameter that is not known, since it should have narrowed the answer, or comes twice."""
    seen = set[str]()
    for name in names:
        if name not in known:
            meant = nearest(name[:LONGEST], known)
            hint = f"did you mean {meant}?" if meant else f"there is {', '.join(known) or 'none'}"
            raise Mistake(name[:LONGEST], f"is not known here; {hint}")
        if name in seen:
            raise Mistake(name, "is given twice; leave one out")
        seen.add(name)


def uid(param: str, text: str) -> str:
    """The 32 digits of a uid. Raises `Mistake`."""
    digits = text.strip().lower().replace("-", "")
    if not _UID.fullmatch(digits):
        raise Mistake(param, f"{text[:LONGEST]!r} is no uid; it has 32 hexadecimal digits")
    return digits


def _check(asked: Asked) -> None:
    """What no engine can store, none can be asked for."""
    for param in PARAMS:
        text: str | None = getattr(asked, param)
        if text is not None and storable(text) != text:
            raise Mistake(param, f"{text[:LONGEST]!r} holds characters that no record has")


async def _servers(db: Database) -> dict[str, str]:
    rows = await registry.load(db)
    return {name: row.slug or row.name for row in rows for name in (row.name, row.slug) if name}


async def _user(db: Database, name: str | None, own: Caller | None) -> str | None:
    if name is None:
        return None
    if own is not None:
        if canonical(name) == canonical(own.user):
            return None
        raise Mistake("user", f"your key is {own.user}'s and shows that user's calls; leave this out")
    users = {name: stored for stored in await usernames(db) for name in (stored, canonical(stored))}
    return users[_known("user", canonical(name), users, users.values())]


def _tool(name: str, servers: Iterable[str]) -> tuple[str | None, str]:
    """The server, if `name` is one that clients see, and the server's own name of the tool."""
    slug, separator, own = name.partition("__")
    return (slug, own) if separator and slug in servers else (None, name)


def _known(param: str, word: str, known: Container[str], offered: Iterable[str]) -> str:
    if word in known:
        return word
    words = sorted(set(offered))
    meant = nearest(word[:LONGEST], words)
    hint = f"did you mean {meant}?" if meant else f"there is {', '.join(words[:OFFERED]) or 'none'}"
    raise Mistake(param, f"{word[:LONGEST]!r} is not known; {hint}")


def _session(text: str | None) -> int | str | None:
    if text is None:
        return None
    if text.isascii() and text.isdecimal() and len(text) < 20 and int(text) < _BIGINT:
        return int(text)
    digits = text.strip().lower().replace("-", "")
    if _UID.fullmatch(digits):
        return digits
    raise Mistake("session", f"{text[:LONGEST]!r} is no chat session; write its number or its public UUID")


def _trace(text: str | None) -> str | None:
    if text is None:
        return None
    digits = text.strip().lower()
    within = _TRACEPARENT.fullmatch(digits)
    digits = within[1] if within else digits
    if not _UID.fullmatch(digits):
        message = f"{text[:LONGEST]!r} is no trace; write its id of 32 hexadecimal digits, or a whole traceparent"
        raise Mistake("trace", message)
    return digits


def _operation(text: str | None, now: datetime) -> CallUid | None:
    """The time within the uid must be one, since calls are found by it."""
    if text is None:
        return None
    digits = CallUid(uid("operation", text))
    try:
        if created_at(digits) <= now + _SKEW:
            return digits
    except (ValueError, OverflowError):
        pass
    raise Mistake("operation", f"{text!r} is no operation; its uid is that of its first call")


def _milliseconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        milliseconds = float(text)
    except ValueError:
        milliseconds = -1.0
    if not (0 <= milliseconds < _BIGINT / 1_000 and math.isfinite(milliseconds)):
        raise Mistake("min_ms", f"{text[:LONGEST]!r} is no number of milliseconds; write 250, or 0.5")
    return milliseconds


def _words(text: str | None) -> str | None:
    if text is not None and not 1 <= len(text) <= LONGEST:
        raise Mistake("error", f"1 to {LONGEST} characters are searched for")
    return text


def _moment(param: str, text: str | None, now: datetime, zoned: bool) -> datetime | None:
    try:
        return None if text is None else moment(text, now, zoned=zoned)
    except ValueError as error:
        raise Mistake(param, str(error)) from error
