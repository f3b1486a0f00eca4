"""What the gateway answers by itself: the handshakes, discovery, and lists from the routing table.

Which question: what does this endpoint say about itself? Pure. The rule: nothing here waits for a server; what is
advertised is what works.

MCP 2026-07-28 `server/discover`, `server/tools`, `server/utilities/caching`; MCP 2025-11-25 `basic/lifecycle`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway import __version__, capabilities
from gateway.capabilities import Capabilities
from gateway.errors import GatewayError, Kind
from gateway.paging import page
from gateway.protocol import jsonrpc
from gateway.protocol.listed import Listed
from gateway.protocol.meta import SERVER_INFO
from gateway.protocol.versions import LEGACY_VERSIONS, MODERN_VERSIONS, Era
from gateway.routing import Endpoint

SERVER = {"name": "mcp-gateway", "title": "MCP gateway", "version": __version__}
SETTLED_TTL_MS = 5_000
"""How long a modern client may keep a list; a list that may still grow may not be kept at all."""


def initialized(endpoint: Endpoint, version: str, *, lists_tasks: bool = True) -> bytes:
    """The result of `initialize` at the negotiated version; `lists_tasks`: the caller may see all tasks of a server."""
    result: dict[str, object] = {"protocolVersion": version, "serverInfo": SERVER}
    advertised = endpoint.capabilities[Era.LEGACY]
    return _described(result, endpoint, advertised if lists_tasks else capabilities.without_task_lists(advertised))


def discovered(endpoint: Endpoint) -> bytes:
    """The result of `server/discover`."""
    result: dict[str, object] = {
        "resultType": "complete",
        "supportedVersions": [*reversed(MODERN_VERSIONS), *reversed(LEGACY_VERSIONS)],
        **_cache(endpoint),
        "_meta": {SERVER_INFO: SERVER},
    }
    return _described(result, endpoint, endpoint.capabilities[Era.MODERN])


def listed(endpoint: Endpoint, kind: Listed, era: Era, cursor: str | None) -> bytes:
    """The result of a list: one page. Raises METHOD_NOT_FOUND for what this endpoint does not have, and
    INVALID_PARAMS for a cursor that is not ours.
    """
    if kind.capability not in endpoint.capabilities[era]:
        raise GatewayError(Kind.METHOD_NOT_FOUND, "Method not found", data={"method": kind.method})
    definitions, following = page(endpoint, kind, era, cursor)
    members: dict[str, object] = {}
    if era is Era.MODERN:
        members = {"resultType": "complete", **_cache(endpoint), "_meta": {SERVER_INFO: SERVER}}
    if following is not None:
        members["nextCursor"] = following
    return _spliced(kind, definitions, bytes(jsonrpc.text(members)))


def told(endpoint: Endpoint, era: Era) -> frozenset[str]:
    """The notifications by which clients hear that a list of this endpoint has changed."""
    return frozenset(kind.changed for kind in Listed if kind.capability in endpoint.capabilities[era])


def completed_by_nothing(era: Era) -> bytes:
    """The result of `completion/complete` where the server that it is for completes nothing, and others here do."""
    result: dict[str, object] = {"completion": {"values": [], "hasMore": False}}
    if era is Era.MODERN:
        result = {"resultType": "complete", **result, "_meta": {SERVER_INFO: SERVER}}
    return bytes(jsonrpc.text(result))


def failed_call(text: str, era: Era) -> bytes:
    """A `tools/call` result that tells the model what went wrong (MCP 2026-07-28 `server/tools` §Error Handling)."""
    result: dict[str, object] = {"content": [{"type": "text", "text": text}], "isError": True}
    if era is Era.MODERN:
        result = {"resultType": "complete", **result, "_meta": {SERVER_INFO: SERVER}}
    return bytes(jsonrpc.text(result))


def _cache(endpoint: Endpoint) -> dict[str, object]:
    return {"ttlMs": SETTLED_TTL_MS if endpoint.complete else 0, "cacheScope": "private"}


def _described(result: Mapping[str, object], endpoint: Endpoint, advertised: Capabilities) -> bytes:
    if endpoint.instructions is not None:
        result = {**result, "instructions": endpoint.instructions}
    members = {name: jsonrpc.text(value) for name, value in result.items()}
    return bytes(jsonrpc.encode({**members, "capabilities": jsonrpc.encode(advertised)}))


def _spliced(name: str, values: Sequence[bytes], rest: bytes) -> bytes:
    """`{"name":[values],…rest}`: the values keep their bytes."""
    tail = b"}" if rest == b"{}" else b"," + rest[1:]
    return b'{"' + name.encode() + b'":[' + b",".join(values) + b"]" + tail
