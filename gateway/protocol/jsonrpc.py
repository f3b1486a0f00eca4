"""JSON-RPC 2.0 messages as MCP uses them, opened only as far as we own them.

Which question: what kind of message is this, and what are the exact bytes of its parts? Pure. The rule: whatever
we do not own stays a slice of the original text (`Raw`); an envelope that leaves us is written anew from what was
read, so that unknown envelope members stop here and a repeated key is one value for everybody. Every message
written here is one line.

JSON-RPC 2.0 §4–5; MCP 2026-07-28 `basic/index` (Messages), MCP 2025-11-25 `basic/index`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec
from msgspec import Raw

from gateway.errors import JSONRPC_CODE, Kind
from gateway.protocol import depth as nesting
from gateway.protocol.texts import (
    NotAnArray,
    NotAnObject,
    NotJson,
    copy,
    elements,
    encode,
    is_object,
    is_token,
    members,
    one_line,
    string,
    text,
    word,
)

__all__ = [
    "INVALID_REQUEST",
    "PARSE_ERROR",
    "Malformed",
    "Message",
    "MessageKind",
    "NotAnArray",
    "NotAnObject",
    "NotJson",
    "copy",
    "elements",
    "encode",
    "error",
    "error_raw",
    "is_object",
    "members",
    "notification",
    "one_line",
    "parse",
    "request",
    "result",
    "string",
    "text",
    "word",
]

PARSE_ERROR = JSONRPC_CODE[Kind.PARSE]
INVALID_REQUEST = JSONRPC_CODE[Kind.INVALID_REQUEST]

_ABSENT = Raw(b"")
_NULL = Raw(b"null")
_VERSION = b'"2.0"'
_HEAD = b'{"jsonrpc":"2.0"'


class MessageKind(Enum):
    REQUEST = "request"
    NOTIFICATION = "notification"
    RESULT = "result"
    ERROR = "error"


class Message(msgspec.Struct, frozen=True):
    """One JSON-RPC message; every `Raw` is the exact JSON text of the member. `id` is a string's or integer's text.

    An error may lack its id: its sender could not read the request's (JSON-RPC 2.0 §5).
    """

    kind: MessageKind
    id: Raw | None = None
    method: str = ""
    params: Raw | None = None
    body: Raw | None = None
    """The `result` or the `error` of a response."""


class Malformed(Exception):
    """The text is no acceptable message. `code` is -32700 or -32600; `id` the request's id where it could be read."""

    def __init__(self, code: int, message: str, id: Raw | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.id = id


class _Envelope(msgspec.Struct, frozen=True):
    """The members that we know, as texts; an empty text is an absent member."""

    jsonrpc: Raw = _ABSENT
    id: Raw = _ABSENT
    method: Raw = _ABSENT
    params: Raw = _ABSENT
    result: Raw = _ABSENT
    error: Raw = _ABSENT


_ENVELOPE = msgspec.json.Decoder(_Envelope)


def parse(body: bytes, *, depth: int = 128) -> Message:
    """The one message in `body`. Raises `Malformed`: -32700 for what is no UTF-8 JSON text or nests deeper than
    `depth`, -32600 for JSON that is no message of MCP.
    """
    check_text(body, depth)
    envelope = _open(body)
    if bytes(envelope.jsonrpc) != _VERSION and string(envelope.jsonrpc) != "2.0":
        raise _refused(envelope, 'jsonrpc must be "2.0"')
    if bool(envelope.method) + bool(envelope.result) + bool(envelope.error) != 1:
        raise _refused(envelope, "exactly one of method, result and error is expected")
    return _call(envelope) if envelope.method else _response(envelope)


def request(id: Raw | bytes | int, method: str, params: Raw | bytes | None = None) -> bytes:
    """A request; `id` is a JSON text or a number of ours."""
    return _written(_member(b"id", _id_text(id)), _member(b"method", text(method)), _member(b"params", params))


def notification(method: str, params: Raw | bytes | None = None) -> bytes:
    return _written(_member(b"method", text(method)), _member(b"params", params))


def result(id: Raw | bytes | int, body: Raw | bytes) -> bytes:
    """A successful response; `body` keeps its bytes, but for CR and LF between its tokens."""
    return _written(_member(b"id", _id_text(id)), _member(b"result", body))


def error(id: Raw | bytes | int | None, code: int, message: str, data: Mapping[str, Any] | None = None) -> bytes:
    """An error response; without an id when the request's could not be read (MCP `JSONRPCErrorResponse`)."""
    body: dict[str, Any] = {"code": code, "message": message}
    return error_raw(id, text(body if data is None else {**body, "data": data}))


def error_raw(id: Raw | bytes | int | None, body: Raw | bytes) -> bytes:
    """An error response; `body` is the JSON text of somebody else's error object."""
    return _written(_member(b"id", None if id is None else _id_text(id)), _member(b"error", body))


def check_text(body: bytes, depth: int) -> None:
    """Raises `Malformed` for what no JSON text of ours may be: a byte order mark, no UTF-8, nested too deeply."""
    if body.startswith(b"\xef\xbb\xbf"):
        raise Malformed(PARSE_ERROR, "Parse error: the text begins with a byte order mark (RFC 8259 §8.1)")
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise Malformed(PARSE_ERROR, f"Parse error: no UTF-8 at byte {error.start}") from error
    if nesting.nests_deeper(body, depth):
        raise Malformed(PARSE_ERROR, f"Parse error: nested deeper than {depth} levels (limits.depth)")


def _open(body: bytes) -> _Envelope:
    try:
        return _ENVELOPE.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return _open_slowly(body)


def _open_slowly(body: bytes) -> _Envelope:
    """For texts with lone surrogates, and for the exact reason why there is no envelope."""
    try:
        found = members(body)
    except NotJson as error:
        raise Malformed(PARSE_ERROR, f"Parse error: {error}") from error
    except NotAnObject as error:
        raise Malformed(INVALID_REQUEST, "Invalid request: one JSON-RPC message, and no batch, is expected") from error
    return _Envelope(**{name: found[name] for name in _Envelope.__struct_fields__ if name in found})


def _call(envelope: _Envelope) -> Message:
    own_id = _id(envelope)
    if envelope.id and own_id is None:
        raise _refused(envelope, "id must be a string or an integer")
    if (method := word(envelope.method)) is None:
        raise _refused(envelope, "method must be a string")
    if envelope.params and not is_object(envelope.params):
        raise _refused(envelope, "params must be an object")
    kind = MessageKind.NOTIFICATION if own_id is None else MessageKind.REQUEST
    return Message(kind, own_id, method, envelope.params or None)


def _response(envelope: _Envelope) -> Message:
    own_id = _id(envelope)
    if envelope.error and not is_object(envelope.error):
        raise _refused(envelope, "error must be an object")
    unread = bool(envelope.error) and (not envelope.id or envelope.id == _NULL)
    if own_id is None and not unread:
        raise _refused(envelope, "a response needs its request's id, a string or an integer")
    return Message(
        MessageKind.ERROR if envelope.error else MessageKind.RESULT, own_id, body=envelope.error or envelope.result
    )


def _id(envelope: _Envelope) -> Raw | None:
    return envelope.id if envelope.id and is_token(envelope.id) else None


def _refused(envelope: _Envelope, why: str) -> Malformed:
    return Malformed(INVALID_REQUEST, f"Invalid request: {why}", _id(envelope))


def _written(*parts: bytes) -> bytes:
    return one_line(b"".join((_HEAD, *parts, b"}")))


def _member(name: bytes, value: Raw | bytes | None) -> bytes:
    return b"" if value is None else b',"%b":%b' % (name, value)


def _id_text(id: Raw | bytes | int) -> Raw | bytes:
    return str(id).encode() if isinstance(id, int) else id
