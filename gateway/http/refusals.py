"""What the log tells of requests that were turned away at the door.

Which question: why do somebody's requests not get in, and whose are they? Touches the log. The rule: whoever hammers at
the door does not fill the log: of one reason a line a minute, with the number of those that it stands for.

These requests became no call and have no record; the client has the same words in its answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from gateway.errors import HTTP_STATUS, GatewayError, Kind

log = logging.getLogger(__name__)

QUIET_SECONDS = 60.0
SHOWN_CHARS = 100
USUAL = frozenset({Kind.METHOD_NOT_ALLOWED})
"""What clients try in good order: GET without a session asks for a stream that they can do without."""


@dataclass(slots=True)
class _Quiet:
    until: float
    untold: int = 0


class RefusalLog:
    """`clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._quiet: dict[Kind, _Quiet] = {}

    def tell(self, request: web.BaseRequest, error: GatewayError) -> None:
        """This request was refused."""
        if error.kind in USUAL:
            return
        now, quiet = self._clock(), self._quiet.get(error.kind)
        if quiet is not None and now < quiet.until:
            quiet.untold += 1
            return
        untold = quiet.untold if quiet else 0
        self._quiet[error.kind] = _Quiet(now + QUIET_SECONDS)
        log.info(
            "refused %s %r from %s with %d: %s%s",
            request.method,
            request.path[:SHOWN_CHARS],
            request.remote,
            HTTP_STATUS[error.kind],
            error.message,
            f" (and {untold} more for this reason since it was last told)" if untold else "",
        )
