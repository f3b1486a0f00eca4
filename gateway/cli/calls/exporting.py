"""`mcp-gateway calls export`: recorded calls as NDJSON or CSV.

Which question: how do many calls leave the database for another program? Touches the database, read only, and the file
that is named. The rule: memory does not grow with what is exported, and a file is there whole or not at all.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO

from gateway.call_shapes import COLUMNS, brief, json_text, request_of, response_of, with_payloads
from gateway.cli.calls.choosing import add_flags, chosen
from gateway.cli.common import add_config_argument, database_in, opened
from gateway.cli.failures import Misused
from gateway.cli.progress import Bar
from storage.call_details import CallDetail, details
from storage.call_filters import CallFilter
from storage.calls import CallRow, page
from storage.database import Database

ROWS_AT_ONCE = 1_000
PAYLOADS_AT_ONCE = 50
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula, when a text begins with it."""

EPILOG = """\
examples:
  mcp-gateway calls export --since 1d > calls.ndjson
  mcp-gateway calls export --server git --outcome tool_error --payloads --output failed.ndjson
  mcp-gateway calls export --format csv --since 2026-11-01 --until 2026-12-01 --output november.csv
"""


def add_verb(verbs: Any) -> None:
    """Add `calls export`."""
    parser = verbs.add_parser(
        "export",
        help="write calls as NDJSON or CSV",
        description="Write calls, oldest first, as NDJSON or CSV.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flags(parser, inherited=True)
    parser.add_argument("--format", choices=FORMATS, help="default: csv for a FILE of that name, else ndjson")
    parser.add_argument("--payloads", action="store_true", help="with requests and responses, as they are kept")
    parser.add_argument("--output", metavar="FILE", help="write there, once everything is written (default: stdout)")
    add_config_argument(parser, inherited=True)
    parser.set_defaults(handler=export, parser=parser)


async def export(arguments: argparse.Namespace) -> int:
    """Write the calls that are asked for."""
    named = "csv" if (arguments.output or "").lower().endswith(".csv") else "ndjson"
    write = FORMATS[arguments.format or named]
    began = monotonic()
    async with opened(database_in(arguments.config)) as db:
        wanted = await chosen(db, arguments)
        with _destination(arguments.output) as file:
            written = await _export(db, wanted, file, write, payloads=arguments.payloads)
    place = f" to {arguments.output}" if arguments.output else ""
    calls = "1 call" if written == 1 else f"{written:,} calls"
    print(f"{calls} exported{place} in {monotonic() - began:.1f} s", file=sys.stderr)
    return 0


async def chunks(db: Database, wanted: CallFilter, size: int) -> AsyncIterator[list[CallRow]]:
    """The calls, oldest first, some at a time. Raises `DatabaseUnavailable`."""
    place = None
    while True:
        rows, place = await page(db, wanted, limit=size, before=place, oldest_first=True)
        yield rows
        if place is None:
            return


Call = CallRow | CallDetail
Write = Callable[[Sequence[Call], bool], bytes]


async def _export(db: Database, wanted: CallFilter, file: BinaryIO, write: Write, *, payloads: bool) -> int:
    bar, done, span = Bar("calls"), 0, _Span(wanted.until or datetime.now(UTC))
    file.write(write((), payloads))
    try:
        async for rows in chunks(db, wanted, PAYLOADS_AT_ONCE if payloads else ROWS_AT_ONCE):
            calls: Sequence[Call] = await details(db, rows) if payloads and rows else rows
            if calls:
                file.write(write(calls, payloads))
                done += len(calls)
                bar.update(span.share(rows), done)
        file.flush()
    finally:
        bar.close()
    return done


class _Span:
    """How much of the time that is exported lies behind: calls are not counted first, which would take as long."""

    def __init__(self, end: datetime) -> None:
        self._end = end
        self._begin: datetime | None = None

    def share(self, rows: Sequence[CallRow]) -> float:
        self._begin = self._begin or rows[0].created_at
        whole = (self._end - self._begin).total_seconds()
        return 1.0 if whole <= 0 else (rows[-1].created_at - self._begin).total_seconds() / whole


def ndjson(calls: Sequence[Call], payloads: bool) -> bytes:
    """A line for each call."""
    shapes = (with_payloads(call) if isinstance(call, CallDetail) else brief(call) for call in calls)
    return b"".join(json_text(shape) + b"\n" for shape in shapes)


def csv_lines(calls: Sequence[Call], payloads: bool) -> bytes:
    """A record for each call (RFC 4180); of no calls, the headings."""
    text = io.StringIO()
    writer = csv.writer(text)
    if not calls:
        writer.writerow((*COLUMNS, "request", "response") if payloads else COLUMNS)
    writer.writerows(map(_record, calls))
    return text.getvalue().encode("utf-8", "replace")


FORMATS = {"ndjson": ndjson, "csv": csv_lines}


def _record(call: Call) -> Iterator[object]:
    row = call.row if isinstance(call, CallDetail) else call
    told = brief(row)
    yield from (_cell(told[name]) for name in COLUMNS)
    if isinstance(call, CallDetail):
        for side in (request_of(call), response_of(call)):
            yield "" if side is None or side.text is None else _cell(side.text.decode("utf-8", "replace"))


def _cell(value: object) -> object:
    """Texts come from clients and servers: none may be taken for a formula by whoever opens the file."""
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value


@contextmanager
def _destination(name: str | None) -> Iterator[BinaryIO]:
    """stdout, or a file of the owner's alone that takes its name when everything is written."""
    if name is None:
        yield sys.stdout.buffer
        return
    path = Path(name)
    if path.is_dir():
        raise Misused(f"--output: {name} is a folder; name a file in it")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
