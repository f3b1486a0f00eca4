"""Results, errors and definitions between the eras: what one era demands and the other must not see.

Which question: how does this result, error or tool look to a client of the other era? Pure. The rule: the members
named here are added, dropped or replaced; every other member keeps its bytes and its place, and a text that needs
no change is returned as it came.

MCP 2026-07-28 `basic/index` (resultType, Error Codes), `server/utilities/caching`, `server/tools`;
MCP 2025-11-25 `server/tools`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec
from msgspec import Raw

from gateway.errors import JSONRPC_CODE, Kind
from gateway.protocol.meta import RELATED_TASK
from gateway.protocol.texts import NotAnObject, encode, is_object, members, string, text
from gateway.protocol.versions import Era

MODERN_MEMBERS = frozenset({"resultType", "ttlMs", "cacheScope"})
"""Members of results that legacy revisions do not know."""

INTERNAL_ERROR = JSONRPC_CODE[Kind.INTERNAL]
MISSING_CAPABILITY = JSONRPC_CODE[Kind.MISSING_CAPABILITY]

OF_THE_HOP = frozenset({JSONRPC_CODE[Kind.HEADER_MISMATCH], JSONRPC_CODE[Kind.UNSUPPORTED_VERSION]})
"""Codes that speak of the gateway's own request to the server, and tell a client nothing about its own."""

LEGACY_CODES = {-32002: JSONRPC_CODE[Kind.INVALID_PARAMS], -32042: INTERNAL_ERROR}
"""Codes that modern servers must not send: an unknown resource, a URL to be visited first."""

RESERVED = range(-32099, -32019)
"""Codes whose meaning 2026-07-28 keeps to itself; older servers used them as they liked."""

_ABSENT = Raw(b"")
_TRUE = Raw(b"true")
_EMPTY = re.compile(rb"\{[ \t\r\n]*\}")
_SMALL_INTEGER = re.compile(rb"-?\d{1,15}")


@dataclass(frozen=True, slots=True)
class Head:
    """What a result says about itself; members of another type than theirs count as absent."""

    resultType: str | None = None  # noqa: N815 (the wire's own words)
    isError: bool = False  # noqa: N815
    ttlMs: int | None = None  # noqa: N815
    cacheScope: str | None = None  # noqa: N815
    has_meta: bool = False


class _Found(msgspec.Struct, frozen=True):
    """The members of a result that are read here, as texts; an empty text is an absent member."""

    resultType: Raw = _ABSENT  # noqa: N815
    isError: Raw = _ABSENT  # noqa: N815
    ttlMs: Raw = _ABSENT  # noqa: N815
    cacheScope: Raw = _ABSENT  # noqa: N815
    content: Raw = _ABSENT
    structuredContent: Raw = _ABSENT  # noqa: N815
    meta: Raw = msgspec.field(default=_ABSENT, name="_meta")


_FOUND = msgspec.json.Decoder(_Found)


def head(result: Raw | bytes) -> Head:
    """One pass over the text, which is not decoded. What is no object has an empty head."""
    found = _find(result)
    return Head(
        resultType=string(found.resultType) if found.resultType else None,
        isError=found.isError == _TRUE,
        ttlMs=_integer(found.ttlMs),
        cacheScope=string(found.cacheScope) if found.cacheScope else None,
        has_meta=bool(found.meta),
    )


def error_head(error: Raw | bytes) -> tuple[int, str]:
    """Code and message of an error object; -32603 and "" where the server gave none."""
    try:
        found = members(error)
    except NotAnObject:
        return INTERNAL_ERROR, ""
    code = _integer(found.get("code", _ABSENT))
    return INTERNAL_ERROR if code is None else code, string(found.get("message", b"null")) or ""


def error_for(error: Raw, *, client: Era, server: Era | None) -> Raw:
    """A server's error object as its client may see it. Message, data and unknown members keep their bytes; the code
    changes only where it would say something else to the client than the server meant.
    """
    code, _ = error_head(error)
    if client is Era.LEGACY:
        mapped = INTERNAL_ERROR if server is Era.MODERN and code in OF_THE_HOP else code
    elif code in RESERVED:
        mapped = code if server is Era.MODERN and code == MISSING_CAPABILITY else INTERNAL_ERROR
    else:
        mapped = LEGACY_CODES.get(code, code)
    return error if mapped == code else encode({**members(error), "code": text(mapped)})


def for_modern(result: Raw | bytes, *, cache: tuple[int, str] | None = None) -> Raw | bytes:
    """A legacy server's result with what modern clients need: `resultType`, and (`cache`: milliseconds and scope)
    `ttlMs` and `cacheScope` where they are absent. What is no object stays as it is.
    """
    if not is_object(result):
        return result
    found = _find(result)
    if found.meta and RELATED_TASK.encode() in bytes(found.meta):
        result = _without_related_task(result)
    added = b'"resultType":"complete"' if not found.resultType else b""
    if cache is not None:
        ttl, scope = cache
        added += b"" if found.ttlMs else b',"ttlMs":%d' % ttl
        added += b"" if found.cacheScope else b',"cacheScope":%b' % bytes(text(scope))
    return _prefixed(result, added.removeprefix(b","))


def for_legacy(result: Raw | bytes) -> Raw | bytes:
    """A modern server's result without what legacy clients do not know.

    `structuredContent` that is no object fails the validation of the whole result at clients up to 2025-11-25. It is
    dropped: the definition that it belongs to has lost its `outputSchema` (`tool_for_legacy`), and servers repeat
    it as text in `content`. Where `content` is empty, it becomes that text, so that nothing is lost.
    """
    if not is_object(result):
        return result
    found = _find(result)
    loose = bool(found.structuredContent) and not is_object(found.structuredContent)
    if not (found.resultType or found.ttlMs or found.cacheScope or loose):
        return result
    kept = {key: raw for key, raw in members(result).items() if key not in MODERN_MEMBERS}
    if loose:
        structured = kept.pop("structuredContent")
        if not found.content or _is_empty_array(found.content):
            kept["content"] = text([{"type": "text", "text": bytes(structured).decode()}])
    return encode(kept)


def tool_for_legacy(tool: Raw) -> Raw:
    """A tool's definition without an `outputSchema` that is no object's: one such makes clients up to 2025-11-25
    refuse the whole list.
    """
    found = members(tool)
    schema = found.get("outputSchema")
    if schema is None or (is_object(schema) and string(members(schema).get("type", b"null")) == "object"):
        return tool
    del found["outputSchema"]
    return encode(found)


def tool_for_modern(tool: Raw) -> Raw:
    """A tool's definition without `execution`, which 2026-07-28 removed."""
    found = members(tool)
    if found.pop("execution", None) is None:
        return tool
    return encode(found)


def renamed(definition: Raw, name: str) -> bytes:
    """A definition under another `name`."""
    return bytes(encode({**members(definition), "name": text(name)}))


def _find(result: Raw | bytes) -> _Found:
    try:
        return _FOUND.decode(result)
    except msgspec.DecodeError:
        return _find_slowly(result)


def _find_slowly(result: Raw | bytes) -> _Found:
    """For what is no object, and for texts with lone surrogates."""
    try:
        found = members(result)
    except NotAnObject:
        return _Found()
    fields = zip(_Found.__struct_fields__, _Found.__struct_encode_fields__, strict=True)
    return _Found(**{field: found[name] for field, name in fields if name in found})


def _prefixed(result: Raw | bytes, added: bytes) -> Raw | bytes:
    """`result` with `added` as its first members."""
    if not added:
        return result
    comma = b"" if _EMPTY.fullmatch(result) else b","
    return b"".join((b"{", added, comma, memoryview(result)[1:]))


def _without_related_task(result: Raw | bytes) -> Raw:
    found = members(result)
    about = members(found["_meta"])
    about.pop(RELATED_TASK, None)
    found["_meta"] = encode(about)
    return encode(found)


def _integer(raw: Raw) -> int | None:
    return int(bytes(raw)) if _SMALL_INTEGER.fullmatch(raw) else None


def _is_empty_array(raw: Raw) -> bool:
    return re.fullmatch(rb"\[[ \t\r\n]*\]", raw) is not None
