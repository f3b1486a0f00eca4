"""A state that was given to one user for one request is worth nothing to anybody else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.sealing import Sealer
from gateway.states import LIFETIME, MOST_ROUNDS, Bond, States, digest
from storage.records import CallUid

BOND = Bond(server_id=1, user_id=2, endpoint="", request=b"d" * 32)
OPERATION = CallUid("a" * 32)


def states(*keys: bytes, purpose: str = "state", now: float = 0.0) -> States:
    """States under these keys, newest first."""
    return States(Sealer(keys or (b"k" * 32,), purpose), lambda: now, bytes)


def wrapped(by: States, *, round: int = 0) -> Raw:
    return by.wrap(BOND, Raw(b'"s"'), OPERATION, round)


@pytest.mark.point(20)
@given(st.one_of(st.none(), st.text()))
def test_a_state_comes_back_to_its_server_with_the_same_bytes_or_stays_absent(state: str | None) -> None:
    raw = None if state is None else Raw(msgspec.json.encode(state))
    held = states().unwrap(states().wrap(BOND, raw, OPERATION, 3), BOND)
    assert held.state == (None if raw is None else bytes(raw))
    assert (held.operation_uid, held.round) == (OPERATION, 3)


@pytest.mark.point(22)
@pytest.mark.parametrize(
    "other",
    [
        {"server_id": 2},
        {"user_id": 3},
        {"endpoint": "time"},
        {"request": b"e" * 32},
    ],
)
def test_a_state_of_another_user_server_endpoint_or_request_is_refused(other: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as refused:
        states().unwrap(wrapped(states()), msgspec.structs.replace(BOND, **other))
    assert refused.value.kind is Kind.INVALID_PARAMS


@pytest.mark.point(22)
@pytest.mark.parametrize(
    "raw",
    [
        Raw(b'"forged"'),
        Raw(b"null"),
        Raw(b'"\\ud800"'),
        Raw(b"{}"),
        wrapped(states(now=-LIFETIME)),
        wrapped(states(), round=MOST_ROUNDS),
        wrapped(states(b"x" * 32)),
        wrapped(states(purpose="session")),
    ],
)
def test_whatever_is_wrong_with_a_state_is_told_in_the_same_words(raw: Raw) -> None:
    with pytest.raises(GatewayError) as refused:
        states().unwrap(raw, BOND)
    assert (refused.value.kind, refused.value.reason) == (Kind.INVALID_PARAMS, "request_state")


@pytest.mark.point(61)
def test_a_state_survives_the_rotation_of_its_key() -> None:
    assert states(b"n" * 32, b"k" * 32).unwrap(wrapped(states()), BOND).state == b'"s"'


def test_a_request_is_the_same_however_its_json_is_spelt() -> None:
    one = {"name": Raw(b'"a"'), "arguments": Raw(b'{"x": 1, "y": "\\u00e9"}'), "requestState": Raw(b'"1"')}
    two = {"arguments": Raw('{"y":"é","x":1}'.encode()), "inputResponses": Raw(b"{}")}
    assert digest("tools/call", "a", one) == digest("tools/call", "a", two)


@pytest.mark.point(22)
@pytest.mark.parametrize(
    ("method", "target", "arguments"),
    [("prompts/get", "a", b"{}"), ("tools/call", "b", b"{}"), ("tools/call", "a", b'{"x":1}')],
)
def test_another_request_has_another_digest(method: str, target: str, arguments: bytes) -> None:
    assert digest(method, target, {"arguments": Raw(arguments)}) != digest("tools/call", "a", {"arguments": Raw(b"{}")})
