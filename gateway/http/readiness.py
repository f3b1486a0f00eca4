"""May this gateway get traffic, and if not, why?

Which question: what does an orchestrator read on `/readyz`? Touches what the checks touch. The rule: a check ends in a
`Reason` within its patience and never raises; what an administrator should know but traffic survives is a warning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from gateway.routing import RoutingTable
from storage.errors import StorageError

FRESH_SECONDS = 1.0
"""How long the database's answer counts: the endpoint is open, and whoever polls it must not become load."""


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


Check = Callable[[], Awaitable[Reason]]


class Readiness:
    """Runs every check, each at most `patience` seconds."""

    def __init__(self, checks: Mapping[str, Check], patience: float = 3.0) -> None:
        self._checks = checks
        self._patience = patience

    async def reasons(self) -> list[Reason]:
        """What every check found, in the order in which they were given."""
        return list(await asyncio.gather(*(self._bounded(name, check) for name, check in self._checks.items())))

    async def _bounded(self, name: str, check: Check) -> Reason:
        try:
            async with asyncio.timeout(self._patience):
                return await check()
        except TimeoutError:
            return Reason(name, False, f"no answer within {self._patience:g} s")


class DatabaseCheck:
    """Whether the database answers and has the schema of this version.

    `verify` raises a `StorageError` if not (`storage.migrate.require_current`). However many ask, it runs once at a
    time and at most every `FRESH_SECONDS`.
    """

    def __init__(self, verify: Callable[[], Awaitable[object]]) -> None:
        self._verify = verify
        self._lock = asyncio.Lock()
        self._reason = Reason("database", False, "not asked yet")
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
            await self._verify()
        except StorageError as error:
            return Reason("database", False, str(error))
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


def records_check(full: Callable[[], bool]) -> Check:
    """Fails while no new call can be promised a record."""

    async def check() -> Reason:
        if full():
            return Reason("records", False, "too many records wait to be written (recording.pending_bytes)")
        return Reason("records", True, "room for new calls")

    return check


def draining_check(draining: Callable[[], bool]) -> Check:
    """Fails from the moment at which the gateway takes no more requests."""

    async def check() -> Reason:
        return Reason("draining", False, "shutting down") if draining() else Reason("draining", True, "serving")

    return check
