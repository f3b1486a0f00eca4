"""All that one server offers, list by list and page by page.

Which question: which tools, prompts and resources does this server have? Touches one line. The rule: an entry that
cannot be used costs itself alone, a list beside the tools that cannot be had is missing alone, and a list that never
ends costs a bounded number of pages; each leaves a reason.

MCP `server/tools`, `server/prompts`, `server/resources`, `server/utilities/pagination`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
from msgspec import Raw

from gateway.errors import JSONRPC_CODE, GatewayError, Kind
from gateway.protocol import jsonrpc, surrogates
from gateway.protocol.listed import Listed
from gateway.protocol.mirrors import BadAnnotation, mirrors_of
from gateway.protocol.versions import Era
from gateway.upstream.asking import HOUSE, Asker, Behalf
from gateway.upstream.line import Greeting, Line
from gateway.upstream.wire import opened

METHOD_NOT_FOUND = JSONRPC_CODE[Kind.METHOD_NOT_FOUND]
LISTED_WITHIN = 600.0
"""Seconds for all lists of one server: a slow page costs its own wait, a thousand of them must have an end."""
MOST_PAGES = 1_000
MOST_ENTRIES = 20_000
MOST_FLAWS = 20

_LIST = msgspec.json.Decoder(list[Raw])


class Listing:
    """The entries of one kind found so far, by name, and what was wrong with the rest; `missing`: there is such a
    list, but it could not be had.
    """

    def __init__(self, listed: Listed) -> None:
        self.missing = False
        self._listed = listed
        self._entries: dict[str, Raw] = {}
        self._flaws: list[str] = []

    @property
    def entries(self) -> tuple[Raw, ...]:
        """The definitions in the server's order, each with its own copy of the bytes."""
        return tuple(self._entries.values())

    @property
    def flaws(self) -> tuple[str, ...]:
        return tuple(self._flaws)

    @property
    def full(self) -> bool:
        return len(self._entries) >= MOST_ENTRIES

    def add(self, definition: Raw, *, mirrored: bool) -> None:
        """Take in one entry of a page. `mirrored`: arguments travel in headers as well, so that nobody may call a
        tool which says wrongly which ones (MCP 2026-07-28 `basic/transports/streamable-http`); elsewhere what it says
        is not passed on.
        """
        word, name = self._listed.method.partition("/")[0].removesuffix("s"), self._name(definition)
        if self.full:
            self.complain(f"the server lists more than {MOST_ENTRIES} {word}s; the rest was left out")
        elif not name:
            self.complain(f"a {word} without a {self._listed.key} was left out")
        elif name in self._entries:
            self.complain(f"the {word} {name[:64]!r} is listed twice; the first counts")
        elif (why := self._misannotated(definition)) is None:
            self._entries[name] = jsonrpc.copy(definition)
        elif mirrored:
            self.complain(f"the tool {name[:64]!r} was left out: {why}")
        else:
            self.complain(f"the tool {name[:64]!r} is shown without its annotations: {why}")
            self._entries[name] = jsonrpc.copy(definition)

    def complain(self, flaw: str) -> None:
        """Keep a reason, each once, and not too many."""
        if flaw not in self._flaws and len(self._flaws) < MOST_FLAWS:
            self._flaws.append(flaw)

    def _name(self, definition: Raw) -> str | None:
        try:
            return jsonrpc.string(jsonrpc.members(definition).get(self._listed.key, b"null"))
        except jsonrpc.NotAnObject:
            return None

    def _misannotated(self, definition: Raw) -> str | None:
        try:
            mirrors_of(definition if self._listed is Listed.TOOLS else Raw(b"{}"))
        except BadAnnotation as bad:
            return str(bad)
        return None


def listable(greeting: Greeting) -> tuple[Listed, ...]:
    """What the server advertises; the list of anything else is answered with an error."""
    advertised = {} if greeting.capabilities is None else opened(greeting.capabilities, "capabilities")
    return tuple(listed for listed in Listed if listed.capability in advertised)


async def list_all(
    asker: Asker, line: Line, greeting: Greeting, behalf: Behalf = HOUSE, within: float = LISTED_WITHIN
) -> Mapping[Listed, Listing]:
    """Every list that the server advertises, as it shows them to `behalf`. Raises `GatewayError` when its tools do not
    come, and when not all is said after `within` seconds: whoever lists a server waits for this, and lists it again
    only afterwards.
    """
    try:
        async with asyncio.timeout(within):
            return await _list_each(asker, line, greeting, behalf)
    except TimeoutError:
        raise GatewayError(Kind.TIMEOUT, f"the lists did not end within {within:g} s", reason="absolute") from None


async def _list_each(asker: Asker, line: Line, greeting: Greeting, behalf: Behalf) -> Mapping[Listed, Listing]:
    found = {}
    for listed in listable(greeting):
        try:
            found[listed] = await list_entries(asker, line, listed, behalf)
        except GatewayError as error:
            if listed is Listed.TOOLS or error.unsent:
                raise
            found[listed] = Listing(listed)
            found[listed].missing = True
            found[listed].complain(f"{listed.method} failed: {error.message}")
    return found


async def list_entries(asker: Asker, line: Line, listed: Listed, behalf: Behalf = HOUSE) -> Listing:
    """Every page of one list; none where the server does not know the method. Raises `GatewayError` when a page does
    not come.
    """
    mirrored = listed is Listed.TOOLS and line.era is Era.MODERN
    listing, seen = Listing(listed), set[bytes]()
    cursor: Raw | None = None
    for _ in range(MOST_PAGES):
        answer = await asker.ask(line, listed.method, None if cursor is None else {"cursor": cursor}, behalf)
        if answer.refusal is not None and answer.refusal.code == METHOD_NOT_FOUND:
            if listed is not Listed.TEMPLATES:  # servers with resources need not have any
                listing.complain(f"the server advertises {listed.capability} and does not know {listed.method}")
            return listing
        page = opened(answer.result(), f"answer to {listed.method}")
        for definition in _definitions(page, listed):
            listing.add(definition, mirrored=mirrored)
        cursor = _cursor(page)
        if cursor is None or listing.full:
            return listing
        if bytes(cursor) in seen:
            listing.complain("the list leads back to a page that was seen before; it was cut there")
            return listing
        seen.add(bytes(cursor))
    listing.complain(f"the list has more than {MOST_PAGES} pages; it was cut there")
    return listing


def _definitions(page: Mapping[str, Raw], listed: Listed) -> list[Raw]:
    entries = page.get(listed.value, Raw(b"null"))
    try:
        return _LIST.decode(entries)
    except msgspec.ValidationError:
        words = f"the answer to {listed.method} holds no list of {listed}"
        raise GatewayError(Kind.SERVER_PROTOCOL, words, reason="protocol") from None
    except msgspec.DecodeError:  # a lone surrogate somewhere in the list
        return [Raw(surrogates.unveiled(bytes(raw))) for raw in _LIST.decode(surrogates.veiled(bytes(entries)))]


def _cursor(page: Mapping[str, Raw]) -> Raw | None:
    """The cursor of the next page, an empty string included; None at the end."""
    cursor = page.get("nextCursor")
    return cursor if cursor is not None and jsonrpc.string(cursor) is not None else None
