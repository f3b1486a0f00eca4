"""Recorded calls as JSON: one shape for the API, for `calls --json` and for exports.

Which question: how is a call told to a program? Touches nothing. The rule: what a client or a server wrote keeps its
bytes, and whatever is not all of it says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw

from gateway.protocol import texts
from storage.call_details import CallDetail, Chat
from storage.calls import CallRow

COLUMNS = tuple(field.name for field in fields(CallRow))

OMITTED = "$omitted"
"""The member of a JSON column that stands for a payload which is not there; its value says why."""


@dataclass(frozen=True, slots=True)
class Side:
    """What is known of a request or a response: its text, redacted; or why there is none. `total` are the bytes that it
    had; a text of fewer was cut.
    """

    text: bytes | None
    total: int | None
    omitted: str | None = None

    @property
    def missing(self) -> int:
        """Bytes that were cut off."""
        return 0 if self.text is None or self.total is None else max(0, self.total - len(self.text))


def request_of(call: CallDetail) -> Side:
    return _side(call.request_data, call.request_body, call.row.request_bytes)


def response_of(call: CallDetail) -> Side | None:
    """None where nothing was answered."""
    if call.response_data is None:
        return None
    return _side(call.response_data, call.response_body, call.row.response_bytes)


def brief(row: CallRow) -> dict[str, Any]:
    """A call without its payloads."""
    values = ((name, getattr(row, name)) for name in COLUMNS)
    return {name: _iso(value) if isinstance(value, datetime) else value for name, value in values}


def with_payloads(call: CallDetail) -> dict[str, Any]:
    """A call with what was asked and answered."""
    response = response_of(call)
    return {
        **brief(call.row),
        "request": _told(request_of(call)),
        "response": None if response is None else _told(response),
    }


def whole(call: CallDetail, chat: Chat, rounds: Sequence[CallRow]) -> dict[str, Any]:
    """All that is known of a call."""
    return {**with_payloads(call), "chat": asdict(chat), "rounds": [brief(row) for row in rounds]}


def json_text(shape: object) -> bytes:
    """The JSON text of what the others make, on one line."""
    return texts.one_line(msgspec.json.encode(shape))


def _side(data: str, body: bytes | None, total: int | None) -> Side:
    """Exact bytes win over the JSON column, which an engine may have spelt anew."""
    if body is not None:
        return Side(body, total)
    text = data.encode()
    if text.lstrip()[:1] == b"{" and f'"{OMITTED}"'.encode() in text[:64]:
        reason = texts.word(texts.members(text).get(OMITTED, b"null"))
        if reason is not None:
            return Side(None, total, reason)
    return Side(text, len(text))


def _told(side: Side) -> dict[str, Any]:
    told: dict[str, Any] = {"bytes": side.total, "complete": side.text is not None and not side.missing}
    if side.text is None:
        return {**told, "omitted": side.omitted}
    if told["complete"] and texts.is_json(side.text):
        return {**told, "json": Raw(side.text)}
    return {**told, "text": side.text.decode("utf-8", "replace")}


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")
