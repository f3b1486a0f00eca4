"""The row of a call.

Which question: which value stands in which column of `server_calls`? Pure. The rule: whatever a client or a server
wrote is cut to its column and made storable here, so that no engine has a reason to refuse it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.payloads import Payload
from storage.records import STATUS_OF, CallUid, Finished, Link, RecordState, Started, Status

ERROR_BYTES = 16_384
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SMALLINT_MAX = 32_767


@dataclass(frozen=True, slots=True)
class Linked:
    """The chat session and message that a call belongs to, and how it came to them."""

    session_id: int
    message_id: int
    link: Link


@dataclass(frozen=True, slots=True)
class Sides:
    """What is kept of a call's payloads."""

    request: Payload
    response: Payload | None = None


def opening(started: Started, sides: Sides, linked: Linked) -> dict[str, Any]:
    """The row of a call under way."""
    return {
        "server_id": started.server_id,
        "session_id": linked.session_id,
        "message_id": linked.message_id,
        "request_data": sides.request.data,
        "response_data": None,
        "status": Status.IN_PROGRESS.value,
        "error_message": None,
        "response_time": None,
        "created_at": created_at(started.call_uid),
        "call_uid": started.call_uid,
        "record_state": RecordState.OPEN.value,
        "outcome": None,
        "reason": None,
        "link": linked.link.value,
        "method": _cut(started.method, 64),
        "target": _cut(started.target, 255),
        "user_id": started.caller.user_id,
        "key_name": _cut(started.caller.key, 64),
        "client_name": _cut(started.client_name, 100),
        "client_version": _cut(started.client_version, 50),
        "client_era": _cut(started.client_era, 10),
        "server_era": _cut(started.server_era, 10),
        "operation_uid": started.operation_uid,
        "round": min(started.round, SMALLINT_MAX),
        "attempts": 1,
        "trace_id": _cut(started.trace_id, 32),
        "started_at": instant(started.started_us),
        "finished_at": None,
        "total_us": None,
        "upstream_us": None,
        "request_bytes": sides.request.total_bytes,
        "response_bytes": None,
    }


def ending(finished: Finished, sides: Sides) -> dict[str, Any]:
    """The columns that the end of a call changes in its opening row."""
    changed: dict[str, Any] = {
        "response_data": None if sides.response is None else sides.response.data,
        "status": STATUS_OF[finished.outcome].value,
        "error_message": _error(finished.error_message),
        "response_time": finished.total_us / 1_000,
        "record_state": RecordState.FINAL.value,
        "outcome": finished.outcome.value,
        "reason": _cut(finished.reason, 64),
        "attempts": min(finished.attempts, SMALLINT_MAX),
        "finished_at": instant(finished.finished_us),
        "total_us": finished.total_us,
        "upstream_us": finished.upstream_us,
        "response_bytes": None if sides.response is None else sides.response.total_bytes,
    }
    if finished.server_era is not None:
        changed["server_era"] = _cut(finished.server_era, 10)
    return changed


def exact_bytes(uid: CallUid, sides: Sides) -> list[dict[str, Any]]:
    """The rows of `server_call_payloads`: part 0 is the request, 1 the response."""
    return [
        {
            "created_at": created_at(uid),
            "call_uid": uid,
            "part": part,
            "body": side.body,
            "total_bytes": side.total_bytes,
            "sha256": side.sha256,
        }
        for part, side in enumerate((sides.request, sides.response))
        if side is not None and side.body is not None
    ]


def created_at(uid: CallUid) -> datetime:
    """The second inside a `call_uid`."""
    return datetime.fromtimestamp(int(uid[:12], 16) // 1_000, UTC)


def hour_of(uid: CallUid) -> datetime:
    """The hour inside a `call_uid`."""
    return created_at(uid).replace(minute=0, second=0)


def instant(microseconds: int) -> datetime:
    """Microseconds since the Unix epoch, without the rounding of floats."""
    return EPOCH + microseconds * MICROSECOND


def storable(text: str) -> str:
    """`text` as every engine stores it: no U+0000, no lone surrogates."""
    return (
        text
        if text.isascii() and "\0" not in text
        else text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    )


def _cut(text: str | None, length: int) -> str | None:
    return None if text is None else storable(text[:length])


def _error(message: str | None) -> str | None:
    if message is None:
        return None
    return storable(message).encode()[:ERROR_BYTES].decode("utf-8", "ignore")
