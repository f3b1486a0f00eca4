"""The capability check of the fronts is neither lenient nor stricter than the revisions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.capabilities import beyond, refusal


def request(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def questions(**asked: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "result": {"resultType": "input_required", "inputRequests": asked}}


ALLOWED = [
    (request("elicitation/create", message="who?"), {"elicitation": {}}),
    (request("elicitation/create", mode="form"), {"elicitation": {"form": {}}}),
    (request("elicitation/create", mode="url"), {"elicitation": {"form": {}, "url": {}}}),
    (request("sampling/createMessage"), {"sampling": {}}),
    (request("sampling/createMessage", tools=[{"name": "t"}]), {"sampling": {"tools": {}}}),
    (request("roots/list"), {"roots": {"listChanged": True}}),
    (request("ping"), {}),
    ({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}, {}),
    ({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}, {}),
    (questions(who={"method": "elicitation/create", "params": {}}), {"elicitation": {}}),
]

FORBIDDEN = [
    (request("elicitation/create"), {}, {"elicitation": {"form": {}}}),
    (request("elicitation/create", mode="url"), {"elicitation": {}}, {"elicitation": {"url": {}}}),
    (request("elicitation/create"), {"elicitation": {"url": {}}}, {"elicitation": {"form": {}}}),
    (request("sampling/createMessage"), {"elicitation": {}}, {"sampling": {}}),
    (request("sampling/createMessage", tools=[{}]), {"sampling": {}}, {"sampling": {"tools": {}}}),
    (request("roots/list"), {}, {"roots": {}}),
    (questions(a={"method": "roots/list"}, b={"method": "sampling/createMessage"}), {"roots": {}}, {"sampling": {}}),
]


@pytest.mark.parametrize(("message", "declared"), ALLOWED)
def test_what_was_declared_may_be_asked(message: dict[str, Any], declared: dict[str, Any]) -> None:
    assert beyond(message, declared) is None


@pytest.mark.parametrize(("message", "declared", "needed"), FORBIDDEN)
def test_what_was_not_declared_may_not(
    message: dict[str, Any], declared: dict[str, Any], needed: dict[str, Any]
) -> None:
    assert beyond(message, declared) == needed


def test_a_refusal_names_the_missing_capability() -> None:
    error = refusal("a", {"roots": {}})["error"]
    assert (error["code"], error["data"]) == (-32021, {"requiredCapabilities": {"roots": {}}})
