"""The `params` of a client's request, opened as far as the call path reads them.

Which question: what does this request say of itself: its name, its progress token, its chat, its trace? Pure. The
rule: what is read here is what is sent on, since params are written anew from these members; what the client says
of itself is bounded and never trusted.

MCP 2026-07-28 `basic/index`, `basic/utilities/progress`, `server/utilities/pagination`; W3C Trace Context §3.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol import meta as keys
from gateway.protocol.texts import NotAnObject, encode, is_token, members, string, text, word
from storage.records import Claim

CLIENT_NAME_CHARS = 100
CLIENT_VERSION_CHARS = 50
CLAIM_CHARS = 64
"""More than any public UUID or integer id has: a longer claim stays recognisable and matches nothing."""

CHAT_SESSION_HEADER = "X-Chat-Session-Id"
CHAT_MESSAGE_HEADER = "X-Chat-Message-Id"

_INTEGER = re.compile(rb"-?\d{1,20}")
_TRACEPARENT = re.compile(
    r"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
"""Version 00 has 55 characters; later versions may append more."""


@dataclass(frozen=True, slots=True)
class Params:
    """`members` are all members, `_meta` included; `meta` are those of `_meta`. `progress_token` is a string's or an
    integer's text.
    """

    members: Mapping[str, Raw] = field(default_factory=dict)
    meta: Mapping[str, Raw] = field(default_factory=dict)
    progress_token: Raw | None = None

    @property
    def cursor(self) -> str | None:
        """Raises INVALID_PARAMS when it is no string."""
        return self.word("cursor") if "cursor" in self.members else None

    def word(self, member: str) -> str:
        """Raises INVALID_PARAMS when there is no such member, or it is no string."""
        found = word(self.members.get(member, b"null"))
        if found is None:
            raise GatewayError(Kind.INVALID_PARAMS, f"Invalid params: {member} must be a string")
        return found


def open_params(params: Raw | None) -> Params:
    """Raises INVALID_PARAMS when `_meta` is no object, or its progress token neither a string nor an integer."""
    opened = {} if params is None else members(params)
    if "_meta" not in opened:
        return Params(opened)
    try:
        meta = members(opened["_meta"])
    except NotAnObject as error:
        raise GatewayError(Kind.INVALID_PARAMS, "Invalid params: _meta must be an object") from error
    token = meta.get(keys.PROGRESS_TOKEN)
    if token is not None and not is_token(token):
        raise GatewayError(Kind.INVALID_PARAMS, "Invalid params: progressToken must be a string or an integer")
    return Params(opened, meta, token)


def renamed(members: Mapping[str, Raw], name: str) -> dict[str, Raw]:
    """The members with another `name`; the order stays."""
    return {**members, "name": text(name)}


def recorded(members: Mapping[str, Raw], meta: Mapping[str, Raw]) -> bytes:
    """The JSON text of params that the record keeps: what is sent on, without what concerns one hop alone."""
    return bytes(rewritten(members, keys.foreign(meta)))


def rewritten(params: Mapping[str, Raw], meta: Mapping[str, Raw]) -> Raw:
    """The JSON text of `params` with another `_meta`, which is left out when it is empty; the order stays."""
    if not meta:
        return encode({key: raw for key, raw in params.items() if key != "_meta"})
    return encode({**params, "_meta": encode(meta)})


def client_names(info: Raw | None) -> tuple[str | None, str | None]:
    """Name and version of a client's `clientInfo`, cut to the width of their columns."""
    try:
        about = {} if info is None else members(info)
    except NotAnObject:
        return None, None
    return _bounded(about.get("name"), CLIENT_NAME_CHARS), _bounded(about.get("version"), CLIENT_VERSION_CHARS)


def claim_of(meta: Mapping[str, Raw], headers: Mapping[str, str]) -> Claim | None:
    """The chat session and message that the client claims, in `_meta` or else in headers; None when it claims none."""
    session = _claimed(meta.get(keys.CHAT_SESSION), headers.get(CHAT_SESSION_HEADER))
    message = _claimed(meta.get(keys.CHAT_MESSAGE), headers.get(CHAT_MESSAGE_HEADER))
    return None if session is None and message is None else Claim(session=session, message=message)


def trace_id_of(meta: Mapping[str, Raw], headers: Mapping[str, str]) -> str | None:
    """The trace id of the client's trace context, 32 hexadecimal digits; that of `_meta` goes first (SEP-414)."""
    for parent in (string(meta.get(keys.TRACEPARENT, b"null")), headers.get("traceparent")):
        if parent is not None and (found := _TRACEPARENT.fullmatch(parent.strip())):
            return found[1]
    return None


def _claimed(raw: Raw | None, header: str | None) -> str | None:
    if raw is None:
        return _printable(header, CLAIM_CHARS)
    if _INTEGER.fullmatch(raw):
        return bytes(raw).decode()
    return _bounded(raw, CLAIM_CHARS)


def _bounded(raw: Raw | None, chars: int) -> str | None:
    return None if raw is None else _printable(string(raw), chars)


def _printable(words: str | None, chars: int) -> str | None:
    """At most `chars` characters that every log, row and metric can hold; None when nothing is left."""
    if words is None:
        return None
    return "".join(char if char.isprintable() else "\ufffd" for char in words[:chars]).strip() or None
