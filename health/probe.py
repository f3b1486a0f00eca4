"""The words of health: a probe, what it observed, and the states a server can be in.

Which question: what is a probe and what does it say? Imports nothing of the project. The rule: a probe never
raises for what the server did; a failure is an observation with a reason.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum

import msgspec


class Step(StrEnum):
    """The rungs of the ladder, in order; an observation names the last one that was tried."""

    CONNECT = "connect"
    HANDSHAKE = "handshake"
    PING = "ping"
    LIST = "list"


class HealthState(StrEnum):
    """What we believe of a server. `health.state` holds the transitions."""

    UNKNOWN = "unknown"
    UP = "up"
    FAILING = "failing"
    DOWN = "down"
    RECOVERING = "recovering"
    MAINTENANCE = "maintenance"


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """One probe's result.

    `reason` is a short word for a failure (`refused`, `dns`, `tls`, `timeout`, `closed`, `exited`, `protocol`,
    `status_503`, `unauthorized`); `detail` one line for a human, without secrets. `latency_us` is the time of the
    last step that answered; `catalog_sha256` the hash of the tools offered, when they were listed.
    """

    ok: bool
    step: Step
    latency_us: int
    reason: str | None = None
    detail: str | None = None
    era: str | None = None
    protocol_version: str | None = None
    tools: int | None = None
    catalog_sha256: bytes | None = None


Probe = Callable[[], Awaitable[Observation]]
"""Runs the ladder once against one server, bounded in time, and closes what it opened."""
