"""What a server may ask of a client: only what that client has declared.

Which question: does this message of a server ask for anything beyond these capabilities? Pure. The rule: absent means
forbidden; an empty `elicitation` means forms, as the revisions before URLs had it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]
MISSING_CAPABILITY = -32021


def beyond(message: Json, declared: Json) -> Json | None:
    """The capabilities that a request of the server, or the questions in its result, need beyond `declared`."""
    for method, params in _questions(message):
        needed = _needed(method, params)
        if not _covers(declared, needed):
            return needed
    return None


def refusal(id: Any, needed: Json) -> Json:
    """The error of MCP 2026-07-28 for a request whose client lacks a capability."""
    error = {
        "code": MISSING_CAPABILITY,
        "message": "The client has not declared what the server needs",
        "data": {"requiredCapabilities": needed},
    }
    return {"jsonrpc": "2.0", "id": id, "error": error}


def _questions(message: Json) -> Iterator[tuple[str, Json]]:
    if "method" in message and "id" in message:
        yield message["method"], message.get("params") or {}
    result = message.get("result")
    if isinstance(result, Mapping) and result.get("resultType") == "input_required":
        for asked in (result.get("inputRequests") or {}).values():
            yield asked["method"], asked.get("params") or {}


def _needed(method: str, params: Json) -> Json:
    match method:
        case "elicitation/create":
            return {"elicitation": {params.get("mode", "form"): {}}}
        case "sampling/createMessage":
            return {"sampling": {"tools": {}} if params.get("tools") else {}}
        case "roots/list":
            return {"roots": {}}
        case _:
            return {}


def _covers(declared: Json, needed: Json) -> bool:
    for name, details in needed.items():
        if name not in declared:
            return False
        known = declared[name] or ({"form": {}} if name == "elicitation" else {})
        if not set(details) <= set(known):
            return False
    return True
