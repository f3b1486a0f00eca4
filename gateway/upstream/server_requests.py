"""What a server gets that asks us something while it serves a call.

Which question: who answers elicitation, sampling, roots and ping? No I/O. The rule: every request gets an answer at
once, so that no server waits for a client that will never hear of it.

MCP 2025-11-25 `basic/utilities/ping`, `client/elicitation`, `client/sampling`, `client/roots`.
"""

from __future__ import annotations

from msgspec import Raw

from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import Message
from gateway.upstream.refusals import METHOD_NOT_FOUND
from gateway.upstream.values import Forward

_NULL = Raw(b"null")


class PingOnly:
    """Answers `ping`; declines the rest, none of which our `initialize` declares."""

    async def answer(self, request: Message, call: Forward | None) -> bytes:
        if request.method == "ping":
            return jsonrpc.result(request.id or _NULL, b"{}")
        return jsonrpc.error(request.id, METHOD_NOT_FOUND, f"{request.method} is not supported through this gateway")
