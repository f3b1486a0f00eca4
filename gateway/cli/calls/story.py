"""`mcp-gateway calls show`: the whole story of one call.

Which question: who called what, for which chat, in which rounds, with what, and where did the time go? Touches the
database, read only. The rule: what is not shown, or was not kept, is told with its size and the reason.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from gateway.call_shapes import Side, json_text, request_of, response_of, whole
from gateway.cli.calls.choosing import meant
from gateway.cli.colours import BOLD, CYAN, DIM, GREEN, RED, YELLOW, Paint
from gateway.cli.common import add_config_argument, database_in, opened
from gateway.cli.failures import Failed
from gateway.cli.rendering import harmless, unfolded
from storage.call_details import CallDetail, Chat, chat_of, find, rounds
from storage.calls import CallRow
from storage.records import Link, Outcome

BAR_WIDTH = 32
MOST_LINES, MOST_CHARS = 40, 400
"""Of a payload so many lines are shown, and of a line so many characters."""

LABEL_WIDTH = 10
HUES = {Outcome.OK: GREEN, Outcome.INPUT_REQUIRED: CYAN, None: CYAN, Outcome.CANCELLED: YELLOW, Outcome.REFUSED: YELLOW}
"""Everything else went wrong."""

OMISSIONS = {
    "size": "it is larger than what is kept",
    "memory": "it was dropped while the database was away, to keep the rest of the record",
    "unredacted": "its secrets could not be hidden",
    "refused": "the database did not take it",
    "malformed": "it is no JSON",
    "retention": "it was kept for as long as payloads are (retention.payloads)",
}


def add_verb(verbs: Any) -> None:
    """Add `calls show`."""
    parser = verbs.add_parser(
        "show",
        help="show everything about one call",
        description="Show everything about one call: who, where, chat, rounds, timings, request and response.",
    )
    parser.add_argument("uid", metavar="UID", help="the call's uid, or as much of it as no other has")
    parser.add_argument("--full", action="store_true", help="show payloads to their end")
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON object")
    add_config_argument(parser, inherited=True)
    parser.set_defaults(handler=show, parser=parser)


async def show(arguments: argparse.Namespace) -> int:
    """Print one call."""
    async with opened(database_in(arguments.config)) as db:
        row = await meant(db, arguments.uid)
        call = await find(db, row.call_uid or "")
        if call is None:
            raise Failed(f"the call {row.call_uid} has been removed just now")
        chat, in_rounds = await chat_of(db, row), await rounds(db, row)
    if arguments.json:
        print(json_text(whole(call, chat, in_rounds)).decode())
    else:
        print("\n".join(story(call, chat, in_rounds, Paint.on(sys.stdout), full=arguments.full)))
    return 0


def story(call: CallDetail, chat: Chat, in_rounds: Sequence[CallRow], paint: Paint, *, full: bool) -> Iterator[str]:
    """The lines of it."""
    row = call.row
    yield f"{paint(BOLD, _plain(_what(row)))}  {_ending(row, paint)}"
    yield paint(DIM, row.call_uid or "")
    yield ""
    for label, words in _facts(row, chat):
        yield f"{paint(DIM, label.ljust(LABEL_WIDTH))}{_plain(words)}"
    yield from _timings(row, paint)
    if len(in_rounds) > 1:
        yield from _rounds(row, in_rounds, paint)
    yield from _payload("request", request_of(call), paint, full=full)
    answered = response_of(call)
    if answered is None:
        yield from ("", f"{paint(BOLD, 'response')}  {paint(DIM, 'none: ' + _plain(_why_none(row)))}")
    else:
        yield from _payload("response", answered, paint, full=full)


def timing_bar(total_ms: float, upstream_ms: float) -> str:
    """Where the time went: the server's share full, the gateway's light."""
    share = 1.0 if total_ms <= 0 else min(upstream_ms / total_ms, 1.0)
    cells = round(share * BAR_WIDTH)
    cells = BAR_WIDTH - 1 if cells == BAR_WIDTH and upstream_ms < total_ms else cells
    return "█" * cells + "░" * (BAR_WIDTH - cells)


def _what(row: CallRow) -> str:
    return f"{row.server} › {row.tool or row.method or 'a call'}"


def _ending(row: CallRow, paint: Paint) -> str:
    known = row.outcome in HUES
    hue = HUES[Outcome(row.outcome) if row.outcome else None] if known else RED
    return paint(hue, row.outcome or row.status)


def _facts(row: CallRow, chat: Chat) -> Iterator[tuple[str, str]]:
    began = (row.started_at or row.created_at).astimezone()
    yield "when", f"{began.strftime('%Y-%m-%d %H:%M:%S.%f %z')}{_until(began, row.finished_at)}"
    client = " ".join(filter(None, (row.client_name, row.client_version)))
    era = f" ({row.client_era})" if row.client_era else ""
    key = f" (key {row.key_name})" if row.key_name else ""
    yield "who", f"{row.user or 'a user of another back end'}{key}{f', with {client}{era}' if client else era}"
    served = f" ({row.server_era})" if row.server_era else ""
    yield "where", f"{row.server}{served}, {' '.join(filter(None, (row.method, row.tool)))}"
    if row.error_message or row.reason:
        yield "error", ": ".join(filter(None, (row.reason, _one_line(row.error_message or ""))))
    if row.attempts > 1:
        yield "attempts", str(row.attempts)
    yield "chat", _chat(row, chat)
    if row.trace_id:
        yield "trace", row.trace_id


def _until(began: datetime, finished: datetime | None) -> str:
    if finished is None:
        return ""
    ended = finished.astimezone(began.tzinfo)
    return f" → {ended.strftime('%H:%M:%S.%f' if ended.date() == began.date() else '%Y-%m-%d %H:%M:%S.%f')}"


def _chat(row: CallRow, chat: Chat) -> str:
    how = {Link.AUTO: " (automatic)", Link.UNKNOWN: " (automatic: the client named none that exists)"}
    how[Link.FOREIGN] = " (automatic: the client named somebody else's)"
    title = f" “{_one_line(chat.title)}”" if chat.title else ""
    words = f"session {chat.session_uid or row.session_id}{title}{how.get(Link(row.link), '') if row.link else ''}"
    if row.link != Link.CLIENT:
        return words
    said = f": “{_one_line(chat.excerpt)[:60]}”" if chat.excerpt else ""
    return f"{words}, {chat.message_type or 'no'} message {chat.message_uid or row.message_id}{said}"


def _timings(row: CallRow, paint: Paint) -> Iterator[str]:
    if row.response_ms is None:
        return
    total = f"{row.response_ms:,.1f} ms"
    if row.upstream_ms is None:
        yield f"{paint(DIM, 'time'.ljust(LABEL_WIDTH))}{total}, none of it with the server"
        return
    bar = timing_bar(row.response_ms, row.upstream_ms)
    ours = max(0.0, row.response_ms - row.upstream_ms)
    yield f"{paint(DIM, 'time'.ljust(LABEL_WIDTH))}{paint(CYAN, bar)} {paint(BOLD, total)}"
    legend = f"█ server {row.upstream_ms:,.1f} ms  ░ gateway {ours:,.1f} ms"
    yield " " * LABEL_WIDTH + paint(DIM, legend)


def _rounds(row: CallRow, in_rounds: Sequence[CallRow], paint: Paint) -> Iterator[str]:
    yield from ("", paint(BOLD, "rounds"))
    for one in in_rounds:
        began = (one.started_at or one.created_at).astimezone().strftime("%H:%M:%S.%f")[:12]
        spent = "" if one.response_ms is None else f"{one.response_ms:,.1f} ms"
        mark = "▸" if one.id == row.id else " "
        yield f"{mark} {one.round:>2}  {one.call_uid}  {began}  {spent:>12}  {_ending(one, paint)}"


def _payload(name: str, side: Side, paint: Paint, *, full: bool) -> Iterator[str]:
    size = "" if side.total is None else f"{side.total:,} bytes"
    yield from ("", f"{paint(BOLD, name)}  {paint(DIM, size)}")
    if side.text is None:
        yield f"  {paint(YELLOW, 'not kept: ' + OMISSIONS.get(side.omitted or '', f'{side.omitted}'))}"
        return
    lines = _lines(side.text)
    shown = lines if full else [_cut(line) for line in lines[:MOST_LINES]]
    yield from (f"  {line}" for line in shown)
    if len(shown) < len(lines):
        yield f"  {paint(YELLOW, f'… {len(lines) - len(shown):,} more lines; --full shows them')}"
    if side.missing:
        yield f"  {paint(YELLOW, f'… {side.missing:,} more bytes were not kept (recording.payload_bytes)')}"


def _lines(text: bytes) -> list[str]:
    """Indented where it is whole JSON, else as it stands."""
    try:
        return unfolded(text)
    except UnicodeDecodeError:
        return _plain(text.decode("utf-8", "replace")).split("\n")


def _cut(line: str) -> str:
    if len(line) <= MOST_CHARS:
        return line
    return f"{line[:MOST_CHARS]}… {len(line) - MOST_CHARS:,} more characters; --full shows them"


def _why_none(row: CallRow) -> str:
    if row.outcome is None:
        return "the call is under way"
    return row.reason or row.outcome


def _plain(text: str) -> str:
    return harmless(text)


def _one_line(text: str) -> str:
    return " ".join(text.split())
