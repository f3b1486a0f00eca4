"""Messages out of one JSON text, whoever framed it.

Which question: which messages did the server send in this line or event? Pure. The rule: what cannot be read is
reported, and does not take its neighbours with it.

Servers of 2025-03-26 may send arrays (MCP 2025-03-26 `basic/index`, Batching); later ones may not, and are read the
same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gateway.errors import GatewayError, Kind
from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import PARSE_ERROR, Malformed, Message
from gateway.protocol.texts import NotAnArray, elements


def messages(text: bytes, on_malformed: Callable[[Malformed], None]) -> Iterator[Message]:
    """The message in `text`, or those in the array that it is."""
    try:
        parts = [bytes(part) for part in elements(text)] if text.lstrip().startswith(b"[") else [text]
    except NotAnArray as error:
        on_malformed(Malformed(PARSE_ERROR, f"Parse error: {error}"))
        return
    for part in parts:
        try:
            yield jsonrpc.parse(part)
        except Malformed as error:
            on_malformed(error)


def malformed(error: Malformed) -> GatewayError:
    """The error of an answer that is no message."""
    message = f"the server's answer is no JSON-RPC message: {error.message}"
    return GatewayError(Kind.SERVER_PROTOCOL, message, reason="malformed")


def too_large(limit: int) -> GatewayError:
    """The error of a message of more than `limit` bytes."""
    return GatewayError(Kind.ANSWER_TOO_LARGE, f"the server's answer exceeds limits.response_bytes ({limit})")
