"""May this gateway get traffic, and if not, why?

Which question: what does an orchestrator read on `/readyz`? Touches what the checks touch. The rule: a check ends in a
`Reason` within a second and never raises; what an administrator should know but traffic survives is a warning. While
calls can be served and recorded the gateway is ready: a database that is away takes no replica out of service.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.routing import RoutingTable
from storage.errors import StorageError

FRESH_SECONDS = 1.0
"""How long the database's answer counts: the endpoint is open, and whoever polls it must not become load."""

PATIENCE_SECONDS = 0.8
"""How long the database may take: orchestrators give `/readyz` a second unless told otherwise."""


SHOWN_NAMES = 20
"""Hidden names that are told one by one."""


@dataclass(frozen=True, slots=True)
class Reason:
    """What one check found. `detail` is one line for a human, without secrets; a `warning` is told, but does not
    take the gateway out of service.
    """

    check: str
    ok: bool
    detail: str
    warning: bool = False

    @property
    def ready(self) -> bool:
        return self.ok or self.warning

    @property
    def degraded(self) -> bool:
        """Something is wrong, and traffic survives it."""
        return self.warning and not self.ok


Check = Callable[[], Awaitable[Reason]]


class Backlog(Protocol):
    """What waits to be written; `storage.writer.Writer` has it."""

    @property
    def is_full(self) -> bool: ...

    @property
    def pending(self) -> int: ...

    @property
    def trouble(self) -> str | None: ...


class Shown(Protocol):
    """Who is told what was found; `gateway.metrics.ReadinessMetrics` is the real one."""

    def found(self, *, ready: bool, degraded: Mapping[str, bool]) -> None: ...


class Readiness:
    """Runs every check, and shows what they found in the metrics."""

    def __init__(self, checks: Mapping[str, Check], metrics: Shown) -> None:
        self._checks = checks
        self._metrics = metrics

    async def reasons(self) -> list[Reason]:
        """What every check found, in the order in which they were given."""
        found = list(await asyncio.gather(*(check() for check in self._checks.values())))
        self._metrics.found(
            ready=all(reason.ready for reason in found), degraded={reason.check: reason.degraded for reason in found}
        )
        return found


class DatabaseCheck:
    """Whether the database answers and has the schema of this version; a warning if not, since calls pass and their
    records wait in memory.

    `verify` raises a `StorageError` if not (`storage.migrate.require_current`). However many ask, it runs once at a
    time, for `patience` seconds at most, and at most every `FRESH_SECONDS`.
    """

    def __init__(self, verify: Callable[[], Awaitable[object]], patience: float = PATIENCE_SECONDS) -> None:
        self._verify = verify
        self._patience = patience
        self._lock = asyncio.Lock()
        self._reason = Reason("database", False, "not asked yet", warning=True)
        self._fresh_until = float("-inf")

    async def __call__(self) -> Reason:
        loop = asyncio.get_running_loop()
        async with self._lock:
            if loop.time() >= self._fresh_until:
                self._reason = await self._ask()
                self._fresh_until = loop.time() + FRESH_SECONDS
            return self._reason

    async def _ask(self) -> Reason:
        try:
            async with asyncio.timeout(self._patience):
                await self._verify()
        except TimeoutError:
            return Reason("database", False, f"no answer within {self._patience:g} s", warning=True)
        except StorageError as error:
            return Reason("database", False, str(error), warning=True)
        return Reason("database", True, "reachable, schema current")


def configuration_check(problem: Callable[[], str | None]) -> Check:
    """Warns while the last reload was refused; `problem` gives its first line, None after a good one."""

    async def check() -> Reason:
        if (found := problem()) is None:
            return Reason("configuration", True, "loaded")
        return Reason("configuration", False, f"the last reload was refused, the one before serves: {found}", True)

    return check


def names_check(table: Callable[[], RoutingTable]) -> Check:
    """Warns while something of a server is not seen since another server has its name."""

    async def check() -> Reason:
        if not (hidden := list(table().hidden())):
            return Reason("names", True, "nothing is hidden by an equal name")
        told = "; ".join(f"{one} ({endpoint.path})" for endpoint, one in hidden[:SHOWN_NAMES])
        more = f"; and {len(hidden) - SHOWN_NAMES} more" if len(hidden) > SHOWN_NAMES else ""
        return Reason("names", False, f"{len(hidden)} hidden by equal names: {told}{more}", True)

    return check


def records_check(backlog: Backlog) -> Check:
    """Fails while no new call can be promised a record; warns while records wait for the database."""

    async def check() -> Reason:
        if backlog.is_full:
            why = backlog.trouble or "too many records wait to be written"
            return Reason("records", False, f"no new call can be recorded: {why}")
        if backlog.trouble is not None:
            return Reason("records", False, f"{backlog.pending} records wait: {backlog.trouble}", True)
        return Reason("records", True, "room for new calls")

    return check


def draining_check(draining: Callable[[], bool]) -> Check:
    """Fails from the moment at which the gateway takes no more requests."""

    async def check() -> Reason:
        return Reason("draining", False, "shutting down") if draining() else Reason("draining", True, "serving")

    return check
