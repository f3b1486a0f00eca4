"""What servers offer to a caller who sends them headers of his own.

Which question: what does this server list for these headers? Touches the servers, and the clock that it is given. The
rule: a list that was asked for with one user's headers is shown to that user with those headers, and to nobody else;
headers are not kept, only what tells them apart.

MCP 2026-07-28 `server/tools` (lists may vary by authorization).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.fleet import catalog_of
from gateway.live import Source
from gateway.request import Request
from gateway.routing import Endpoint, Shelf, shelf
from gateway.upstream.values import Forward
from storage.tasks import Tasks

log = logging.getLogger(__name__)

KEPT_SECONDS = 30.0
RETRIED_SECONDS = 5.0
"""How long a list is shown before it is asked for again, and how long one that could not be had is not."""

MOST = 128
"""Lists that are kept."""

WAITED_SECONDS = 2.0
LISTED_WITHIN = 30.0
"""How long a client waits for its list, and how long the server has for it."""

_Key = tuple[int, bytes, int, bytes]


@dataclass(frozen=True, slots=True)
class _Kept:
    """`shelf` None: the list could not be had. `base` is what everybody saw when it was asked for."""

    shelf: Shelf | None
    base: Shelf
    until: float


class Contexts:
    """The lists of callers with headers, the least recently used going first."""

    def __init__(self, source: Source, tasks: Tasks, clock: Clock) -> None:
        self._source = source
        self._tasks = tasks
        self._clock = clock
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._asking: dict[_Key, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    async def of(self, request: Request, endpoint: Endpoint) -> Mapping[int, Shelf]:
        """Server id → what it offers to the caller of `request`, of the servers that get headers of his. Waits two
        seconds at most; who has no list by then sees what everybody does, or what he saw last.
        """
        wanted = {}
        for base in endpoint.personal:
            if headers := request.headers_for(base.server):
                wanted[base.server.id] = self._fresh(_key(base, request, headers), base, request, headers)
        if asking := {task for key in wanted.values() if (task := self._asking.get(key)) is not None}:
            await asyncio.wait(asking, timeout=WAITED_SECONDS)
        kept = {server_id: self._kept[key].shelf for server_id, key in wanted.items() if key in self._kept}
        return {server_id: own for server_id, own in kept.items() if own is not None}

    def _fresh(self, key: _Key, base: Shelf, request: Request, headers: Mapping[str, str]) -> _Key:
        """The key; a list that is too old, or older than what everybody sees, is being asked for."""
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
        if key not in self._asking and (
            kept is None or kept.until <= self._clock.now() or kept.base.catalog is not base.catalog
        ):
            task = self._asking[key] = self._tasks.spawn(self._ask(key, base, _asking(request, headers)), "list")
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return key

    async def _ask(self, key: _Key, base: Shelf, call: Forward) -> None:
        upstream = self._source.live.upstreams.get(base.server.id)
        before, found = self._kept.get(key), None
        try:
            if upstream is not None:
                async with asyncio.timeout(LISTED_WITHIN):
                    found = await upstream.discover_for(call)
        except (GatewayError, TimeoutError) as error:
            log.debug("a caller's own list could not be had: %s", error)
        now = self._clock.now()
        if found is None:
            last = None if before is None else before.shelf
            self._keep(key, _Kept(last, base, now + RETRIED_SECONDS))
        else:
            own = shelf(base.server, catalog_of(found, None, self._clock.wall_us()))
            self._keep(key, _Kept(own, base, now + KEPT_SECONDS))

    def _keep(self, key: _Key, kept: _Kept) -> None:
        self._kept[key] = kept
        self._kept.move_to_end(key)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)


def _key(base: Shelf, request: Request, headers: Mapping[str, str]) -> _Key:
    told = hashlib.sha256(repr(sorted(headers.items())).encode("utf-8", "surrogateescape")).digest()
    return base.server.id, base.server.revision, request.caller.user_id, told


def _asking(request: Request, headers: Mapping[str, str]) -> Forward:
    """Who asks, as the server sees it; what is asked is the server's lists."""
    return Forward("tools/list", None, {}, {}, request.client, request.scope, headers)
