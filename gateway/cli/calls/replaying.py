"""`mcp-gateway calls replay`: a recorded call once more, and what its answer has become.

Which question: does the server still answer as it did? Touches the database, read only, and the running gateway, as
`call` does. The rule: nothing is sent again that could change anything: a tool must call itself read-only, and the
request must be whole and without redactions.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any

from msgspec import Raw

from gateway.call_search import Asked, wanted
from gateway.call_shapes import Side, json_text, request_of, response_of
from gateway.cli.call import KEY_VARIABLE, answered, default_url, hear, refusal, usable_key
from gateway.cli.calls.choosing import explained, meant
from gateway.cli.calls.difference import bare, same, unified
from gateway.cli.client import Client, Refused, Target, connected
from gateway.cli.colours import BOLD, GREEN, YELLOW, Paint
from gateway.cli.common import add_config_argument, database_in, opened
from gateway.cli.durations import seconds
from gateway.cli.failures import Failed, Misused
from gateway.protocol import headers, texts
from gateway.protocol.results import error_for
from gateway.protocol.texts import NotAnObject
from gateway.protocol.versions import Era
from gateway.redact import MARK, Redactor
from storage import catalogs, registry
from storage.call_details import CallDetail, find
from storage.calls import CallRow
from storage.database import Database
from storage.errors import StorageError
from storage.records import Outcome

SAME, DIFFERS = 0, 1
READ_ONLY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""What is sent again, and the member that names it; of tools only those that call themselves read-only."""

NOT_SENT = frozenset({"_meta", "inputResponses", "requestState"})


@dataclass(frozen=True, slots=True)
class Again:
    """A call that may be sent again: `params` are what was asked, `answer` what came of it, None where nothing did."""

    call: CallDetail
    slug: str
    params: Mapping[str, Raw]
    answer: bytes | None


class CouldNot(Misused):
    """Nothing could be compared."""


def add_verb(verbs: Any) -> None:
    """Add `calls replay`."""
    parser = verbs.add_parser(
        "replay",
        help="send a read-only call again, and show how the answer differs",
        description="Send a read-only call again through the running gateway, and show how the answer differs. "
        "Exit code 0: the same, 1: it differs, 2: it could not be compared.",
    )
    parser.add_argument("uid", metavar="UID", help="the call's uid, or as much of it as no other has")
    parser.add_argument("--server", metavar="S", dest="at", help="send it to this server instead")
    parser.add_argument("--url", help="the gateway's MCP endpoint (default: where the configuration listens)")
    parser.add_argument("--key", help=f"API key (default: ${KEY_VARIABLE})")
    parser.add_argument("--timeout", type=seconds, default=300.0, metavar="S", help="seconds to wait (default: 300)")
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON object")
    add_config_argument(parser, inherited=True)
    parser.set_defaults(handler=replay, parser=parser)


async def replay(arguments: argparse.Namespace) -> int:
    """Send, compare, print."""
    url = (arguments.url or default_url(arguments.config)).removesuffix("/").removesuffix("/mcp")
    key = usable_key(arguments.key or os.environ.get(KEY_VARIABLE))
    try:
        async with opened(database_in(arguments.config)) as db:
            again = await _again(db, arguments.uid, arguments.at)
        began = monotonic()
        async with asyncio.timeout(arguments.timeout):
            new = await _sent(again, Target(f"{url}/servers/{again.slug}/mcp", key))
        _members(new, "the new answer")
        spent = (monotonic() - began) * 1_000
    except TimeoutError as error:
        raise CouldNot(f"no answer within {arguments.timeout:g} s; --timeout waits longer") from error
    except (Failed, StorageError) as error:
        raise CouldNot(str(error)) from error
    return _tell(again, new, spent, as_json=arguments.json)


async def _again(db: Database, uid: str, at: str | None) -> Again:
    row = await meant(db, uid)
    call = await find(db, row.call_uid or "")
    if call is None:
        raise CouldNot(f"the call {row.call_uid} has been removed just now")
    params = _params(call)
    slug = await _slug(db, at or row.server)
    if row.method == "tools/call":
        await _check_harmless(db, slug, texts.word(params["name"]) or "")
    return Again(call, slug, params, _answer(call))


def _params(call: CallDetail) -> Mapping[str, Raw]:
    """What was asked, byte for byte. Raises `CouldNot`."""
    row, side = call.row, request_of(call)
    if row.method not in READ_ONLY:
        raise CouldNot(f"{row.method or 'this call'} is not sent again; {', '.join(READ_ONLY)} are")
    text = _whole(side, "the request")
    if MARK in text:
        raise CouldNot("the request holds [redacted] where a secret was; what was really sent is not known")
    members = _members(text, "the request")
    if "inputResponses" in members:
        raise CouldNot(f"the call is round {row.round} of an operation, and answers what the server asked in another")
    if READ_ONLY[row.method] not in members:
        raise CouldNot(f"the request names no {READ_ONLY[row.method]}")
    return {name: value for name, value in members.items() if name not in NOT_SENT}


def _answer(call: CallDetail) -> bytes | None:
    """What came of it, an error as its client saw it."""
    side, row = response_of(call), call.row
    if side is None:
        return None
    text = _whole(side, "the answer")
    members = _members(text, "the answer")
    if row.outcome != Outcome.PROTOCOL_ERROR or "code" not in members:
        return text
    server = Era(row.server_era) if row.server_era in list(Era) else None
    return bytes(error_for(Raw(text), client=_era(row), server=server))


def _members(text: bytes, what: str) -> dict[str, Raw]:
    try:
        return texts.members(text)
    except NotAnObject as error:
        raise CouldNot(f"{what} is no JSON object") from error


def _era(row: CallRow) -> Era:
    return Era(row.client_era) if row.client_era in list(Era) else Era.MODERN


def _whole(side: Side, what: str) -> bytes:
    if side.text is None:
        raise CouldNot(f"{what} was not kept ({side.omitted})")
    if side.missing:
        raise CouldNot(f"{what} was not kept to its end: {side.missing:,} of {side.total:,} bytes are missing")
    return side.text


async def _slug(db: Database, server: str) -> str:
    with explained():
        found = (await wanted(db, Asked(server=server), datetime.now().astimezone())).server
    known = {row.slug: row for row in await registry.load(db)}
    if found not in known or not known[found].enabled:
        raise CouldNot(f"the server {server} is not registered any more; --server names another")
    return found or ""


async def _check_harmless(db: Database, slug: str, name: str) -> None:
    """Raises `CouldNot` unless the server says that the tool changes nothing (MCP 2026-07-28 `server/tools`,
    `annotations.readOnlyHint`).
    """
    [server_id] = [row.id for row in await registry.load(db) if row.slug == slug]
    catalog = await catalogs.load(db, server_id)
    tools = {} if catalog is None else {texts.word(texts.members(tool)["name"]): tool for tool in catalog.tools}
    if name not in tools:
        raise CouldNot(f"{slug} offers no tool {name}, as far as is known; `servers --tools` shows what it offers")
    annotations = texts.members(tools[name]).get("annotations", Raw(b"{}"))
    if not texts.is_object(annotations) or bytes(texts.members(annotations).get("readOnlyHint", b"")) != b"true":
        raise CouldNot(
            f"the tool {name} of {slug} does not call itself read-only (annotations.readOnlyHint): sent again it might "
            "do again what it did; use `call` if it shall"
        )


async def _sent(again: Again, target: Target) -> bytes:
    """The result, or the error object where an error was recorded."""
    try:
        async with connected(target, _era(again.call.row), hear) as client:
            return await _asked(client, again)
    except Refused as error:
        if again.call.row.outcome != Outcome.PROTOCOL_ERROR:
            raise CouldNot(refusal(error)) from error
        data = {} if error.data is None else {"data": error.data}
        return bytes(texts.text({"code": error.code, "message": error.message, **data}))


async def _asked(client: Client, again: Again) -> bytes:
    method, params = again.call.row.method or "", again.params
    if method == "tools/call":
        return await answered(client, texts.word(params["name"]) or "", params.get("arguments", Raw(b"{}")))
    name = texts.word(params[READ_ONLY[method]]) or ""
    return await client.request(method, params, {headers.NAME: headers.encode(name)})


def _tell(again: Again, new: bytes, spent: float, *, as_json: bool) -> int:
    row = again.call.row
    old = bare(again.answer or b"{}")
    fresh = bare(Redactor().redact(new) if MARK in old else new)
    is_same = again.answer is not None and same(old, fresh)
    if as_json:
        told = {"call_uid": row.call_uid, "server": again.slug, "same": is_same, "ms": round(spent, 3)}
        recorded = None if again.answer is None else Raw(old)
        print(json_text({**told, "recorded": recorded, "replayed": Raw(fresh)}).decode())
        return SAME if is_same else DIFFERS
    began = (row.started_at or row.created_at).astimezone()
    then = f"recorded {began.strftime('%Y-%m-%d %H:%M:%S')}"
    if not is_same:
        names = (f"{row.server}, {then}", f"{again.slug}, now")
        print("\n".join(unified(old, fresh, names, Paint.on(sys.stdout))), flush=True)
    paint = Paint.on(sys.stderr)
    verdict = paint(GREEN, "the same answer") if is_same else paint(YELLOW, "another answer")
    took = "" if row.response_ms is None else f" ({row.response_ms:,.1f} ms then, {spent:,.1f} ms now)"
    none = "" if again.answer is not None else f"; then there was none ({row.outcome or row.status})"
    print(f"{paint(BOLD, again.slug)} › {row.tool or row.method}: {verdict}{none}{took}", file=sys.stderr)
    return SAME if is_same else DIFFERS
