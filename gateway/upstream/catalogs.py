"""All that one server offers, page by page.

Which question: which tools does this server have? Touches one line. The rule: an entry that cannot be used costs
itself alone, and a list that never ends costs a bounded number of pages; each leaves a reason.

MCP `server/tools` (Listing Tools), `server/utilities/pagination`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol import jsonrpc, surrogates
from gateway.upstream.asking import Asker
from gateway.upstream.line import Line
from gateway.upstream.wire import opened

MOST_PAGES = 1_000
MOST_TOOLS = 20_000
MOST_FLAWS = 20

_LIST = msgspec.json.Decoder(list[Raw])


class Listing:
    """The tools found so far, by name, and what was wrong with the rest."""

    def __init__(self) -> None:
        self._tools: dict[str, Raw] = {}
        self._flaws: list[str] = []

    @property
    def tools(self) -> tuple[Raw, ...]:
        """The definitions in the server's order, each with its own copy of the bytes."""
        return tuple(self._tools.values())

    @property
    def flaws(self) -> tuple[str, ...]:
        return tuple(self._flaws)

    @property
    def full(self) -> bool:
        return len(self._tools) >= MOST_TOOLS

    def add(self, definition: Raw) -> None:
        """Take in one entry of a page."""
        name = _name(definition)
        if self.full:
            self.complain(f"the server lists more than {MOST_TOOLS} tools; the rest was left out")
        elif not name:
            self.complain("a tool without a name was left out")
        elif name in self._tools:
            self.complain(f"the tool {name[:64]!r} is listed twice; the first counts")
        else:
            self._tools[name] = jsonrpc.copy(definition)

    def complain(self, flaw: str) -> None:
        """Keep a reason, each once, and not too many."""
        if flaw not in self._flaws and len(self._flaws) < MOST_FLAWS:
            self._flaws.append(flaw)


async def list_tools(asker: Asker, line: Line) -> Listing:
    """Every page of `tools/list`. Raises `GatewayError` when a page does not come."""
    listing, seen = Listing(), set[bytes]()
    cursor: Raw | None = None
    for _ in range(MOST_PAGES):
        answer = await asker.ask(line, "tools/list", None if cursor is None else {"cursor": cursor})
        page = opened(answer.result(), "answer to tools/list")
        for definition in _definitions(page):
            listing.add(definition)
        cursor = _cursor(page)
        if cursor is None or listing.full:
            return listing
        if bytes(cursor) in seen:
            listing.complain("the list leads back to a page that was seen before; it was cut there")
            return listing
        seen.add(bytes(cursor))
    listing.complain(f"the list has more than {MOST_PAGES} pages; it was cut there")
    return listing


def _definitions(page: Mapping[str, Raw]) -> list[Raw]:
    tools = page.get("tools", Raw(b"null"))
    try:
        return _LIST.decode(tools)
    except msgspec.ValidationError:
        words = "the answer to tools/list holds no list of tools"
        raise GatewayError(Kind.SERVER_PROTOCOL, words, reason="protocol") from None
    except msgspec.DecodeError:  # a lone surrogate somewhere in the list
        return [Raw(surrogates.unveiled(bytes(raw))) for raw in _LIST.decode(surrogates.veiled(bytes(tools)))]


def _cursor(page: Mapping[str, Raw]) -> Raw | None:
    """The cursor of the next page, an empty string included; None at the end."""
    cursor = page.get("nextCursor")
    return cursor if cursor is not None and jsonrpc.string(cursor) is not None else None


def _name(definition: Raw) -> str | None:
    try:
        return jsonrpc.string(jsonrpc.members(definition).get("name", b"null"))
    except jsonrpc.NotAnObject:
        return None
