"""Batches on their way into the database, however often it takes.

Which question: is this batch written, and if not, why and when again? Touches the event loop; the database only through
`Ledger`. The rule: a batch is tried until it is written; what is a row's own fault costs that row alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

from storage.attempts import delays
from storage.batch import Batch
from storage.errors import DatabaseBehind, DatabaseContended, DatabaseUnavailable
from storage.ledger import Ledger
from storage.metrics import StorageMetrics

log = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds that the database may take over a batch, before the line is given up for dead; twice as many each time."""

TOLD_AFTER = 2.0
"""Seconds for which records may wait for other transactions before that is trouble."""


class Committing:
    """Writes batches; `lag` tells for how many seconds their records wait already."""

    def __init__(
        self, ledger: Ledger, metrics: StorageMetrics, lag: Callable[[], float], patience: float = PATIENCE
    ) -> None:
        self.trouble: str | None = None
        """Why records cannot be written at the moment, fit to be shown; None while all is well."""
        self._ledger = ledger
        self._metrics = metrics
        self._lag = lag
        self._patience = patience

    async def write(self, batch: Batch) -> None:
        """Returns when it is in the database. Raises `DatabaseBehind` when that lacks what comes before it."""
        patience = self._patience
        for delay in delays():
            begun = monotonic()
            if await self._is_written(batch, patience):
                break
            patience *= 2 if monotonic() - begun >= patience else 1
            await asyncio.sleep(delay)
        for entry in batch.newly_aside():
            entry.reported = True
            self._metrics.set_aside.inc()
            log.error("call %s has no record: the database refused it in every form", entry.started.call_uid)
        if self.trouble is not None:
            log.info("records are written again")
        self.trouble = None

    async def _is_written(self, batch: Batch, patience: float) -> bool:
        begun = monotonic()
        try:
            async with asyncio.timeout(patience):
                await self._ledger.commit(batch)
        except DatabaseBehind:
            raise
        except DatabaseContended as error:
            self._wait("contended", str(error) if self._lag() > TOLD_AFTER else self.trouble)
        except DatabaseUnavailable as error:
            self._wait("unavailable", str(error))
        except TimeoutError:
            self._wait("unavailable", f"the database took longer than {patience:g} s over a batch")
        except Exception as error:  # noqa: BLE001  the writer's loop: no row and no defect of ours may end it
            name = type(error).__name__
            if batch.careful:
                self._wait("refused", f"no row can be written ({name})", error)
            else:
                self._wait("refused", f"a batch was refused ({name}) and is written row by row")
            batch.careful = True
        else:
            self._metrics.commit_seconds.observe(monotonic() - begun)
            return True
        return False

    def _wait(self, reason: str, trouble: str | None, unexpected: Exception | None = None) -> None:
        self._metrics.errors[reason].inc()
        if trouble != self.trouble:
            log.warning("records wait: %s", trouble, exc_info=unexpected)
        self.trouble = trouble
