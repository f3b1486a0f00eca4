"""The flags that choose calls.

Which question: which calls do these words on the command line mean? Touches the database, read only. The rule: a flag
that means nothing is an error with the nearest that does, never an empty table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from gateway.call_search import OUTCOMES, PARAMS, Asked, Mistake, wanted
from gateway.cli.failures import Failed, Misused
from gateway.cli.rendering import counted
from storage.call_details import beginning
from storage.call_filters import CallFilter
from storage.calls import CallRow
from storage.database import Database

SHORTEST_UID = 4
CANDIDATES = 5


def add_flags(parser: argparse.ArgumentParser, *, inherited: bool = False) -> None:
    """Add what chooses calls; `inherited` where the parser above has it too, so that it may stand before the verb."""
    group = parser.add_argument_group("which calls", argument_default=argparse.SUPPRESS if inherited else None)
    group.add_argument("--server", metavar="S", help="of this server, by its slug or name")
    group.add_argument("--tool", metavar="T", help="of this tool, by the server's own name or as clients see it")
    group.add_argument("--outcome", metavar="O", help=f"that ended so: {', '.join(OUTCOMES)}")
    group.add_argument("--user", metavar="U", help="by this user")
    group.add_argument("--session", metavar="ID", help="of this chat session, by its number or public UUID")
    group.add_argument("--trace", metavar="ID", help="of this trace, by its id or a traceparent")
    group.add_argument("--operation", metavar="UID", help="the rounds of one operation, by the uid of the first")
    group.add_argument("--min-ms", metavar="N", help="that took so many milliseconds or longer")
    group.add_argument("--error", metavar="TEXT", help="with these words in the error or its reason")
    group.add_argument("--since", metavar="T", help="that started then or later: 10m, 2h, 3d, 2026-01-31T08:30")
    group.add_argument("--until", metavar="T", help="that started before then")


async def chosen(db: Database, arguments: argparse.Namespace) -> CallFilter:
    """The calls that the flags mean. Raises `Misused` and `DatabaseUnavailable`."""
    asked = Asked(**{param: getattr(arguments, param) for param in PARAMS})
    with explained():
        return await wanted(db, asked, datetime.now(UTC))


async def meant(db: Database, prefix: str) -> CallRow:
    """The one call whose uid begins so. Raises `Misused`, `Failed` and `DatabaseUnavailable`."""
    digits = prefix.strip().lower().replace("-", "")
    if not (SHORTEST_UID <= len(digits) <= 32 and all(digit in "0123456789abcdef" for digit in digits)):
        raise Misused(f"{prefix!r} is no uid, nor its beginning; `calls` shows them in the column UID")
    rows = await beginning(db, digits, CANDIDATES + 1)
    if len(rows) == 1:
        return rows[0]
    if not rows:
        raise Failed(f"no call's uid begins with {digits}; `calls` shows what is recorded")
    several = f"{CANDIDATES} calls and more" if len(rows) > CANDIDATES else counted(len(rows), "call")
    some = ", ".join(f"{row.call_uid} ({row.tool or row.method})" for row in rows[:CANDIDATES])
    raise Misused(f"{digits} is the beginning of {several}: {some}")


@contextmanager
def explained() -> Iterator[None]:
    """A mistake is told by its flag."""
    try:
        yield
    except Mistake as mistake:
        raise Misused(f"--{mistake.param.replace('_', '-')}: {mistake.message}") from mistake
