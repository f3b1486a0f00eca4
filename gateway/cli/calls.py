"""`mcp-gateway calls`: what was called, by whom, and how it ended.

Which question: which calls are recorded? Touches the database, read only. The rule: oldest first, as logs are read; a
filter that names what does not exist is an error with the nearest that does, never an empty table.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Awaitable, Callable, Container, Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from gateway.cli.common import add_config_argument, database_in, opened
from gateway.cli.failures import Misused
from gateway.cli.moments import moment
from gateway.cli.rendering import harmless
from gateway.cli.table import table
from gateway.config.keys import nearest
from storage import registry
from storage.calls import IN_PROGRESS, CallFilter, CallRow, page
from storage.database import Database
from storage.following import Follower
from storage.records import Outcome
from storage.users import canonical, usernames

OUTCOMES = (*(outcome.value for outcome in Outcome), IN_PROGRESS)
HEADINGS = (
    "TIME".ljust(23),
    "SERVER".ljust(8),
    "TOOL".ljust(20),
    "OUTCOME".ljust(11),
    "MS".rjust(9),
    "USER".ljust(8),
    "ERROR",
)
"""As wide as usual, so that what follows later stands below what was printed first."""

ERROR_CHARS = 80
POLL_SECONDS = 0.5
MAX_LIMIT = 10_000
OFFERED = 20
"""Names that are listed when none is near."""

EPILOG = """\
examples:
  mcp-gateway calls
  mcp-gateway calls --server time --outcome timeout --since 2h
  mcp-gateway calls --follow --json | jq .outcome
"""


def add_parser(subparsers: Any) -> None:
    """Add `calls` to the command line."""
    parser = subparsers.add_parser(
        "calls",
        help="show recorded calls",
        description="Show recorded calls, oldest first.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--server", metavar="S", help="of this server, by its slug or name")
    parser.add_argument("--tool", metavar="T", help="of this tool, by the server's own name or as clients see it")
    parser.add_argument("--outcome", metavar="O", help=f"that ended so: {', '.join(OUTCOMES)}")
    parser.add_argument("--user", metavar="U", help="by this user")
    parser.add_argument("--since", metavar="T", help="that started then or later: 10m, 2h, 3d, 2026-01-31T08:30")
    parser.add_argument("--until", metavar="T", help="that started before then")
    parser.add_argument("--limit", metavar="N", default="20", help="the newest N of them (default: 20)")
    parser.add_argument("--follow", action="store_true", help="go on with calls as they end, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    add_config_argument(parser)
    parser.set_defaults(handler=show)


async def show(arguments: argparse.Namespace) -> int:
    """Print the calls that are asked for."""
    limit, show_rows = _limit(arguments.limit), _as_json if arguments.json else _as_table
    if arguments.follow and arguments.until is not None:
        raise Misused("--follow and --until exclude each other")
    async with opened(database_in(arguments.config)) as db:
        wanted = await _filter(db, arguments)
        if arguments.follow:
            await follow(db, wanted, limit, show_rows)
            return 0
        rows = await page(db, wanted, limit=limit)
    show_rows(rows[::-1], first=True)
    if not rows:
        print("no call matches", file=sys.stderr)
    return 0


async def follow(db: Database, wanted: CallFilter, limit: int, show_rows: Callable[..., None]) -> None:
    """Print the newest calls, then those that end, until SIGINT. Raises `DatabaseUnavailable`."""
    stop = asyncio.Event()
    with contextlib.suppress(NotImplementedError):  # no signals in this event loop: Ctrl-C raises KeyboardInterrupt
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    follower = Follower(db, wanted)
    await follower.open()
    rows = await page(db, wanted, limit=limit)
    show_rows(rows[::-1], first=True)
    told = {(row.id, row.outcome) for row in rows}
    while not await _is_set(stop.wait, POLL_SECONDS):
        rows = await follower.poll()
        show_rows([row for row in rows if (row.id, row.outcome) not in told], first=False)


async def _is_set(wait: Callable[[], Awaitable[object]], patience: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await wait()
            return True
    return False


async def _filter(db: Database, arguments: argparse.Namespace) -> CallFilter:
    now = datetime.now(UTC)
    outcome = _known("--outcome", arguments.outcome, OUTCOMES, OUTCOMES)
    since, until = (_moment(flag, getattr(arguments, flag[2:]), now) for flag in ("--since", "--until"))
    rows = await registry.load(db)
    servers = {name: row.slug or row.name for row in rows for name in (row.name, row.slug) if name}
    server = _known("--server", arguments.server, servers, servers.values())
    users = {name: stored for stored in await usernames(db) for name in (stored, canonical(stored))}
    user = _known("--user", arguments.user and canonical(arguments.user), users, users.values())
    slug, tool = _tool(arguments.tool, servers)
    return CallFilter(
        server=slug if server is None else servers[server],
        tool=tool,
        outcome=outcome,
        user=user and users[user],
        since=since,
        until=until,
    )


def _tool(name: str | None, servers: Iterable[str]) -> tuple[str | None, str | None]:
    """The server, if `name` is one that clients see, and the server's own name of the tool."""
    slug, separator, own = (name or "").partition("__")
    return (slug, own) if separator and slug in servers else (None, name)


def _known(flag: str, word: str | None, known: Container[str], offered: Iterable[str]) -> str | None:
    if word is None or word in known:
        return word
    words = sorted(set(offered))
    meant = nearest(word, words)
    hint = f"did you mean {meant}?" if meant else f"there is {', '.join(words[:OFFERED]) or 'none'}"
    raise Misused(f"{flag}: {word!r} is not known; {hint}")


def _moment(flag: str, text: str | None, now: datetime) -> datetime | None:
    try:
        return None if text is None else moment(text, now)
    except ValueError as error:
        raise Misused(f"{flag}: {error}") from error


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= MAX_LIMIT):
        raise Misused(f"--limit: {text!r} is no number from 1 to {MAX_LIMIT}")
    return int(text)


def _as_json(rows: Sequence[CallRow], *, first: bool) -> None:
    for row in rows:
        print(json.dumps(asdict(row), ensure_ascii=False, default=_iso), flush=True)


def _as_table(rows: Sequence[CallRow], *, first: bool) -> None:
    if rows or first:
        lines = harmless(table(HEADINGS, [_cells(row) for row in rows])).split("\n")
        print("\n".join(lines if first else lines[1:]), flush=True)


def _cells(row: CallRow) -> tuple[str, ...]:
    began = (row.started_at or row.created_at).astimezone()
    error = _one_line(row.error_message or row.reason or "")
    return (
        began.strftime("%Y-%m-%d %H:%M:%S.%f")[:23],
        _one_line(row.server),
        _one_line(row.tool or row.method or ""),
        row.outcome or row.status,
        ("" if row.response_ms is None else f"{row.response_ms:,.1f}").rjust(9),
        _one_line(row.user or ""),
        error if len(error) <= ERROR_CHARS else f"{error[: ERROR_CHARS - 1]}…",
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _iso(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    raise TypeError(f"{type(value).__name__} has no JSON form")
