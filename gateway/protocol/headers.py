"""MCP's own HTTP headers: read without ambiguity, compared with the body, written for the next server.

Which question: which value does this header carry, and is it what the body says? Pure. The rule: a header that
intermediaries route by has exactly one reading; a repeated, undecodable or differing one is refused.

MCP 2026-07-28 `basic/transports/streamable-http` (Standard Request Headers, Value Encoding, Server Validation).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from gateway.errors import GatewayError, Kind

PROTOCOL_VERSION = "MCP-Protocol-Version"
METHOD = "Mcp-Method"
NAME = "Mcp-Name"
SESSION = "Mcp-Session-Id"
PARAM_PREFIX = "Mcp-Param-"

NAMED: Mapping[str, str] = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
"""Methods whose requests carry `Mcp-Name`, and the member of their params that it repeats (tasks: SEP-2663)."""

_BLANKS = " \t"
_PLAIN = re.compile(r"[\x20-\x7e]*")
_VISIBLE = re.compile(r"[\t\x20-\x7e]*")
_SENTINEL = re.compile(r"=\?base64\?(.*)\?=")


class McpHeaders:
    """The MCP headers of one HTTP request, in every copy that came. Names are compared without case."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in headers.items():  # a multidict yields each copy
            key = name.lower()
            if key.startswith("mcp-"):
                self._values.setdefault(key, []).append(value.strip(_BLANKS))

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._values

    def all(self, name: str) -> list[str]:
        """Every copy, undecoded."""
        return self._values.get(name.lower(), [])

    def one(self, name: str) -> str | None:
        """The only copy, undecoded; None when there is none. Raises HEADER_MISMATCH when there are several."""
        copies = self.all(name)
        if len(copies) > 1:
            raise mismatch(f"{name} is repeated")
        return copies[0] if copies else None

    def check(self, name: str, expected: str) -> None:
        """Raises HEADER_MISMATCH unless the header says `expected`, which the body says."""
        found = self.one(name)
        if found is None:
            raise mismatch(f"{name} is missing")
        if found != expected:
            raise mismatch(f"{name} differs from the body")

    def check_encoded(self, name: str, expected: str) -> None:
        """`check` for a header whose value may be base64 behind the sentinel."""
        found = self.one(name)
        if found is None:
            raise mismatch(f"{name} is missing")
        if decode(found, name) != expected:
            raise mismatch(f"{name} differs from the body")


def encode(value: str) -> str:
    """`value` as a header carries it: as it is, or base64 behind the sentinel where it would not arrive unchanged."""
    plain = _PLAIN.fullmatch(value) and value == value.strip(_BLANKS) and not _SENTINEL.fullmatch(value)
    if plain:
        return value
    return f"=?base64?{base64.b64encode(value.encode('utf-8', 'surrogatepass')).decode('ascii')}?="


def decode(value: str, name: str) -> str:
    """The value of header `name`. Raises HEADER_MISMATCH for bad characters, base64 or UTF-8."""
    if not _VISIBLE.fullmatch(value):
        raise mismatch(f"{name} holds characters that need the base64 form")
    if not (found := _SENTINEL.fullmatch(value)):
        return value
    try:
        decoded = base64.b64decode(found[1], validate=True)
        if base64.b64encode(decoded).decode("ascii") != found[1]:  # spare bits would give one name two spellings
            raise mismatch(f"{name} is no canonical base64")
        return decoded.decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise mismatch(f"{name} is no base64 of UTF-8") from error


def mismatch(what: str) -> GatewayError:
    return GatewayError(Kind.HEADER_MISMATCH, f"Header mismatch: {what}")
