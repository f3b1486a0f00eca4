"""A model's tool calls as requests of ours, and their answers as the messages that the model reads.

Which question: what does this chat back end want called, and what does its model read of each answer? Pure. The rule:
what makes the whole body senseless is an error of the request; what concerns one call alone is told in that call's
message, so that the model can act on it. Arguments, texts and other content keep their bytes.

OpenAI API reference, Chat Completions (`tool_calls` of assistant messages, tool messages); MCP 2026-07-28
`server/tools`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from msgspec import Raw

from gateway.chat_tools import Function
from gateway.errors import HTTP_STATUS, GatewayError, Kind
from gateway.protocol import headers as http
from gateway.protocol import jsonrpc, results
from gateway.protocol import meta as keys
from gateway.protocol.jsonrpc import (
    Malformed,
    NotAnArray,
    NotAnObject,
    NotJson,
    elements,
    encode,
    members,
    string,
    text,
)
from gateway.protocol.mirrors import mirrored
from gateway.protocol.texts import is_object, is_token, word
from gateway.protocol.versions import MODERN_VERSIONS

MOST_CALLS = 128
"""Tool calls of one request at most."""

QUESTION_CHARS = 1_000

_NULL = Raw(b"null")
_EMPTY = Raw(b"{}")
_BLANKS = b" \t\r\n"
_BREAK = rb"\n"
"""A line break, as a JSON string spells it."""

_PRODUCT = re.compile(r"([^/\s]+)(?:/(\S+))?")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call. `id` is the JSON text of its id, `arguments` what the model said: a string's text or an object's."""

    id: Raw
    name: str
    arguments: Raw
    type: str = "function"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one assistant message wants called, and the chat that it claims to belong to (keys of `_meta`)."""

    calls: tuple[ToolCall, ...]
    claim: Mapping[str, Raw]


@dataclass(frozen=True, slots=True)
class Post:
    """A modern request, as a client of MCP would have posted it."""

    body: bytes
    headers: Mapping[str, str]


def open_turn(body: bytes, depth: int) -> Turn:
    """The turn that a request's body describes. Raises PARSE and INVALID_REQUEST; `data.param` says where."""
    found = _opened(body, depth)
    claim = {key: _reference(found, member) for member, key in _CLAIMS.items() if found.get(member, _NULL) != _NULL}
    return Turn(tuple(_call(raw, f"tool_calls[{at}]") for at, raw in enumerate(_listed(found))), claim)


def client_info(user_agent: str | None) -> Raw:
    """The `clientInfo` of a chat back end, from the first product of its User-Agent (RFC 9110 §10.1.5)."""
    product = _PRODUCT.match((user_agent or "").strip())
    name, version = (product[1], product[2]) if product else ("chat back end", None)
    return text({"name": name, "version": version or ""})


def listing(client: Raw, cursor: str | None) -> Post:
    """The request for one page of tools."""
    params = {} if cursor is None else {"cursor": text(cursor)}
    return _post("tools/list", params, keys.for_modern({}, version=_VERSION, capabilities=None, info=client))


def calling(call: ToolCall, function: Function, client: Raw, claim: Mapping[str, Raw]) -> Post:
    """The request for one call; it asks for progress, which keeps a long call from counting as stuck. Raises
    INVALID_PARAMS for a call that makes no sense.
    """
    if call.type != "function":
        raise GatewayError(Kind.INVALID_PARAMS, f"tool calls of type {call.type[:64]!r} are not supported here")
    arguments = _arguments(call.arguments)
    meta = keys.for_modern({}, version=_VERSION, capabilities=None, info=client, progress_token=_TOKEN)
    post = _post("tools/call", {"name": text(function.tool), "arguments": arguments}, {**meta, **claim})
    return Post(post.body, {**post.headers, **mirrored(function.mirrors, arguments)})


def message(call: ToolCall, answer: bytes) -> bytes:
    """The tool message for the JSON-RPC response to a call."""
    response = members(answer)
    if (error := response.get("error")) is not None:
        return _message(call.id, _of_error(error))
    return _message(call.id, _of_result(response["result"]))


def failure(call: ToolCall, words: str) -> bytes:
    """The tool message for a call that got no response."""
    return _message(call.id, b"Error: " + _inside(words))


def answered(messages: Iterable[bytes]) -> bytes:
    """The answer to the whole request."""
    return b'{"messages":[' + b",".join(messages) + b"]}"


def refusal(error: GatewayError) -> bytes:
    """The body of a refused request, as chat completions APIs write it."""
    kind = "server_error" if HTTP_STATUS[error.kind] >= 500 else "invalid_request_error"
    param = None if error.data is None else error.data.get("param")
    return bytes(text({"error": {"message": error.message, "type": kind, "param": param, "code": error.reason}}))


_VERSION = MODERN_VERSIONS[-1]
_ID = 1
_TOKEN = 1
"""Each request is alone in its exchange, so all can have one id and one progress token."""

_CLAIMS = {"session_id": keys.CHAT_SESSION, "message_id": keys.CHAT_MESSAGE}


def _opened(body: bytes, depth: int) -> dict[str, Raw]:
    try:
        jsonrpc.check_text(body, depth)
        return members(body)
    except Malformed as error:
        raise GatewayError(Kind.PARSE, f"{error.message}; send JSON (RFC 8259) in UTF-8") from error
    except NotJson as error:
        raise GatewayError(Kind.PARSE, f"the body is no JSON: {error}; send {_SHAPE}") from error
    except NotAnObject as error:
        raise GatewayError(Kind.INVALID_REQUEST, f"the body is no object; send {_SHAPE}") from error


_SHAPE = 'the assistant message, or {"tool_calls": […]} with its tool_calls'


def _listed(found: Mapping[str, Raw]) -> list[Raw]:
    """The calls; an assistant message without any has none."""
    if "tool_calls" not in found and string(found.get("role", _NULL)) != "assistant":
        raise _malformed("tool_calls", f"is missing; send {_SHAPE}")
    if (raw := found.get("tool_calls", _NULL)) == _NULL:
        return []
    try:
        calls = elements(raw)
    except NotAnArray as error:
        raise _malformed("tool_calls", f"must be an array; send {_SHAPE}") from error
    if len(calls) > MOST_CALLS:
        raise _malformed("tool_calls", f"holds {len(calls)} calls, and at most {MOST_CALLS} are taken; send them apart")
    return calls


def _call(raw: Raw, where: str) -> ToolCall:
    call = _object(raw, where)
    if string(id_ := call.get("id", _NULL)) is None:
        raise _malformed(f"{where}.id", "must be a string; send the call as the model's API gave it")
    if (kind := string(call.get("type", b'"function"'))) != "function":
        return ToolCall(id_, "", _NULL, kind or "?")
    function = _object(call.get("function", _NULL), f"{where}.function")
    if (name := string(function.get("name", _NULL))) is None:
        raise _malformed(f"{where}.function.name", "must be a string; send the call as the model's API gave it")
    return ToolCall(id_, name, function.get("arguments", _NULL))


def _object(raw: Raw, where: str) -> dict[str, Raw]:
    try:
        return members(raw)
    except NotAnObject as error:
        raise _malformed(where, "must be an object; send the call as the model's API gave it") from error


def _reference(found: Mapping[str, Raw], member: str) -> Raw:
    if not is_token(found[member]):
        raise _malformed(member, "must be the public id (a string) or the number of a row")
    return found[member]


def _malformed(where: str, what: str) -> GatewayError:
    return GatewayError(Kind.INVALID_REQUEST, f"{where} {what}", data={"param": where})


def _arguments(said: Raw) -> Raw:
    """The object that the model means; APIs spell it as a string, and no arguments as an empty one, null or nothing."""
    spelt = string(said)
    inner = bytes(said) if spelt is None else spelt.encode("utf-8", "backslashreplace").strip(_BLANKS)
    if inner in (b"", b"null"):
        return _EMPTY
    try:
        members(inner)
    except NotJson as error:
        raise GatewayError(Kind.INVALID_PARAMS, f"the arguments are no JSON: {error}; call again with JSON") from error
    except NotAnObject as error:
        raise GatewayError(Kind.INVALID_PARAMS, "the arguments must be a JSON object; call again with one") from error
    return Raw(inner)


def _post(method: str, params: Mapping[str, Raw], meta: Mapping[str, Raw]) -> Post:
    headers = {http.PROTOCOL_VERSION: _VERSION, http.METHOD: method}
    if "name" in params:
        if (name := word(params["name"])) is None:
            raise GatewayError(Kind.INVALID_PARAMS, "Unknown tool: its name is no text of whole characters")
        headers[http.NAME] = http.encode(name)
    return Post(jsonrpc.request(_ID, method, encode({**params, "_meta": encode(meta)})), headers)


def _of_result(result: Raw) -> bytes:
    head = results.head(result)
    if head.resultType not in (None, "complete"):
        return b"Error: " + _inside(_unsupported(head.resultType, result))
    found = members(result) if is_object(result) else {}
    return (b"Error: " if head.isError else b"") + _BREAK.join(_lines(found, result))


def _lines(found: Mapping[str, Raw], result: Raw) -> list[bytes]:
    """The content, block by block; structured content is read where no text block repeats it."""
    try:
        blocks = [_block(raw) for raw in elements(found.get("content", b"[]"))]
    except NotAnArray:
        return [_verbatim(result)]
    lines = [line for line, _ in blocks]
    if "structuredContent" in found and not any(is_text for _, is_text in blocks):
        return [*lines, _verbatim(found["structuredContent"])]
    return lines if "content" in found else [_verbatim(result)]


def _block(raw: Raw) -> tuple[bytes, bool]:
    """One content block as a line inside a JSON string, and whether it is a text."""
    block = members(raw) if is_object(raw) else {}
    said = block.get("text", _NULL)
    if string(block.get("type", _NULL)) == "text" and bytes(said).startswith(b'"'):
        return bytes(said)[1:-1], True
    return _verbatim(raw), False


def _of_error(error: Raw) -> bytes:
    """An error's message, and on a line of its own what it adds."""
    code, words = results.error_head(error)
    data = members(error).get("data", _NULL)
    words = words or f"the server answered with the error {code}"
    if code == results.MISSING_CAPABILITY:
        words = f"unsupported: {words}; call it again with all that it needs in the arguments"
    line = b"Error: " + _inside(words)
    return line if data == _NULL else line + _BREAK + _verbatim(data)


def _unsupported(kind: str, result: Raw) -> str:
    if kind != "input_required":
        return f"unsupported: the tool answered with {kind[:64]!r}, which this caller cannot take"
    asked = "; ".join(_questions(result))[:QUESTION_CHARS]
    return (
        "unsupported: before it answers, the tool asks for input that this caller cannot give"
        f"{f' ({asked})' if asked else ''}; call it again with all that it needs in the arguments"
    )


def _questions(result: Raw) -> list[str]:
    """What the tool asks, as far as it can be told in words."""
    try:
        asked = [members(raw) for raw in members(members(result).get("inputRequests", _EMPTY)).values()]
        told = [(one.get("method", _NULL), members(one.get("params", _EMPTY)).get("message", _NULL)) for one in asked]
    except NotAnObject:
        return []
    return [": ".join(words for words in map(string, pair) if words) for pair in told]


def _message(id_: Raw, content: bytes) -> bytes:
    return b'{"role":"tool","tool_call_id":%b,"content":"%b"}' % (bytes(id_), content)


def _verbatim(raw: Raw) -> bytes:
    """A JSON text as it stands inside a JSON string."""
    return _inside(bytes(raw).decode())


def _inside(words: str) -> bytes:
    return bytes(text(words))[1:-1]
