"""How a call ended: the words of its record, and the client's answer.

Which question: what does this response, error or cancellation mean for the record and for the client? Pure. The
rule: a server's own error, code and data pass; a failure on the way is told as what it was, and a tool call's as a
result that the model can act on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec
from msgspec import Raw

from gateway import abilities, capabilities, local, methods
from gateway.errors import HTTP_STATUS, JSONRPC_CODE, OUTCOME, GatewayError, Kind
from gateway.protocol import jsonrpc, results
from gateway.protocol.results import Head
from gateway.protocol.versions import Era
from gateway.request import Request
from gateway.sink import Answer
from storage.records import Outcome

MODEL_CAN_ACT = frozenset(
    {
        Kind.SERVER_DOWN,
        Kind.SERVER_CLOSED,
        Kind.SERVER_STATUS,
        Kind.SERVER_PROTOCOL,
        Kind.ANSWER_TOO_LARGE,
        Kind.TIMEOUT,
        Kind.BUSY,
        Kind.DRAINING,
    }
)
"""Kinds that a tool call answers as a result, since the model can choose another way; all else is an error."""

ERROR_STATUS: Mapping[int, int] = {-32021: 400, -32601: 404}
"""HTTP statuses that the specification wants of errors towards modern clients."""

PASSED_STATUSES = frozenset({200, 400, 404})
"""HTTP statuses of a modern server that mean the same of our answer."""

CACHE: Mapping[str, tuple[int, str]] = {"resources/read": (0, "private")}
"""How long, and by whom, a legacy server's results may be kept (MCP 2026-07-28 `server/utilities/caching`)."""

ERROR_CHARS = 4_096
REQUEST_CANCELLED = -32800
"""The code that ends a stream whose request was cancelled; LSP's RequestCancelled, which MCP servers use."""


@dataclass(frozen=True, slots=True)
class Ending:
    """`payload` is the JSON text that the record keeps; `error` one line for whoever reads the records."""

    outcome: Outcome
    answer: Answer
    reason: str | None = None
    error: str | None = None
    payload: Raw | None = None


class Result(msgspec.Struct, frozen=True):
    """What a server answered: `head` is what `body` says of itself, `shown` is it under the client's names."""

    body: Raw
    head: Head
    shown: Raw


def of_result(request: Request, result: Result, server_era: Era | None) -> Ending:
    """The ending of a call that its server answered."""
    body, head = result.body, result.head
    outcome, error = Outcome.OK, None
    if head.resultType == "task" and server_era is Era.MODERN and not _knows_tasks(request):
        failure = _CANNOT_FOLLOW if request.era is Era.LEGACY else missing_tasks()
        return Ending(Outcome.PROTOCOL_ERROR, refusal(request, failure), "task", failure.message, body)
    if head.resultType == "input_required":
        outcome = Outcome.INPUT_REQUIRED
        if request.era is Era.LEGACY:
            return Ending(outcome, refusal(request, _CANNOT_ASK), "input_required", _CANNOT_ASK.message, body)
        if (wrong := _wrongly_asked(request, body)) is not None:
            return wrong
    elif head.isError:
        outcome, error = Outcome.TOOL_ERROR, _first_text(body)
    answer = Answer(jsonrpc.result(request.id, _for_client(request, server_era, result.shown)))
    return Ending(outcome, answer, error=error, payload=body)


def of_error(request: Request, body: Raw, shown: Raw, server_era: Era | None, status: int | None) -> Ending:
    """The ending of a call that its server answered with a JSON-RPC error, under HTTP `status` (None on a pipe)."""
    own = results.error_for(shown, client=request.era, server=server_era or request.era)
    code, message = results.error_head(own)
    answer = Answer(jsonrpc.error_raw(request.id, own), _status(request.era, server_era, code, status))
    return Ending(Outcome.PROTOCOL_ERROR, answer, str(code), message[:ERROR_CHARS], body)


def of_failure(request: Request, failure: GatewayError) -> Ending:
    """The ending of a call that got no answer from its server."""
    return Ending(
        outcome=OUTCOME[failure.kind],
        answer=refusal(request, failure),
        reason=failure.reason,
        error=failure.message,
    )


def of_cancellation(request: Request, kind: Kind) -> Ending:
    """The ending of a call that was stopped; its client, if it still reads, gets the end of its stream."""
    words = {
        Kind.CANCELLED: "the request was cancelled",
        Kind.ABANDONED: "nobody was left to read the answer",
        Kind.DRAINING: "the gateway is shutting down; send the request again",
    }
    answer = Answer(jsonrpc.error(request.id, REQUEST_CANCELLED, words[kind]))
    outcome = Outcome.ABANDONED if kind is Kind.DRAINING else OUTCOME[kind]
    return Ending(outcome, answer, reason=kind.value, error=words[kind])


def refusal(request: Request, failure: GatewayError) -> Answer:
    """What the client of a refused or failed request reads."""
    if request.method == "tools/call" and failure.kind in MODEL_CAN_ACT:
        return Answer(jsonrpc.result(request.id, local.failed_call(failure.message, request.era)))
    return error_answer(request.id, failure, request.era)


def error_answer(id: Raw | None, failure: GatewayError, era: Era) -> Answer:
    """A JSON-RPC error. Inside a legacy session an error travels with 200, except what is refused before the request
    counts as one of the session: an id that is in flight already (400), and a full record backlog (503).
    """
    body = jsonrpc.error(id, JSONRPC_CODE[failure.kind], failure.message, failure.data)
    in_stream = era is Era.LEGACY and failure.kind in {Kind.METHOD_NOT_FOUND, Kind.INVALID_PARAMS, Kind.UNKNOWN_TOOL}
    return Answer(body, 200 if in_stream else HTTP_STATUS[failure.kind])


_CANNOT_ASK = GatewayError(
    Kind.SERVER_PROTOCOL,
    "the server asks for more input before it answers, in a way that this client's protocol version does not know",
    reason="input_required",
)


_CANNOT_FOLLOW = GatewayError(
    Kind.SERVER_PROTOCOL,
    "the server has made a task of this request, in a way that this client's protocol version does not know",
    reason="task",
)


def missing_tasks() -> GatewayError:
    """A modern client must declare the extension in each request that needs it (ext-tasks 2026-07-28)."""
    required: dict[str, object] = {"requiredCapabilities": {"extensions": {capabilities.TASKS: {}}}}
    return GatewayError(Kind.MISSING_CAPABILITY, "Missing required client capability", data=required)


def check_knows_tasks(request: Request) -> None:
    """Raises MISSING_CAPABILITY (ext-tasks 2026-07-28, Protocol Errors)."""
    if not capabilities.declares(request.client.capabilities, capabilities.TASKS):
        raise missing_tasks()


def _knows_tasks(request: Request) -> bool:
    return request.era is Era.MODERN and capabilities.declares(request.client.capabilities, capabilities.TASKS)


def _wrongly_asked(request: Request, body: Raw) -> Ending | None:
    """The ending of a call whose server asks what it must not: in answer to this method, or of a client that did not
    declare that it can be asked so (MCP 2026-07-28 `basic/patterns/mrtr`, Server Requirements). None for one that may.
    """
    if request.method in methods.FORWARDED and request.method not in methods.MAY_ASK:
        words = f"the server asks for input in its answer to {request.method}, which has none"
        failure = GatewayError(Kind.SERVER_PROTOCOL, words, reason="input_required")
        return replace(of_failure(request, failure), payload=body)
    needed = abilities.lacking(body, request.client.capabilities)
    if not needed:
        return None
    asked = abilities.told(body)
    words = f"the server asks for input that the client does not declare to give: {', '.join(needed)} ({asked})"
    failure = GatewayError(Kind.MISSING_CAPABILITY, words, data={"requiredCapabilities": needed})
    answer = error_answer(request.id, failure, request.era)
    return Ending(Outcome.PROTOCOL_ERROR, answer, str(JSONRPC_CODE[failure.kind]), words, body)


def _status(client: Era, server: Era | None, code: int, status: int | None) -> int:
    """A modern server's own status goes with its error; elsewhere the code decides (MCP 2026-07-28
    `basic/transports/streamable-http` §Protocol Version Header, `basic/index` §Error Codes).
    """
    if client is Era.LEGACY:
        return 200
    if code in ERROR_STATUS:
        return ERROR_STATUS[code]
    return status if server is Era.MODERN and status in PASSED_STATUSES else 200


def _for_client(request: Request, server: Era | None, body: Raw) -> Raw | bytes:
    if request.era is server:
        return body
    if request.era is Era.LEGACY:
        return results.for_legacy(body)
    return results.for_modern(body, cache=CACHE.get(request.method))


def _first_text(body: Raw) -> str | None:
    """The first text block of a tool's error; None where there is none to read."""
    try:
        content = msgspec.json.decode(jsonrpc.members(body).get("content", b"[]"), type=list[dict[str, object]])
    except msgspec.MsgspecError:
        return None
    texts = (block.get("text") for block in content)
    return next((text[:ERROR_CHARS] for text in texts if isinstance(text, str)), None)
