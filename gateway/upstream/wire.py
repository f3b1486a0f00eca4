"""Small pieces of the wire that both eras share.

Which question: which client headers may travel on, and how is a request called off? Pure. The rule: a header that we
own is never taken from a client, whatever the allowlist says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol import jsonrpc
from gateway.upstream.values import Forward

OURS = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "last-event-id",
        "mcp-method",
        "mcp-name",
        "mcp-protocol-version",
        "mcp-session-id",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that belong to one hop or to the protocol (RFC 9110 §7.6.1, MCP `basic/transports`)."""


def allowed(headers: Mapping[str, str]) -> dict[str, str]:
    """The client's allow-listed headers without those that we own."""
    if not headers:
        return {}
    return {
        name: value
        for name, value in headers.items()
        if name.lower() not in OURS and not name.lower().startswith(("mcp-param-", "proxy-"))
    }


def request(id: int, method: str, params: Mapping[str, Raw | bytes]) -> bytes:
    """A request of ours."""
    return jsonrpc.request(id, method, jsonrpc.encode(params))


def token_of(id: int, call: Forward) -> Raw | None:
    """The progress token of `call` sent as `id`: the id itself, where the client wants progress."""
    return Raw(str(id).encode()) if call.client.wants_progress else None


def cancelled(id: int, reason: str) -> bytes:
    """`notifications/cancelled` for our request `id`; `reason` is plain words of ours."""
    return jsonrpc.notification("notifications/cancelled", jsonrpc.text({"requestId": id, "reason": reason}))


def opened(raw: Raw | bytes, what: str) -> dict[str, Raw]:
    """The members of `what`, which a server sent. Raises SERVER_PROTOCOL when it is no object."""
    try:
        return jsonrpc.members(raw)
    except jsonrpc.NotAnObject:
        raise GatewayError(Kind.SERVER_PROTOCOL, f"the server's {what} is no object", reason="protocol") from None


class Said(TypedDict):
    capabilities: Raw | None
    server_info: Raw | None
    instructions: str | None


def said(found: Mapping[str, Raw], about: Raw | None) -> Said:
    """What both handshakes say, with its own copies of the bytes; `about` is the server's info."""
    capabilities = found.get("capabilities")
    return Said(
        capabilities=None if capabilities is None else jsonrpc.copy(capabilities),
        server_info=None if about is None else jsonrpc.copy(about),
        instructions=jsonrpc.string(found.get("instructions", b"null")),
    )
