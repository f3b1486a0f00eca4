"""What servers offer to callers of one kind: with headers of their own, or with capabilities that the house has not.

Which question: what does this server list for this caller? Touches the servers, and the clock that it is given. The
rule: a list that was asked for with one user's headers is shown to that user with those headers, and to nobody else;
headers are not kept, only what tells them apart.

MCP 2026-07-28 `server/tools` (lists may vary by authorization), MCP 2025-11-25 `basic/lifecycle` (a server knows what
its client can do before it lists).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.catalog import Catalog
from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.fleet import catalog_of
from gateway.live import Source
from gateway.protocol.edits import opened
from gateway.protocol.versions import Era
from gateway.request import Request
from gateway.routing import Endpoint, Shelf, shelf
from gateway.upstream.scopes import OF_ONE_CLIENT
from gateway.upstream.values import Forward
from storage.tasks import Tasks

log = logging.getLogger(__name__)

PERSONAL_SECONDS = 30.0
COMMON_SECONDS = 600.0
RETRIED_SECONDS = 5.0
"""How long a list is shown before it is asked for again: one for a caller's headers, one for capabilities that many
share, and one that could not be had.
"""

MOST = 128
"""Lists that are kept."""

WAITED_SECONDS = 2.0
LISTED_WITHIN = 30.0
"""How long a client waits for its list, and how long the server has for it."""


@dataclass(frozen=True, slots=True)
class _Context:
    """Tells callers apart: `user_id` and `headers`, a digest, are 0 and b"" for those who send none."""

    server_id: int
    revision: bytes
    user_id: int
    headers: bytes
    capabilities: bytes

    @property
    def lasts(self) -> float:
        return PERSONAL_SECONDS if self.headers else COMMON_SECONDS


@dataclass(frozen=True, slots=True)
class _Kept:
    """`shelf` None: the list could not be had. `mark` tells what everybody saw when it was asked for."""

    shelf: Shelf | None
    mark: bytes
    until: float


class Contexts:
    """The lists of such callers, the least recently used going first."""

    def __init__(self, source: Source, tasks: Tasks, clock: Clock) -> None:
        self._source = source
        self._tasks = tasks
        self._clock = clock
        self._kept: OrderedDict[_Context, _Kept] = OrderedDict()
        self._asking: dict[_Context, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    async def of(self, request: Request, endpoint: Endpoint) -> Mapping[int, Shelf]:
        """Server id → what it offers to the caller of `request`, of the servers that may tell him from others. Waits
        two seconds at most, and only where nothing is known or everybody's list has changed since; who has no list by
        then sees what everybody does.
        """
        wanted = {base.server.id: found for base in endpoint.shelves if (found := _context(request, base)) is not None}
        bases = {base.server.id: base for base in endpoint.shelves}
        waiting = {
            task
            for server_id, context in wanted.items()
            if (task := self._refreshed(context, bases[server_id], request)) is not None
        }
        if waiting:
            await asyncio.wait(waiting, timeout=WAITED_SECONDS)
        kept = {server_id: self._kept[context].shelf for server_id, context in wanted.items() if context in self._kept}
        return {server_id: own for server_id, own in kept.items() if own is not None}

    def _refreshed(self, context: _Context, base: Shelf, request: Request) -> asyncio.Task[None] | None:
        """What to wait for before the list is shown; one that is merely old is asked for meanwhile."""
        kept = self._kept.get(context)
        known = kept is not None and kept.mark == _mark(base)
        if kept is not None:
            self._kept.move_to_end(context)
            if known and kept.until > self._clock.now():
                return None
        task = self._asking.get(context)
        if task is None:
            task = self._asking[context] = self._tasks.spawn(self._ask(context, base, _asking(request, base)), "list")
            task.add_done_callback(lambda _: self._asking.pop(context, None))
        return None if known else task

    async def _ask(self, context: _Context, base: Shelf, call: Forward) -> None:
        upstream = self._source.live.upstreams.get(context.server_id)
        before = self._kept.get(context)
        found: Catalog | None = None
        try:
            if upstream is not None:
                async with asyncio.timeout(LISTED_WITHIN):
                    found = catalog_of(await upstream.discover_for(call), base.catalog, self._clock.wall_us())
        except (GatewayError, TimeoutError) as error:
            log.debug("a list of %s for some callers could not be had: %s", base.server.slug, error)
        now = self._clock.now()
        if found is None:
            last = None if before is None else before.shelf
            self._keep(context, _Kept(last, _mark(base), now + RETRIED_SECONDS))
        else:
            own = base if found.sha256 == _mark(base) else shelf(base.server, found)
            self._keep(context, _Kept(own, _mark(base), now + context.lasts))

    def _keep(self, context: _Context, kept: _Kept) -> None:
        self._kept[context] = kept
        self._kept.move_to_end(context)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)


def _context(request: Request, base: Shelf) -> _Context | None:
    """None for a caller to whom the server offers what it offers to everybody."""
    headers, able = request.headers_for(base.server), _abilities(request, base)
    if not headers and not able:
        return None
    told = hashlib.sha256(repr(sorted(headers.items())).encode("utf-8", "surrogateescape")).digest() if headers else b""
    user_id = request.caller.user_id if headers else 0
    return _Context(base.server.id, base.server.revision, user_id, told, able)


def _abilities(request: Request, base: Shelf) -> bytes:
    """A digest of what the client says that it can do, if the server gets to know; b"" for a client that can do
    nothing but listen, as the house.
    """
    said, era = request.client.capabilities, None if base.catalog is None else base.catalog.era
    told = era is request.era and (era is Era.MODERN or base.server.spec.isolation in OF_ONE_CLIENT)
    if not told or said is None or not opened(said):
        return b""
    return hashlib.sha256(bytes(said)).digest()


def _mark(base: Shelf) -> bytes:
    return b"" if base.catalog is None else base.catalog.sha256


def _asking(request: Request, base: Shelf) -> Forward:
    """Who asks, as the server sees him, in a session that ends with the question; what is asked is the lists."""
    headers = request.headers_for(base.server)
    return Forward("tools/list", None, {}, {}, request.client, request.scope, headers, alone=True)
