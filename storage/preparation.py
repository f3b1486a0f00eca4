"""Payloads made ready for their columns, without holding up the event loop.

Which question: when is decided what the database gets of a payload? Touches the event loop. The rule: it is decided
once, whatever becomes of the transaction.
"""

from __future__ import annotations

import asyncio

from storage.batch import Batch
from storage.payloads import Kept, Payload, payload
from storage.settings import RecordingSettings

BREATH_BYTES = 65_536
"""After so many bytes the event loop has its turn."""


class Preparation:
    """Fills in the payloads of a batch."""

    def __init__(self, settings: RecordingSettings) -> None:
        self._settings = settings
        self._worked = 0

    async def prepare(self, batch: Batch) -> None:
        """Make ready what is not ready yet; running it again does nothing."""
        for item in batch.kept():
            entry = item.entry
            if entry.request is None:
                entry.request = await self._ready(entry.asked)
            if item.final and entry.response is None and entry.answered is not None:
                entry.response = await self._ready(entry.answered)

    async def _ready(self, kept: Kept) -> Payload:
        self._worked += len(kept.text)
        if self._worked >= BREATH_BYTES:
            self._worked = 0
            await asyncio.sleep(0)
        return payload(kept, self._settings)
