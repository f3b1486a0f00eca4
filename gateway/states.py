"""`requestState`: what a server wants back with the answers to its questions, bound to whoever was asked.

Which question: does this state belong to this caller's request? Touches the clock that it is given. The rule: a
server that sees one credential for everybody cannot tell users apart, so the gateway does: a state that was given to
one user, for one request, on one endpoint is worth nothing to anybody else.

MCP 2026-07-28 `basic/patterns/mrtr` (Server Requirements).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol import jsonrpc
from gateway.protocol.headers import NAMED
from gateway.sealing import NONCE_BYTES, BadSeal, Sealer
from storage.records import CallUid

LIFETIME = 3_600.0
"""Seconds that a person may take to answer."""

MOST_ROUNDS = 32
"""Rounds of one operation; clients stop at 10."""

OF_THE_ROUND = frozenset({"inputResponses", "requestState", "_meta"})
"""Members that differ from round to round of one operation."""


class Bond(msgspec.Struct, frozen=True, kw_only=True):
    """To whom and to what a state belongs."""

    server_id: int
    user_id: int
    endpoint: str
    request: bytes
    """`digest` of the request."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A state under seal. `state` is the server's own JSON text, None when it gave none; `round` counts from 0."""

    bond: Bond
    state: bytes | None
    operation_uid: CallUid
    round: int
    expires: float


def digest(method: str, target: str | None, params: Mapping[str, Raw]) -> bytes:
    """SHA-256 of what a request asks for, however its JSON is spelt; `target` stands for the member that names it."""
    hasher = hashlib.sha256(repr((method, target)).encode())
    for name in sorted(params.keys() - OF_THE_ROUND - {NAMED.get(method)}):
        hasher.update(repr((name, _canonical(params[name]))).encode())
    return hasher.digest()


class States:
    """Seals and opens states. `now()` is seconds since the Unix epoch, `entropy(n)` gives n random bytes."""

    def __init__(self, sealer: Sealer, now: Callable[[], float], entropy: Callable[[int], bytes]) -> None:
        self._sealer = sealer
        self._now = now
        self._entropy = entropy

    def wrap(self, bond: Bond, state: Raw | None, operation_uid: CallUid, round: int) -> Raw:
        """The JSON string that the client gets for a server's `state`."""
        held = Held(
            bond=bond,
            state=None if state is None else bytes(state),
            operation_uid=operation_uid,
            round=round,
            expires=self._now() + LIFETIME,
        )
        return jsonrpc.text(self._sealer.seal(msgspec.msgpack.encode(held), self._entropy(NONCE_BYTES)))

    def unwrap(self, raw: Raw, bond: Bond) -> Held:
        """What stands behind the client's `raw`. Raises INVALID_PARAMS, in the same words whatever is wrong."""
        try:
            held = msgspec.msgpack.decode(self._sealer.unseal(jsonrpc.string(raw) or ""), type=Held)
        except (BadSeal, UnicodeEncodeError, msgspec.MsgspecError):
            raise _refused() from None
        if held.bond != bond or held.expires <= self._now() or held.round >= MOST_ROUNDS:
            raise _refused()
        return held


def _refused() -> GatewayError:
    words = "Invalid params: requestState is not valid for this request (any more); send the request without it"
    return GatewayError(Kind.INVALID_PARAMS, words, reason="request_state")


def _canonical(raw: Raw) -> bytes:
    try:
        return msgspec.json.encode(msgspec.json.decode(raw), order="deterministic")
    except msgspec.MsgspecError:
        return bytes(raw)
