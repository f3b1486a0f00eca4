"""`mcp-gateway calls`: the newest calls, and those that follow.

Which question: which calls are recorded? Touches the database, read only. The rule: oldest first, as logs are read;
where more is known than was shown, the last line says how to see it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence

from gateway.call_search import number, place
from gateway.call_shapes import brief, json_text
from gateway.cli.calls.choosing import add_flags, chosen, explained
from gateway.cli.common import add_config_argument, database_in, opened
from gateway.cli.failures import Misused
from gateway.cli.progress import Status
from gateway.cli.rendering import counted, harmless
from gateway.cli.table import table
from storage.call_filters import CallFilter
from storage.calls import CallRow, Cursor, Page, page
from storage.database import Database
from storage.following import Follower

HEADINGS = (
    "TIME".ljust(23),
    "UID".ljust(16),
    "SERVER".ljust(8),
    "TOOL".ljust(20),
    "OUTCOME".ljust(11),
    "MS".rjust(9),
    "USER".ljust(8),
    "ERROR",
)
"""As wide as usual, so that what follows later stands below what was printed first."""

UID_DIGITS = 16
"""Its time, and enough of the rest to tell the calls of one millisecond apart."""

ERROR_CHARS = 80
POLL_SECONDS = 0.5
MAX_LIMIT = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the list."""
    add_flags(parser)
    parser.add_argument("--limit", metavar="N", default="20", help="the newest N of them (default: 20)")
    parser.add_argument("--before", metavar="CURSOR", help="the page before one that was shown, as its last line says")
    parser.add_argument("--follow", action="store_true", help="go on with calls as they end, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    add_config_argument(parser)
    parser.set_defaults(handler=show)


async def show(arguments: argparse.Namespace) -> int:
    """Print the calls that are asked for."""
    show_rows = _as_json if arguments.json else _as_table
    with explained():
        limit, before = number("limit", arguments.limit, MAX_LIMIT), place("before", arguments.before)
    for flag in ("until", "before"):
        if arguments.follow and getattr(arguments, flag) is not None:
            raise Misused(f"--follow and --{flag} exclude each other")
    async with opened(database_in(arguments.config)) as db:
        wanted = await chosen(db, arguments)
        if arguments.follow:
            await follow(db, wanted, limit, show_rows)
            return 0
        rows, more = await newest(db, wanted, limit, before)
    show_rows(rows[::-1], first=True)
    if not rows:
        print("no call matches", file=sys.stderr)
    if more is not None:
        print(f"older ones: --before {more.token}", file=sys.stderr)
    return 0


async def newest(db: Database, wanted: CallFilter, limit: int, before: Cursor | None = None) -> Page:
    """The newest `limit` calls, newest first, however far back they are. Raises `DatabaseUnavailable`."""
    rows, more = await page(db, wanted, limit=limit, before=before)
    looking = Status()
    try:
        while more is not None and len(rows) < limit:
            looking.say(f"{counted(len(rows), 'call')} back to {more.created_at.astimezone():%Y-%m-%d %H:%M:%S} …")
            some, more = await page(db, wanted, limit=limit - len(rows), before=more)
            rows += some
    finally:
        looking.close()
    return Page(rows, more)


async def follow(db: Database, wanted: CallFilter, limit: int, show_rows: Callable[..., None]) -> None:
    """Print the newest calls, then those that end, until SIGINT. Raises `DatabaseUnavailable`."""
    stop = asyncio.Event()
    with contextlib.suppress(NotImplementedError):  # no signals in this event loop: Ctrl-C raises KeyboardInterrupt
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    follower = Follower(db, wanted)
    await follower.open()
    rows, _ = await newest(db, wanted, limit)
    show_rows(rows[::-1], first=True)
    told = {(row.id, row.outcome) for row in rows}
    while not await _is_set(stop.wait, POLL_SECONDS):
        news = await follower.poll()
        show_rows([row for row in news if (row.id, row.outcome) not in told], first=False)


async def _is_set(wait: Callable[[], Awaitable[object]], patience: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await wait()
            return True
    return False


def _as_json(rows: Sequence[CallRow], *, first: bool) -> None:
    for row in rows:
        print(json_text(brief(row)).decode(), flush=True)


def _as_table(rows: Sequence[CallRow], *, first: bool) -> None:
    if rows or first:
        lines = harmless(table(HEADINGS, [_cells(row) for row in rows])).split("\n")
        print("\n".join(lines if first else lines[1:]), flush=True)


def _cells(row: CallRow) -> tuple[str, ...]:
    began = (row.started_at or row.created_at).astimezone()
    error = _one_line(row.error_message or row.reason or "")
    return (
        began.strftime("%Y-%m-%d %H:%M:%S.%f")[:23],
        (row.call_uid or "")[:UID_DIGITS],
        _one_line(row.server),
        _one_line(row.tool or row.method or ""),
        row.outcome or row.status,
        ("" if row.response_ms is None else f"{row.response_ms:,.1f}").rjust(9),
        _one_line(row.user or ""),
        error if len(error) <= ERROR_CHARS else f"{error[: ERROR_CHARS - 1]}…",
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
