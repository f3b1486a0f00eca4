"""Tool arguments that are repeated in HTTP headers, because the tool's schema says so with `x-mcp-header`.

Which question: which `Mcp-Param-*` headers belong to this call? Pure. The rule: headers are made from the arguments
and compared with them, never copied from a client; a schema with one bad annotation is refused as a whole.

MCP 2026-07-28 `basic/transports/streamable-http` (Custom Headers from Tool Parameters).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from msgspec import Raw

from gateway.protocol import headers as http
from gateway.protocol.headers import McpHeaders, mismatch
from gateway.protocol.texts import NotAnObject, elements, encode, is_object, members, word

ANNOTATION = "x-mcp-header"

_TYPES = frozenset({"string", "integer", "boolean"})
_SCHEMAS = frozenset(
    {
        "additionalProperties",
        "allOf",
        "anyOf",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "oneOf",
        "prefixItems",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
"""Keywords whose value is a schema, or an array of them (JSON Schema 2020-12)."""

_MAPS_OF_SCHEMAS = frozenset({"patternProperties", "dependentSchemas", "$defs", "definitions"})
_NAMED_SCHEMAS = _MAPS_OF_SCHEMAS | {"properties"}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NUMBER = re.compile(r"-?\d{1,30}(?:\.\d{1,30})?(?:[eE][+-]?\d{1,2})?")
_DECIMAL = re.compile(r"-?\d{1,30}(?:\.\d{1,30})?")

_Path = tuple[str, ...]


class BadAnnotation(ValueError):
    """The schema's annotations break the specification: HTTP clients must not offer the tool. The text says why."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """The argument at `path` is repeated in `header`; `type` is its JSON Schema type."""

    header: str
    path: _Path
    type: str


def mirrors_of(tool: Raw) -> tuple[Mirror, ...]:
    """The mirrors that a tool's definition asks for. Raises `BadAnnotation`."""
    if ANNOTATION.encode() not in bytes(tool) and b"\\u" not in bytes(tool):
        return ()
    schema = json.loads(bytes(members(tool).get("inputSchema", b"null")), parse_int=float)
    mirrors = tuple(_mirror(path, node) for path, node in _schemas(schema) if ANNOTATION in node)
    names = [mirror.header.lower() for mirror in mirrors]
    if len(set(names)) < len(names):
        raise BadAnnotation(f"two {ANNOTATION} annotations name the same header")
    return mirrors


def stripped(tool: Raw) -> Raw:
    """A tool's definition whose schemas hold no annotation, right or wrong; all else keeps its bytes."""
    found = members(tool)
    schema = found.get("inputSchema")
    return tool if schema is None else encode({**found, "inputSchema": _unannotated(schema)})


def mirrored(mirrors: Iterable[Mirror], arguments: Raw | None) -> dict[str, str]:
    """The headers of a call. An argument that is absent, null or no scalar has none."""
    found = ((mirror.header, _spelt(_argument(arguments, mirror.path))) for mirror in mirrors)
    return {header: http.encode(spelt) for header, spelt in found if spelt is not None}


def check(mirrors: Sequence[Mirror], arguments: Raw | None, headers: McpHeaders) -> None:
    """Raises HEADER_MISMATCH unless each mirrored argument has its header, and each such header its argument."""
    for mirror in mirrors:
        said = headers.one(mirror.header)
        meant = _spelt(_argument(arguments, mirror.path))
        if said is None and meant is None:
            continue
        if said is None or meant is None:
            raise mismatch(f"{mirror.header} is {'missing' if said is None else 'there without its argument'}")
        if not _same(mirror, http.decode(said, mirror.header), meant):
            raise mismatch(f"{mirror.header} differs from the body")


def _schemas(root: Any) -> Iterator[tuple[_Path | None, Mapping[str, Any]]]:
    """Every schema inside `root` with its path of properties; None where no such path leads.

    References are not followed, and what is data (`default`, `enum`, …) is not searched.
    """
    waiting: list[tuple[_Path | None, Any]] = [((), root)]
    while waiting:
        path, node = waiting.pop()
        if not isinstance(node, dict):
            continue
        yield path, node
        for keyword, value in node.items():
            if keyword == "properties" and isinstance(value, dict):
                waiting += ((None if path is None else (*path, name), schema) for name, schema in value.items())
            elif keyword in _MAPS_OF_SCHEMAS and isinstance(value, dict):
                waiting += ((None, schema) for schema in value.values())
            elif keyword in _SCHEMAS:
                waiting += ((None, schema) for schema in (value if isinstance(value, list) else [value]))


def _unannotated(schema: Raw) -> Raw:
    """`schema`, or an array of schemas, without annotations at any depth."""
    if ANNOTATION.encode() not in bytes(schema) and b"\\u" not in bytes(schema):
        return schema
    if not is_object(schema):
        return _array(map(_unannotated, elements(schema))) if bytes(schema).startswith(b"[") else schema
    kept = {keyword: raw for keyword, raw in members(schema).items() if keyword != ANNOTATION}
    for keyword, raw in kept.items():
        if keyword in _SCHEMAS:
            kept[keyword] = _unannotated(raw)
        elif keyword in _NAMED_SCHEMAS and is_object(raw):
            kept[keyword] = encode({name: _unannotated(one) for name, one in members(raw).items()})
    return encode(kept)


def _array(raws: Iterable[Raw]) -> Raw:
    return Raw(b"[" + b",".join(map(bytes, raws)) + b"]")


def _mirror(path: _Path | None, schema: Mapping[str, Any]) -> Mirror:
    if not path:
        raise BadAnnotation(f"{ANNOTATION} stands where no chain of properties leads")
    name, kind = schema[ANNOTATION], schema.get("type")
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise BadAnnotation(f"{ANNOTATION} of {'.'.join(path)!r} is no HTTP token")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise BadAnnotation(f"{ANNOTATION} of {'.'.join(path)!r} needs the type string, integer or boolean")
    return Mirror(http.PARAM_PREFIX + name, path, kind)


def _argument(arguments: Raw | None, path: _Path) -> Raw | None:
    found = arguments
    for name in path:
        try:
            found = None if found is None else members(found).get(name)
        except NotAnObject:
            return None
    return found


def _spelt(argument: Raw | None) -> str | None:
    """A scalar as headers spell it; None for what headers cannot carry."""
    if argument is None or is_object(argument) or bytes(argument)[:1] in (b"[", b"n"):
        return None
    text = bytes(argument).decode()
    if text.startswith('"'):
        return word(argument)
    return _decimal(text) if _NUMBER.fullmatch(text) else text


def _decimal(number: str) -> str:
    """Integers without exponent or fraction, whatever their spelling."""
    value = Decimal(number)
    return f"{value.to_integral_value():f}" if value == value.to_integral_value() else number


def _same(mirror: Mirror, said: str, meant: str) -> bool:
    if mirror.type == "integer" and _DECIMAL.fullmatch(said) and _DECIMAL.fullmatch(meant):
        return Decimal(said) == Decimal(meant)
    return said == meant
