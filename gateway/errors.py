"""One family of errors, by whose fault it is, and the tables that turn a kind into an answer.

Which question: what went wrong, and which status, code and outcome does that have? Imports only the records'
vocabulary. The rule: every kind stands in every table (a test proves it), so that nothing else chooses a status.

Statuses and codes: MCP 2026-07-28 `basic/index` (error codes), `basic/transports/streamable-http` (server
validation), MCP 2025-11-25 `basic/transports` (session management), RFC 9110.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from storage.records import Outcome


class Kind(StrEnum):
    """What went wrong."""

    # The caller's.
    PARSE = "parse"
    INVALID_REQUEST = "invalid_request"
    INVALID_PARAMS = "invalid_params"
    HEADER_MISMATCH = "header_mismatch"
    MISSING_CAPABILITY = "missing_capability"
    UNSUPPORTED_VERSION = "unsupported_version"
    METHOD_NOT_FOUND = "method_not_found"
    UNKNOWN_TOOL = "unknown_tool"
    UNKNOWN_SERVER = "unknown_server"
    UNKNOWN_CALL = "unknown_call"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN_ORIGIN = "forbidden_origin"
    FORBIDDEN_HOST = "forbidden_host"
    BODY_TOO_LARGE = "body_too_large"
    BODY_TOO_SLOW = "body_too_slow"
    UNSUPPORTED_MEDIA = "unsupported_media"
    NOT_ACCEPTABLE = "not_acceptable"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    SESSION_MISSING = "session_missing"
    SESSION_UNKNOWN = "session_unknown"
    # The server's.
    SERVER_DOWN = "server_down"
    SERVER_CLOSED = "server_closed"
    SERVER_PROTOCOL = "server_protocol"
    SERVER_STATUS = "server_status"
    ANSWER_TOO_LARGE = "answer_too_large"
    TIMEOUT = "timeout"
    # Nobody's.
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"
    BUSY = "busy"
    DRAINING = "draining"
    # Ours.
    RECORDS_FULL = "records_full"
    INTERNAL = "internal"


HTTP_STATUS: Mapping[Kind, int] = {
    Kind.PARSE: 400,
    Kind.INVALID_REQUEST: 400,
    Kind.INVALID_PARAMS: 400,
    Kind.HEADER_MISMATCH: 400,
    Kind.MISSING_CAPABILITY: 400,
    Kind.UNSUPPORTED_VERSION: 400,
    Kind.METHOD_NOT_FOUND: 404,
    Kind.UNKNOWN_TOOL: 200,
    Kind.UNKNOWN_SERVER: 404,
    Kind.UNKNOWN_CALL: 404,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN_ORIGIN: 403,
    Kind.FORBIDDEN_HOST: 421,
    Kind.BODY_TOO_LARGE: 413,
    Kind.BODY_TOO_SLOW: 408,
    Kind.UNSUPPORTED_MEDIA: 415,
    Kind.NOT_ACCEPTABLE: 406,
    Kind.METHOD_NOT_ALLOWED: 405,
    Kind.SESSION_MISSING: 400,
    Kind.SESSION_UNKNOWN: 404,
    Kind.SERVER_DOWN: 200,
    Kind.SERVER_CLOSED: 200,
    Kind.SERVER_PROTOCOL: 200,
    Kind.SERVER_STATUS: 200,
    Kind.ANSWER_TOO_LARGE: 200,
    Kind.TIMEOUT: 200,
    Kind.CANCELLED: 200,
    Kind.ABANDONED: 200,
    Kind.BUSY: 503,
    Kind.DRAINING: 503,
    Kind.RECORDS_FULL: 503,
    Kind.INTERNAL: 200,
}
"""Statuses of modern answers and of refusals before a session; errors inside a legacy session travel with 200."""

JSONRPC_CODE: Mapping[Kind, int] = {
    Kind.PARSE: -32700,
    Kind.INVALID_REQUEST: -32600,
    Kind.INVALID_PARAMS: -32602,
    Kind.HEADER_MISMATCH: -32020,
    Kind.MISSING_CAPABILITY: -32021,
    Kind.UNSUPPORTED_VERSION: -32022,
    Kind.METHOD_NOT_FOUND: -32601,
    Kind.UNKNOWN_TOOL: -32602,
    Kind.UNKNOWN_SERVER: -32600,
    Kind.UNKNOWN_CALL: -32600,
    Kind.UNAUTHENTICATED: -32600,
    Kind.FORBIDDEN_ORIGIN: -32600,
    Kind.FORBIDDEN_HOST: -32600,
    Kind.BODY_TOO_LARGE: -32600,
    Kind.BODY_TOO_SLOW: -32600,
    Kind.UNSUPPORTED_MEDIA: -32600,
    Kind.NOT_ACCEPTABLE: -32600,
    Kind.METHOD_NOT_ALLOWED: -32600,
    Kind.SESSION_MISSING: -32600,
    Kind.SESSION_UNKNOWN: -32600,
    Kind.SERVER_DOWN: -32603,
    Kind.SERVER_CLOSED: -32603,
    Kind.SERVER_PROTOCOL: -32603,
    Kind.SERVER_STATUS: -32603,
    Kind.ANSWER_TOO_LARGE: -32603,
    Kind.TIMEOUT: -32603,
    Kind.CANCELLED: -32603,
    Kind.ABANDONED: -32603,
    Kind.BUSY: -32603,
    Kind.DRAINING: -32603,
    Kind.RECORDS_FULL: -32603,
    Kind.INTERNAL: -32603,
}

OUTCOME: Mapping[Kind, Outcome] = {
    **dict.fromkeys(Kind, Outcome.REFUSED),
    Kind.SERVER_CLOSED: Outcome.UPSTREAM_ERROR,
    Kind.SERVER_PROTOCOL: Outcome.UPSTREAM_ERROR,
    Kind.SERVER_STATUS: Outcome.UPSTREAM_ERROR,
    Kind.ANSWER_TOO_LARGE: Outcome.UPSTREAM_ERROR,
    Kind.TIMEOUT: Outcome.TIMEOUT,
    Kind.CANCELLED: Outcome.CANCELLED,
    Kind.ABANDONED: Outcome.ABANDONED,
    Kind.INTERNAL: Outcome.UPSTREAM_ERROR,
}


class GatewayError(Exception):
    """An error with a kind.

    `message` is one line for the person who can mend it, without secrets; `data` becomes the JSON-RPC error's
    `data`; `reason` is a short word for records and metrics (default: the kind); `unsent` says that the server
    cannot have seen the request, so that it may be sent again.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        data: Mapping[str, Any] | None = None,
        reason: str | None = None,
        unsent: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.data = data
        self.reason = reason or kind.value
        self.unsent = unsent
