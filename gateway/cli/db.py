"""`mcp-gateway db`: create, upgrade, adopt and inspect the database, and remove what is due.

Which question: is this database as this version needs it, and how does it become so? Touches the database's schema.
The rule: what is about to happen to somebody else's database is printed in full before it can be asked for.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from gateway.cli import partitioning, purging
from gateway.cli.common import add_config_argument, database_in
from gateway.cli.failures import Failed, Misused
from storage import migrate, replicas
from storage.adopt import Adoption, Examination, adopt, examine
from storage.database import Database

UTC = "UTC"
ADOPTION = """\
Take over an mcp_chat database that another chat back end made and goes on using. Nothing that is there is changed or
lost: columns, keys and tables are added, and what is new is filled in. May be repeated, also after an interruption.
Try --dry-run first.
"""


def add_parser(subparsers: Any) -> None:
    """Add `db` and its verbs to the command line."""
    parser = subparsers.add_parser("db", help="create, upgrade, adopt, inspect, purge or partition the database")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add(verbs, "upgrade", upgrade, "create the tables, or bring them to this version")
    _add(verbs, "status", status, "show the schema's version; exit code 1 unless it is this version's")
    adoption = _add(verbs, "adopt", take_over, "take over an mcp_chat database of another application", ADOPTION)
    adoption.add_argument("--timezone", metavar="ZONE", type=_zone, default=UTC, help=_TIMEZONE_HELP)
    adoption.add_argument("--dry-run", action="store_true", help="print what was found and what would be done")
    backup = adoption.add_mutually_exclusive_group()
    backup.add_argument("--backup", metavar="FILE", type=Path, help="first write the whole database to FILE, as SQL")
    backup.add_argument("--no-backup", action="store_true", help="write no backup: you have one")
    purge = _add(verbs, "purge", purging.purge, "remove what is older than the configuration's `retention` keeps")
    purge.add_argument("--dry-run", action="store_true", help="print how much is due, and remove nothing")
    parts = _add(verbs, "partition", partitioning.partition, "cut the tables of calls into days", partitioning.ADVICE)
    parts.add_argument("--dry-run", action="store_true", help="print what would be done, and do nothing")
    parts.add_argument("--drop-foreign-keys", action="store_true", help="MySQL and MariaDB: drop what they do not know")


async def upgrade(arguments: argparse.Namespace) -> int:
    """Run the pending revisions."""
    async with _database(arguments) as database:
        before = await migrate.status(database)
        after = await migrate.upgrade(database)
        done = "is up to date" if before.is_current else f"was {before.current or 'empty'}, is up to date now"
        print(f"{database.label}: {done} ({after.current})")
    return 0


async def status(arguments: argparse.Namespace) -> int:
    """Print the revision and what is pending."""
    async with _database(arguments) as database:
        found = await migrate.status(database)
        print(f"{database.label}: {found.current or 'no schema of ours'}; this version needs {found.head}")
        if not found.is_current:
            print(migrate.what_to_do(found))
            return Failed.exit_code
        for one in await replicas.known(database):
            state = "stopped" if one.draining else "alive"
            print(f"gateway {one.name} ({one.id[:8]}, version {one.version}): {state} {max(0, one.silent):.0f} s ago")
    return 0


async def take_over(arguments: argparse.Namespace) -> int:
    """Examine, print, and unless it is a dry run, adopt. Exit code 1 when the database cannot be taken over."""
    if not (arguments.dry_run or arguments.backup or arguments.no_backup):
        raise Misused("db adopt: say --backup FILE or --no-backup, or look first with --dry-run")
    async with _database(arguments) as database:
        found = await examine(database)
        print("\n".join(_findings(database, found)))
        if found.refusals:
            return Failed.exit_code
        if not arguments.dry_run:
            done = await adopt(database, arguments.timezone, arguments.backup)
            print("\n".join(_outcome(done, arguments.backup)))
    return 0


def _findings(database: Database, found: Examination) -> Iterator[str]:
    counted = ", ".join(f"{count} in {table}" for table, count in found.rows.items())
    yield f"{database.label}" + (f": rows: {counted}" if counted else "")
    for title, sentences in (
        ("cannot be adopted before this is mended:", found.refusals),
        ("differs from the document, and may:", found.notes),
        ("to be done:", found.steps),
    ):
        if sentences:
            yield title
            yield from (f"  - {sentence}" for sentence in sentences)


def _outcome(done: Adoption, backup: Path | None) -> Iterator[str]:
    if backup is not None:
        yield f"backup: {backup}; restore it into an empty database with: mysql DATABASE < {backup}"
    filled = ", ".join(f"{count} rows of {table}" for table, count in done.filled.items() if count)
    yield f"adopted: the schema is {done.revision}; filled in: {filled or 'nothing'}"


_TIMEZONE_HELP = "the zone in which the other application writes its times, such as Asia/Shanghai (default: UTC)"


def _add(verbs: Any, verb: str, handler: Any, summary: str, description: str | None = None) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        verb,
        help=summary,
        description=description or f"{summary[0].upper()}{summary[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config_argument(parser)
    parser.set_defaults(handler=handler, parser=parser)
    return parser


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise argparse.ArgumentTypeError(f"{name!r} is no time zone; names look like Asia/Shanghai") from None


@asynccontextmanager
async def _database(arguments: argparse.Namespace) -> AsyncIterator[Database]:
    """The configuration's database, whatever its schema."""
    database = database_in(arguments.config)
    try:
        yield database
    finally:
        await database.close()
