"""Payloads made ready for their columns, without holding up the event loop.

Which question: when and where is a payload redacted, hashed and cut? Touches the event loop and its threads. The
rule: a payload that cannot be redacted is not kept.
"""

from __future__ import annotations

import asyncio
import logging

from storage.batch import Batch
from storage.payloads import Omission, Payload, Redaction, dropped, payload
from storage.records import CallUid
from storage.settings import RecordingSettings

UNREDACTABLE = (ArithmeticError, LookupError, RecursionError, TypeError, ValueError)
"""What a redactor may meet; whatever it is, the record is written without the words at fault."""

log = logging.getLogger(__name__)

BIG_BYTES = 262_144
"""Payloads from here on are worked on in a thread."""

LEFT_OUT = "[not redacted, left out]"

BREATH_BYTES = 65_536
"""After so many bytes of smaller ones the event loop has its turn."""


class Preparation:
    """Fills in the payloads of a batch."""

    def __init__(self, settings: RecordingSettings, redaction: Redaction) -> None:
        self._settings = settings
        self._redaction = redaction
        self._worked = 0

    async def prepare(self, batch: Batch) -> None:
        """Make ready what is not ready yet; running it again does nothing."""
        for item in batch.kept():
            entry = item.entry
            if entry.request is None:
                entry.request = await self._kept(entry.started.call_uid, entry.started.request)
            if (
                item.final
                and entry.response is None
                and entry.finished is not None
                and entry.finished.response is not None
            ):
                entry.response = await self._kept(entry.started.call_uid, entry.finished.response)

    def words(self, text: str) -> str:
        """`text` as it may be stored."""
        try:
            return self._redaction.redact_text(text) if self._settings.redact else text
        except UNREDACTABLE:
            log.exception("%d characters could not be redacted and are left out of a record", len(text))
            return LEFT_OUT

    async def _kept(self, uid: CallUid, text: bytes) -> Payload:
        if len(text) >= BIG_BYTES:
            return await asyncio.to_thread(self._work, uid, text)
        self._worked += len(text)
        if self._worked >= BREATH_BYTES:
            self._worked = 0
            await asyncio.sleep(0)
        return self._work(uid, text)

    def _work(self, uid: CallUid, text: bytes) -> Payload:
        try:
            return payload(self._redaction.redact(text) if self._settings.redact else text, self._settings)
        except UNREDACTABLE:
            log.exception("a payload of call %s could not be redacted and is left out of its record", uid)
            return dropped(Omission.UNREDACTED, len(text))
