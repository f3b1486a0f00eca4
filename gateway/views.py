"""Endpoints as some clients alone see them.

Which question: how does an endpoint look with these catalogs in place of the ones that everybody sees? Touches memory
alone. The rule: a view is built from values and kept for a while; clients that see the same share it, and the catalogs
in it are told apart by who may see them before they get here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from gateway.routing import Endpoint, Shelf, overlaid

MOST = 64
"""Views that are kept; one of a large endpoint takes megabytes."""

Own = Mapping[int, Shelf]
"""Server id → what it offers to one client alone."""

_Key = tuple[str, tuple[tuple[int, bytes], ...]]


class Views:
    """Builds and keeps views, the least recently used going first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, tuple[Endpoint, Endpoint]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def over(self, endpoint: Endpoint, own: Own) -> Endpoint:
        """`endpoint` with its servers offering what `own` says; `endpoint` itself when that is nothing else."""
        marks = {server_id: shelf.catalog.sha256 for server_id, shelf in own.items() if shelf.catalog is not None}
        differing = {s.server.id: marks[s.server.id] for s in endpoint.shelves if _differs(s, marks)}
        if not differing:
            return endpoint
        key = (endpoint.key, tuple(sorted(differing.items())))
        base, view = self._kept.pop(key, (None, endpoint))
        if base is not endpoint:
            view = overlaid(endpoint, {server_id: own[server_id] for server_id in differing})
        self._kept[key] = (endpoint, view)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return view


def _differs(shelf: Shelf, marks: Mapping[int, bytes]) -> bool:
    mark = marks.get(shelf.server.id)
    return mark is not None and (shelf.catalog is None or shelf.catalog.sha256 != mark)
