"""`mcp-gateway calls verify`: is anything missing?

Which question: has every call that the gateway has written down a row? Touches the database, read only, and the
journals on this machine. The rule: "nothing missing" is said only after everything was looked at.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from gateway.cli.colours import GREEN, RED, YELLOW, Paint
from gateway.cli.common import add_config_argument, database_in, opened, records_of, section_of
from gateway.cli.failures import Misused
from storage.errors import StorageError
from storage.settings import DatabaseSettings, RecordingSettings
from storage.verification import Verified, verify

COMPLETE, INCOMPLETE = 0, 1


def add_verb(verbs: Any) -> None:
    """Add `calls verify`."""
    parser = verbs.add_parser(
        "verify",
        help="check that no record is missing",
        description="Compare what was written down with the rows and the counts in the database. "
        "Exit code 0: nothing is missing; 1: what is, is named; 2: it could not be checked.",
    )
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON object")
    add_config_argument(parser, inherited=True)
    parser.set_defaults(handler=run, parser=parser)


async def run(arguments: argparse.Namespace) -> int:
    """Print what was found."""
    found = await _verified(arguments.config)
    if arguments.json:
        print(
            json.dumps(
                {
                    "complete": found.complete,
                    "journals": found.journals,
                    "calls": found.calls,
                    "problems": found.problems,
                    "waiting": found.waiting,
                }
            )
        )
    else:
        print("\n".join(_told(found, Paint.on(sys.stdout))))
    return COMPLETE if found.complete else INCOMPLETE


async def _verified(file: str) -> Verified:
    recording = section_of(file, "recording", RecordingSettings).value
    database = section_of(file, "database", DatabaseSettings).value
    records = records_of(database, recording.journal, Path(file)) if recording.journal.enabled else None
    try:
        async with opened(database_in(file)) as db:
            return await verify(db, records)
    except (StorageError, OSError) as error:
        raise Misused(f"the records cannot be checked: {error}") from error


def _told(found: Verified, paint: Paint) -> list[str]:
    looked_at = f"{found.calls} calls of {found.journals} {'run' if found.journals == 1 else 'runs'} of the gateway"
    if found.complete:
        return [f"{paint(GREEN, 'nothing missing')}: {looked_at}, each with its row, each row counted"]
    return [
        *(f"{paint(RED, 'missing')}  {problem}" for problem in found.problems),
        *(f"{paint(YELLOW, 'waiting')}  {one}" for one in found.waiting),
        f"looked at {looked_at}",
    ]
