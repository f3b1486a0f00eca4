"""What is kept of a call, before it is written anywhere.

Which question: which of these words and bytes may leave memory? Touches the event loop and its threads. The rule:
nothing that was not redacted is ever on a disk; what cannot be redacted is not kept.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec

from storage.capture import Policy, Rule
from storage.paths import hidden
from storage.payloads import UNTOLD, Kept, Omission, Redaction, dropped, kept, left_out
from storage.records import CallUid, Finished, Outcome, Started
from storage.settings import RecordingSettings

UNREDACTABLE = (ArithmeticError, LookupError, RecursionError, TypeError, ValueError)
"""What a redactor may meet; whatever it is, the record is written without the words at fault."""

log = logging.getLogger(__name__)

BIG_BYTES = 262_144
"""Payloads from here on are worked on in a thread."""

WORDS = 65_536
"""Characters of a text that are searched for secrets; the rest is not kept."""

LEFT_OUT = "[not redacted, left out]"
NOT_CAPTURED = "[not captured]"

SAID_BY_SERVERS = frozenset({Outcome.TOOL_ERROR, Outcome.PROTOCOL_ERROR, Outcome.UPSTREAM_ERROR})
"""Outcomes whose error messages are the server's words, which may repeat what was said."""


class Keeping:
    """Redacts, hashes and cuts."""

    def __init__(self, settings: RecordingSettings, redaction: Redaction, policy: Policy | None = None) -> None:
        self._settings = settings
        self._redaction = redaction
        common = Rule(settings.capture or "full", settings.exact or "needed")
        self._policy: Policy = policy or (lambda call: common)

    async def opening(self, record: Started) -> tuple[Started, Kept]:
        """The record without its request, and what is kept of that."""
        request = await self._kept(record.call_uid, record.request, self._policy(record))
        target = None if record.target is None else self.words(record.target)
        return msgspec.structs.replace(record, request=b"", target=target), request

    async def ending(self, record: Finished, began: Started) -> tuple[Finished, Kept | None]:
        """The record without its response, and what is kept of that; `began` is how the call began."""
        rule = self._policy(began)
        response = None if record.response is None else await self._kept(record.call_uid, record.response, rule)
        message = None if record.error_message is None else self.words(record.error_message)
        if message is not None and record.outcome in SAID_BY_SERVERS and not rule.tells_words:
            message = NOT_CAPTURED
        return msgspec.structs.replace(record, response=None, error_message=message), response

    def words(self, text: str) -> str:
        """`text` as it may be stored."""
        text = text[:WORDS]
        try:
            return self._redaction.redact_text(text) if self._settings.redact else text
        except UNREDACTABLE:
            log.exception("%d characters could not be redacted and are left out of a record", len(text))
            return LEFT_OUT

    async def _kept(self, uid: CallUid, text: bytes, rule: Rule) -> Kept:
        if rule.capture == "none":
            return UNTOLD
        big = len(text) >= BIG_BYTES
        return await asyncio.to_thread(self._work, uid, text, rule) if big else self._work(uid, text, rule)

    def _work(self, uid: CallUid, text: bytes, rule: Rule) -> Kept:
        try:
            shown = hidden(text, rule.hide) if rule.hide else text
            redacted = self._redaction.redact(shown) if self._settings.redact else shown
        except UNREDACTABLE:
            log.exception("a payload of call %s could not be redacted and is left out of its record", uid)
            return dropped(Omission.UNREDACTED, len(text))
        if rule.capture == "metadata":
            return left_out(kept(redacted, 0), Omission.CAPTURE)
        return kept(redacted, self._settings.payload_bytes, rule.exact)
