"""What a record keeps of a payload.

Which question: what goes into the JSON column, and what beside it? Pure. The rule: redact first; sizes and hashes are
of redacted bytes too, since the hash of a short secret tells it.

The JSON column holds the bytes themselves when every engine's JSON type takes them: MariaDB's check refuses nesting
beyond 31 levels, MySQL keys beyond 65,535 bytes and numbers beyond a double, and U+0000 and lone surrogates are no text
to PostgreSQL. Otherwise it holds `{"$omitted": reason, "bytes": n, "sha256": …}`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Protocol

import msgspec

from storage.capture import Exact
from storage.settings import RecordingSettings

MAX_DEPTH = 31
MAX_KEY_BYTES = 65_535


class Omission(StrEnum):
    """Why a JSON column does not hold the payload."""

    SIZE = "size"
    DEPTH = "depth"
    KEY = "key"
    NUL = "nul"
    NUMBER = "number"
    SURROGATE = "surrogate"
    MALFORMED = "malformed"
    MEMORY = "memory"
    """It was dropped before it was written: the database was away and the room for unwritten records used up."""
    JOURNAL = "journal"
    """The journal had no more room than for the call's end itself."""
    CAPTURE = "capture"
    """The admin wants it so (`capture`)."""
    UNREDACTED = "unredacted"
    """Its secrets could not be hidden."""
    REFUSED = "refused"
    """The database did not take it."""
    RETENTION = "retention"
    """It was kept for as long as payloads are."""


class Redaction(Protocol):
    """Hides what looks like a credential; `gateway.redact.Redactor` is the real one."""

    def redact(self, text: bytes) -> bytes:
        """A JSON text without its secrets."""

    def redact_text(self, text: str) -> str:
        """Any words without their secrets."""


class Kept(msgspec.Struct, frozen=True):
    """One side of a call as it was accepted: redacted, hashed whole, and cut to `recording.payload_bytes`; `omission`
    says why there is no `text`.
    """

    text: bytes
    total_bytes: int | None
    sha256: bytes
    omission: Omission | None = None
    exact: Exact = "needed"


@dataclass(frozen=True, slots=True)
class Payload:
    """One side of a call: `data` for the JSON column, `body` for the row of exact bytes, capped (None: no row).
    `total_bytes` None: not even its size is kept.
    """

    data: bytes
    total_bytes: int | None
    sha256: bytes
    body: bytes | None = None


UNTOLD = Kept(b"", None, b"", Omission.CAPTURE)
"""Nothing is kept, not even a size."""


def kept(redacted: bytes, most: int, exact: Exact = "needed") -> Kept:
    """What is kept of a redacted JSON text, at most `most` bytes of it."""
    return Kept(redacted[:most], len(redacted), hashlib.sha256(redacted).digest(), exact=exact)


def left_out(whole: Kept, reason: Omission) -> Kept:
    """`whole` without its text."""
    return Kept(b"", whole.total_bytes, whole.sha256, whole.omission or reason)


def payload(kept: Kept, settings: RecordingSettings) -> Payload:
    """What the database gets of it."""
    if kept.omission is not None:
        return Payload(_omitted(kept.omission, kept.total_bytes, kept.sha256), kept.total_bytes, kept.sha256)
    omission, exact = _verdict(kept, settings)
    data = kept.text if omission is None else _omitted(omission, kept.total_bytes, kept.sha256)
    wanted = settings.payload_bytes > 0 and (kept.exact == "always" or (kept.exact == "needed" and exact))
    return Payload(data, kept.total_bytes, kept.sha256, kept.text if wanted else None)


def refused(whole: Payload) -> Payload:
    """`whole` without its bytes, for a database that does not take them."""
    data = _omitted(Omission.REFUSED, whole.total_bytes, whole.sha256)
    return Payload(data, whole.total_bytes, whole.sha256)


def dropped(reason: Omission, total_bytes: int) -> Kept:
    """Stands for a payload that was dropped unredacted, and is therefore unhashed."""
    return Kept(b"", total_bytes, b"", reason)


def _omitted(reason: Omission, total_bytes: int | None, digest: bytes) -> bytes:
    size = {} if total_bytes is None else {"bytes": total_bytes}
    sha256 = {"sha256": digest.hex()} if digest else {}
    return msgspec.json.encode({"$omitted": reason, **size, **sha256})


def _verdict(kept: Kept, settings: RecordingSettings) -> tuple[Omission | None, bool]:
    """Why the JSON column cannot hold the text, and whether its exact bytes are needed beside it."""
    text = kept.text
    if (kept.total_bytes or 0) > min(settings.inline_bytes, len(text)):
        return Omission.SIZE, True
    numbers = _long_numbers(text)
    omission = _malformed(text) or _unwelcome(text) or _unbounded(numbers)
    return omission, omission is not None or any(map(_changes, numbers))


def _malformed(text: bytes) -> Omission | None:
    try:
        msgspec.json.decode(text)
    except RecursionError:
        return Omission.DEPTH
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _complaint(text)
    return None


def _complaint(text: bytes) -> Omission:
    """Which of the few things that msgspec refuses is wrong with `text`."""
    numbers: list[str] = []
    try:
        json.loads(text.decode(), parse_float=numbers.append, parse_int=numbers.append, parse_constant=_not_json)
    except RecursionError:
        return Omission.DEPTH
    except ValueError:
        return Omission.MALFORMED
    return _unbounded(numbers) or Omission.SURROGATE


def _not_json(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_NUL = re.compile(rb"(?<!\\)(?:\\\\)*+\\u0000")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"([ \t\r\n]*+:)?', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _unwelcome(text: bytes) -> Omission | None:
    """What valid JSON may hold that some engine does not take."""
    if b"\\u0000" in text and _NUL.search(text) is not None:
        return Omission.NUL
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and _is_too_deep(text):
        return Omission.DEPTH
    return Omission.KEY if len(text) > MAX_KEY_BYTES and _has_long_key(text) else None


def _is_too_deep(text: bytes) -> bool:
    depth = 0
    for bracket in _STRING.sub(b"", text).translate(None, _NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def _has_long_key(text: bytes) -> bool:
    names = (string for string in _STRING.finditer(text) if string.lastindex is not None)
    return any(name.start(1) - name.start() - len(b'""') > MAX_KEY_BYTES for name in names)


_LONG_NUMBER = re.compile(rb"[0-9][0-9.]{14}|[0-9][eE][+\-]?[0-9]")
"""What a number that a double changes cannot do without: fifteen digits, or an exponent."""


def _long_numbers(text: bytes) -> list[str]:
    """The numbers of `text` as they are spelt, if one of them may be more than a double holds."""
    numbers: list[str] = []
    if _LONG_NUMBER.search(text) is not None:
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(text, parse_float=numbers.append, parse_int=numbers.append)
    return numbers


def _unbounded(numbers: list[str]) -> Omission | None:
    return None if all(math.isfinite(float(number)) for number in numbers) else Omission.NUMBER


def _changes(number: str) -> bool:
    """Whether a double, or an integer of 64 bits, would be another number."""
    if len(number) <= 20 and number.lstrip("-").isdecimal() and -(2**63) <= int(number) < 2**64:
        return False
    try:
        return Decimal(number) != Decimal(repr(float(number)))
    except InvalidOperation:  # an exponent beyond even what Decimal has room for
        return True
