"""A state that was given to one user for one request is worth nothing to anybody else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.sealing import Sealer
from gateway.states import MOST_ROUNDS, Bond, Held, digest, seal, unseal
from storage.records import CallUid

SEALER = Sealer([b"k" * 32], "state")
BOND = Bond(server_id=1, user_id=2, endpoint="", request=b"d" * 32)
NOW = 1_000.0


@dataclass
class Held_:
    """What a test seals, told by what differs."""

    bond: Bond = BOND
    state: bytes | None = b'"s"'
    round: int = 0
    expires: float = NOW + 1

    def sealed(self, sealer: Sealer = SEALER) -> Raw:
        held = Held(
            bond=self.bond, state=self.state, operation_uid=CallUid("a" * 32), round=self.round, expires=self.expires
        )
        return seal(sealer, held, b"n" * 12)


@given(st.one_of(st.none(), st.text()))
def test_a_state_comes_back_to_its_server_with_the_same_bytes_or_stays_absent(state: str | None) -> None:
    raw = None if state is None else msgspec.json.encode(state)
    assert unseal(SEALER, Held_(state=raw).sealed(), BOND, NOW).state == raw


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
        unseal(SEALER, Held_(bond=msgspec.structs.replace(BOND, **other)).sealed(), BOND, NOW)
    assert refused.value.kind is Kind.INVALID_PARAMS


@pytest.mark.parametrize(
    "raw",
    [
        Raw(b'"forged"'),
        Raw(b"null"),
        Raw(b'"\\ud800"'),
        Raw(b"{}"),
        Held_(expires=NOW).sealed(),
        Held_(round=MOST_ROUNDS).sealed(),
        Held_().sealed(Sealer([b"x" * 32], "state")),
        Held_().sealed(Sealer([b"k" * 32], "session")),
    ],
)
def test_whatever_is_wrong_with_a_state_is_told_in_the_same_words(raw: Raw) -> None:
    with pytest.raises(GatewayError) as refused:
        unseal(SEALER, raw, BOND, NOW)
    assert (refused.value.kind, refused.value.reason) == (Kind.INVALID_PARAMS, "request_state")


def test_a_state_survives_the_rotation_of_its_key() -> None:
    rotated = Sealer([b"n" * 32, b"k" * 32], "state")
    assert unseal(rotated, Held_().sealed(), BOND, NOW).state == b'"s"'


def test_a_request_is_the_same_however_its_json_is_spelt() -> None:
    one = {"name": Raw(b'"a"'), "arguments": Raw(b'{"x": 1, "y": "\\u00e9"}'), "requestState": Raw(b'"1"')}
    two = {"arguments": Raw('{"y":"é","x":1}'.encode()), "inputResponses": Raw(b"{}")}
    assert digest("tools/call", "a", one) == digest("tools/call", "a", two)


@pytest.mark.parametrize(
    ("method", "target", "arguments"),
    [("prompts/get", "a", b"{}"), ("tools/call", "b", b"{}"), ("tools/call", "a", b'{"x":1}')],
)
def test_another_request_has_another_digest(method: str, target: str, arguments: bytes) -> None:
    assert digest(method, target, {"arguments": Raw(arguments)}) != digest("tools/call", "a", {"arguments": Raw(b"{}")})
