"""Lists, page by page.

Which question: which part of a list comes next? Pure. The rule: a cursor names the last entry of the page before, so
that it survives a change of the list as long as that entry is still there.

MCP 2026-07-28 `server/utilities/pagination`.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from gateway.errors import GatewayError, Kind
from gateway.protocol.listed import Listed
from gateway.protocol.versions import Era
from gateway.routing import Book, Endpoint

PAGE_SIZE = 1_000


def page(endpoint: Endpoint, listed: Listed, era: Era, cursor: str | None) -> tuple[list[bytes], str | None]:
    """One page of definitions and the cursor of the next. Raises INVALID_PARAMS for a cursor that is not ours."""
    book = endpoint.books[listed]
    start = 0 if cursor is None else _after(book, listed, cursor)
    chosen = book.entries[start : start + PAGE_SIZE]
    more = start + PAGE_SIZE < len(book.entries)
    return [entry.text[era] for entry in chosen], _cursor(listed, chosen[-1].exposed) if more else None


def _cursor(listed: Listed, last: str) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([listed.value, last])).rstrip(b"=").decode()


def _after(book: Book, listed: Listed, cursor: str) -> int:
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        kind, last = msgspec.json.decode(raw, type=tuple[str, str])
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise GatewayError(Kind.INVALID_PARAMS, "the cursor was not issued here; list again without it") from error
    if kind != listed or last not in book.positions:
        raise GatewayError(Kind.INVALID_PARAMS, "the list has changed since this cursor; list again without it")
    return book.positions[last] + 1
