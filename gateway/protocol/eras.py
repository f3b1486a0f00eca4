"""A client's era, and what each era demands of a request before anything else looks at it.

Which question: does this message come from a modern or a legacy client, and does it say all that it must? Pure. The
rule: the body decides; headers must then agree with it, in the order of the specification's error codes: envelope
(-32602), header against body (-32020), version (-32022).

MCP 2026-07-28 `basic/index` (_meta), `basic/versioning`, `basic/transports/streamable-http` (Server Validation);
MCP 2025-11-25 `basic/lifecycle`, `basic/transports` (Protocol Version Header).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol import headers as http
from gateway.protocol import meta as keys
from gateway.protocol.headers import McpHeaders
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.protocol.params import Params, open_params
from gateway.protocol.texts import NotAnObject, is_object, is_whole, members, word
from gateway.protocol.versions import (
    ASSUMED_VERSION,
    HANDSHAKE_VERSIONS,
    LEGACY_VERSIONS,
    MODERN_VERSIONS,
    SUPPORTED,
    Era,
)

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""Severities of log messages, least first (RFC 5424, MCP 2026-07-28 `server/utilities/logging`)."""


@dataclass(frozen=True, slots=True)
class ModernRequest:
    """What a modern request says of its client; every `Raw` is the client's own JSON text."""

    version: str
    params: Params
    capabilities: Raw
    client_info: Raw | None = None
    log_level: Raw | None = None


@dataclass(frozen=True, slots=True)
class Handshake:
    """What `initialize` asks for; `capabilities` and `client_info` are the client's own JSON texts."""

    version: str
    capabilities: Raw
    client_info: Raw


def classify(headers: Mapping[str, str], message: Message) -> Era:
    """The era of a POST's message.

    Modern is who sends the modern envelope, or names a version that no handshake knows. A response belongs to a
    legacy session or to nobody.
    """
    mine = McpHeaders(headers)
    if any(version not in HANDSHAKE_VERSIONS for version in mine.all(http.PROTOCOL_VERSION)):
        return Era.MODERN
    if message.kind in (MessageKind.RESULT, MessageKind.ERROR):
        return Era.LEGACY if http.SESSION in mine else Era.MODERN
    return Era.MODERN if _has_envelope(message) else Era.LEGACY


def check_modern(headers: Mapping[str, str], message: Message) -> ModernRequest:
    """The request of a modern client. Raises INVALID_REQUEST for a response, INVALID_PARAMS for an incomplete
    envelope, HEADER_MISMATCH, and UNSUPPORTED_VERSION.
    """
    if message.kind is not MessageKind.REQUEST:
        raise GatewayError(Kind.INVALID_REQUEST, "Invalid request: only requests and notifications can be posted")
    params = open_params(message.params)
    request = _modern_request(params)
    _check_headers(McpHeaders(headers), message, request)
    if request.version not in MODERN_VERSIONS:
        raise GatewayError(
            Kind.UNSUPPORTED_VERSION,
            "Unsupported protocol version",
            data={"supported": list(SUPPORTED), "requested": request.version},
        )
    _check_log_level(request.log_level)
    return request


def check_legacy(headers: Mapping[str, str], version: str | None) -> None:
    """Raises INVALID_REQUEST for a version header that is repeated or names no version of ours.

    `version` is the session's, None without one. A session keeps its version, whatever version of ours a later
    request names: some clients always name the same one.
    """
    named = McpHeaders(headers).all(http.PROTOCOL_VERSION)
    if len(named) > 1 or not {version or ASSUMED_VERSION, *LEGACY_VERSIONS}.issuperset(named):
        raise GatewayError(
            Kind.INVALID_REQUEST,
            f"Unsupported protocol version {', '.join(named)[:64]!r}; supported: {', '.join(LEGACY_VERSIONS)}",
            reason=Kind.UNSUPPORTED_VERSION.value,
        )


def legacy_version(headers: Mapping[str, str]) -> str:
    """The version of a legacy request without a session."""
    named = McpHeaders(headers).all(http.PROTOCOL_VERSION)
    return named[0] if named else ASSUMED_VERSION


def open_initialize(message: Message) -> Handshake:
    """Raises INVALID_PARAMS when a required member is missing or of another type."""
    params = open_params(message.params).members
    version = word(params.get("protocolVersion", b"null"))
    if version is None:
        raise GatewayError(Kind.INVALID_PARAMS, "Invalid params: protocolVersion must be a string")
    return Handshake(version, _object(params, "capabilities"), _object(params, "clientInfo"))


def _has_envelope(message: Message) -> bool:
    if message.params is None:
        return False
    try:
        meta = members(members(message.params).get("_meta", b"{}"))
    except NotAnObject:
        return False
    return keys.PROTOCOL_VERSION in meta


def _modern_request(params: Params) -> ModernRequest:
    missing = [key for key in (keys.PROTOCOL_VERSION, keys.CLIENT_CAPABILITIES) if key not in params.meta]
    if missing:
        raise GatewayError(Kind.INVALID_PARAMS, f"Invalid params: _meta lacks {' and '.join(missing)}")
    version = word(params.meta[keys.PROTOCOL_VERSION])
    if version is None:
        raise GatewayError(Kind.INVALID_PARAMS, f"Invalid params: _meta {keys.PROTOCOL_VERSION} must be a string")
    for key in (keys.CLIENT_CAPABILITIES, keys.CLIENT_INFO):
        if key in params.meta and not is_object(params.meta[key]):
            raise GatewayError(Kind.INVALID_PARAMS, f"Invalid params: _meta {key} must be an object")
    return ModernRequest(
        version=version,
        params=params,
        capabilities=params.meta[keys.CLIENT_CAPABILITIES],
        client_info=params.meta.get(keys.CLIENT_INFO),
        log_level=params.meta.get(keys.LOG_LEVEL),
    )


def _check_headers(headers: McpHeaders, message: Message, request: ModernRequest) -> None:
    headers.check(http.PROTOCOL_VERSION, request.version)
    headers.check(http.METHOD, message.method)
    headers.one(http.NAME)
    member = http.NAMED.get(message.method)
    named = None if member is None else word(request.params.members.get(member, b"null"))
    if named is not None:  # a missing name is the method's to refuse, as -32602
        headers.check_encoded(http.NAME, named)


def _check_log_level(level: Raw | None) -> None:
    if level is not None and word(level) not in LEVELS:
        raise GatewayError(Kind.INVALID_PARAMS, f"Invalid params: logLevel must be one of {', '.join(LEVELS)}")


def _object(params: Mapping[str, Raw], member: str) -> Raw:
    """A member that the session id will carry, which only whole characters survive."""
    found = params.get(member)
    if found is None or not is_object(found):
        raise GatewayError(Kind.INVALID_PARAMS, f"Invalid params: {member} must be an object")
    if not is_whole(found):
        raise GatewayError(Kind.INVALID_PARAMS, f"Invalid params: {member} holds half of a surrogate pair")
    return found
