"""The vocabulary of call records: what happened to one forwarded request.

Which question: what do we write down about a call, and in which words? Touches nothing and imports nothing
of the project. The rule: a record only grows (open, then unknown, then final), and its identity is `call_uid`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import NewType, Protocol

import msgspec

CallUid = NewType("CallUid", str)
"""UUIDv7 as 32 lower-case hexadecimal digits; the first 48 bits are the start in Unix milliseconds."""


class Outcome(StrEnum):
    """How a call ended: one closed set for rows, metrics and panels."""

    OK = "ok"
    INPUT_REQUIRED = "input_required"
    TOOL_ERROR = "tool_error"
    PROTOCOL_ERROR = "protocol_error"
    UPSTREAM_ERROR = "upstream_error"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Status(StrEnum):
    """The documented `server_calls.status` of the `mcp_chat` database."""

    SUCCESS = "success"
    FAILED = "failed"
    TIMEOUT = "timeout"
    IN_PROGRESS = "in_progress"


STATUS_OF: Mapping[Outcome, Status] = {
    Outcome.OK: Status.SUCCESS,
    Outcome.INPUT_REQUIRED: Status.SUCCESS,
    Outcome.TOOL_ERROR: Status.FAILED,
    Outcome.PROTOCOL_ERROR: Status.FAILED,
    Outcome.UPSTREAM_ERROR: Status.FAILED,
    Outcome.TIMEOUT: Status.TIMEOUT,
    Outcome.CANCELLED: Status.FAILED,
    Outcome.ABANDONED: Status.FAILED,
    Outcome.REFUSED: Status.FAILED,
    Outcome.UNKNOWN: Status.FAILED,
}

NOT_COUNTED: frozenset[Outcome] = frozenset({Outcome.CANCELLED, Outcome.ABANDONED, Outcome.REFUSED})
"""Outcomes that say nothing about the server; they are left out of its success rate."""

SUCCESSES: frozenset[Outcome] = frozenset({Outcome.OK, Outcome.INPUT_REQUIRED, Outcome.TOOL_ERROR})
"""Outcomes in which the server did its work, whatever the tool said."""


class RecordState(IntEnum):
    """The rank of a row; a higher rank replaces a lower one, never the reverse."""

    OPEN = 0
    RECOVERED = 1
    FINAL = 2


class Link(StrEnum):
    """How a row came to its chat session and message."""

    CLIENT = "client"
    AUTO = "auto"
    UNKNOWN = "unknown"
    FOREIGN = "foreign"


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The chat session and message that a client says its call belongs to: public UUIDs or integer ids, as sent."""

    session: str | None = None
    message: str | None = None


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """The authenticated principal of a request.

    `user_id` is the row in `users`; `key` is the name of the API key, None for the local user of a loopback
    gateway without authentication. `admin` may see everybody's calls. Never holds a credential.
    """

    user_id: int
    user: str
    key: str | None = None
    admin: bool = False


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A request is about to be forwarded. Times are microseconds since the Unix epoch, UTC.

    `request` is the JSON text of the forwarded params, not yet redacted or capped; `target` is the server's own
    name of the tool (prompt name or URI for other methods); `auto_session` distinguishes the caller's automatic
    chat sessions (the legacy session id, or None for one per UTC day).
    """

    call_uid: CallUid
    started_us: int
    server_id: int
    slug: str
    method: str
    target: str | None
    caller: Caller
    client_name: str | None = None
    client_version: str | None = None
    client_era: str
    server_era: str | None = None
    claim: Claim | None = None
    auto_session: str | None = None
    operation_uid: CallUid
    round: int = 0
    trace_id: str | None = None
    request: bytes


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """The call ended. `response` is the JSON text of the result or of the error object, not yet redacted or capped."""

    call_uid: CallUid
    finished_us: int
    outcome: Outcome
    reason: str | None = None
    error_message: str | None = None
    server_era: str | None = None
    total_us: int
    upstream_us: int | None = None
    attempts: int = 1
    response: bytes | None = None


class Recorder(Protocol):
    """Where the data path leaves its records. Both verbs cost microseconds and do no I/O on the database; for a large
    payload they wait until it is redacted.
    """

    async def started(self, record: Started) -> None:
        """Accept an opening; raises `RecordsFull` when the room to finish it cannot be promised."""

    async def finished(self, record: Finished) -> None:
        """Accept the end of a call whose opening was accepted, even when whoever waits for that is cancelled. Raises
        `RecordsLost` where the admin wants that to be told.
        """


def call_uid(at_us: int, entropy: bytes) -> CallUid:
    """A UUIDv7 (RFC 9562 §5.7) for microseconds since the Unix epoch and 10 random bytes."""
    milliseconds = at_us // 1_000 & (1 << 48) - 1
    random_a = int.from_bytes(entropy[:2], "big") & 0x0FFF
    random_b = int.from_bytes(entropy[2:10], "big") & (1 << 62) - 1
    return CallUid(f"{milliseconds << 80 | 0x7 << 76 | random_a << 64 | 0b10 << 62 | random_b:032x}")
