"""What calls tell health, and what health tells calls.

Which question: may this server be called now, and what does a finished call say of it? Touches the board, the
schedule and the metrics. The rule: calls are evidence that brings a probe forward; only probes change what is
believed of a server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from gateway.calls import CallFacts
from gateway.clock import Clock
from gateway.errors import GatewayError, Kind
from gateway.metrics import CallMetrics, MeasuredCall
from gateway.routing import Server
from health.board import Board
from health.recent import Counts
from storage import traffic
from storage.database import Database
from storage.records import Outcome

FAILED: Mapping[Outcome, bool] = {
    Outcome.OK: False,
    Outcome.INPUT_REQUIRED: False,
    Outcome.TOOL_ERROR: False,
    Outcome.PROTOCOL_ERROR: False,
    Outcome.UPSTREAM_ERROR: True,
    Outcome.TIMEOUT: True,
}
"""What an outcome says of its server; outcomes that are not here say nothing."""


class Jury(Protocol):
    """Who weighs the evidence; `health.scheduler.Scheduler` is the real one."""

    def evidence(self, server_id: int, *, failed: bool) -> None: ...


class Evidence:
    """The witness of every call, and the gatekeeper before it."""

    def __init__(
        self, board: Board, jury: Jury, metrics: CallMetrics, clock: Clock, relist: Callable[[int], None]
    ) -> None:
        self._board = board
        self._jury = jury
        self._metrics = metrics
        self._clock = clock
        self._relist = relist

    def refusal(self, server: Server) -> GatewayError | None:
        """Why `server` gets no calls now; None when it does."""
        found = self._board.refusal(server.id, self._clock.wall_us())
        if found is None:
            return None
        data = {"reason": found.reason, "retryAfter": found.retry_after}
        return GatewayError(Kind.SERVER_DOWN, found.text, data=data, reason=found.reason)

    def call_started(self, server: Server) -> None:
        """A call has begun."""
        self._metrics.call_started(server.slug)

    def call_finished(self, facts: CallFacts) -> None:
        """A call has ended: count it, and let health weigh it."""
        outcome = facts.ending.outcome
        self._metrics.call_finished(
            MeasuredCall(
                server=facts.server.slug,
                method=facts.method,
                tool=facts.tool,
                outcome=outcome,
                client_era=facts.client_era.value,
                server_era=None if facts.server_era is None else facts.server_era.value,
                total_us=facts.total_us,
                upstream_us=facts.upstream_us if facts.sent else None,
            )
        )
        if outcome in FAILED:
            self._jury.evidence(facts.server.id, failed=FAILED[outcome])

    def catalog_changed(self, server: Server) -> None:
        """The server says so: list it again."""
        self._relist(server.id)


async def recent_calls(db: Database, server_id: int) -> Counts:
    """What the recorded calls of the last five minutes say of a server. Raises `StorageError`."""
    found = (await traffic.recent(db, server_id)).get(server_id)
    if found is None:
        return Counts()
    return Counts(found.counted, found.successes, timed=found.successes, total_us=found.success_us)
