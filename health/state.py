"""What we believe of a server, and how one probe changes it.

Which question: given what we believed and what a probe saw, what do we believe now? Pure. The rule: the state moves
by `TRANSITIONS` alone; whoever needs another move adds a cell there.

Theory of operation
-------------------
A probe is good or bad. Good probes in a row are counted in `rise`, bad ones in `fall`; each kind sets the other's
count to zero, and no count passes its threshold in the settings. The counts turn a probe into one of four signs:

    GOOD    good, but not yet `settings.rise` of them in a row
    RISEN   good, and that many
    BAD     bad, but not yet `settings.fall` of them in a row
    FALLEN  bad, and that many

Two more signs come from the administrator: PAUSED and RESUMED. The states mean:

    unknown      never judged; the first good probe brings it up, only `fall` bad ones take it down
    up           the last probe was good
    failing      was up, and the last probes were bad, but fewer than `fall`; one good probe mends it
    down         `fall` probes in a row were bad
    recovering   was down, and the last probes were good, but fewer than `rise`; one bad probe undoes it
    maintenance  the administrator says so; no probe changes it, the administrator alone ends it

So it takes `fall` bad probes to lose a server and `rise` good ones to win it back: a single slow answer stops no
traffic, and a server that flaps stays down until it holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import msgspec
from msgspec.structs import replace

from health.probe import HealthState, Observation
from health.settings import HealthSettings


class Sign(Enum):
    """What can happen to a state."""

    GOOD = "good"
    RISEN = "risen"
    BAD = "bad"
    FALLEN = "fallen"
    PAUSED = "paused"
    RESUMED = "resumed"


class Status(Enum):
    """The documented `mcp_servers.status` of the `mcp_chat` database."""

    ONLINE = "online"
    OFFLINE = "offline"
    MAINTENANCE = "maintenance"


TRANSITIONS: Mapping[HealthState, Mapping[Sign, HealthState]] = {
    HealthState.UNKNOWN: {
        Sign.GOOD: HealthState.UP,
        Sign.RISEN: HealthState.UP,
        Sign.BAD: HealthState.UNKNOWN,
        Sign.FALLEN: HealthState.DOWN,
        Sign.PAUSED: HealthState.MAINTENANCE,
        Sign.RESUMED: HealthState.UNKNOWN,
    },
    HealthState.UP: {
        Sign.GOOD: HealthState.UP,
        Sign.RISEN: HealthState.UP,
        Sign.BAD: HealthState.FAILING,
        Sign.FALLEN: HealthState.DOWN,
        Sign.PAUSED: HealthState.MAINTENANCE,
        Sign.RESUMED: HealthState.UP,
    },
    HealthState.FAILING: {
        Sign.GOOD: HealthState.UP,
        Sign.RISEN: HealthState.UP,
        Sign.BAD: HealthState.FAILING,
        Sign.FALLEN: HealthState.DOWN,
        Sign.PAUSED: HealthState.MAINTENANCE,
        Sign.RESUMED: HealthState.FAILING,
    },
    HealthState.DOWN: {
        Sign.GOOD: HealthState.RECOVERING,
        Sign.RISEN: HealthState.UP,
        Sign.BAD: HealthState.DOWN,
        Sign.FALLEN: HealthState.DOWN,
        Sign.PAUSED: HealthState.MAINTENANCE,
        Sign.RESUMED: HealthState.DOWN,
    },
    HealthState.RECOVERING: {
        Sign.GOOD: HealthState.RECOVERING,
        Sign.RISEN: HealthState.UP,
        Sign.BAD: HealthState.DOWN,
        Sign.FALLEN: HealthState.DOWN,
        Sign.PAUSED: HealthState.MAINTENANCE,
        Sign.RESUMED: HealthState.RECOVERING,
    },
    HealthState.MAINTENANCE: {
        Sign.GOOD: HealthState.MAINTENANCE,  # a probe that was under way when the administrator spoke
        Sign.RISEN: HealthState.MAINTENANCE,
        Sign.BAD: HealthState.MAINTENANCE,
        Sign.FALLEN: HealthState.MAINTENANCE,
        Sign.PAUSED: HealthState.MAINTENANCE,
        Sign.RESUMED: HealthState.UNKNOWN,  # what was true before says nothing of what was maintained
    },
}

STATUS_OF: Mapping[HealthState, Status] = {
    # Routing refuses a server exactly while it is not shown as online, so each line is also a decision about traffic.
    HealthState.UNKNOWN: Status.ONLINE,  # nothing speaks against it, and a call is evidence sooner than a probe
    HealthState.UP: Status.ONLINE,
    HealthState.FAILING: Status.ONLINE,  # one bad probe stops no traffic: that is what `fall` is for
    HealthState.DOWN: Status.OFFLINE,
    HealthState.RECOVERING: Status.OFFLINE,  # one good probe starts none: that is what `rise` is for
    HealthState.MAINTENANCE: Status.MAINTENANCE,
}


class ServerHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What we believe of one server. Times are microseconds since the Unix epoch, UTC.

    `version` grows by one with every change and is what writers compare and swap by; `since_us` is when `state`
    began; `reason` is the last failure's until the server is up again; the rest describes the last probe.
    """

    state: HealthState = HealthState.UNKNOWN
    since_us: int
    reason: str | None = None
    rise: int = 0
    fall: int = 0
    version: int = 0
    observed_us: int | None = None
    latency_us: int | None = None
    era: str | None = None
    catalog_sha256: bytes | None = None

    @property
    def status(self) -> Status:
        return STATUS_OF[self.state]


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """A change of state. `version` is that of the health it led to; `reason` a short word, `detail` one line."""

    version: int
    at_us: int
    from_state: HealthState
    to_state: HealthState
    reason: str
    detail: str | None = None


def step(
    health: ServerHealth, observation: Observation, settings: HealthSettings, now_us: int
) -> tuple[ServerHealth, Transition | None]:
    """What we believe after one probe, and the change of state if it made one."""
    good = observation.ok
    seen = replace(
        health,
        rise=min(health.rise + 1, settings.rise) if good else 0,
        fall=0 if good else min(health.fall + 1, settings.fall),
        reason=health.reason if good else observation.reason or "failed",
        observed_us=now_us,
        latency_us=observation.latency_us,
        era=observation.era or health.era,
        catalog_sha256=observation.catalog_sha256 or health.catalog_sha256,
    )
    why = "answered" if good else observation.reason or "failed"
    return _move(seen, _sign(seen, settings, good), now_us, why, observation.detail)


def pause(health: ServerHealth, now_us: int) -> tuple[ServerHealth, Transition | None]:
    """The administrator begins maintenance; nothing changes when it has begun already."""
    return _ordered(health, Sign.PAUSED, now_us, "maintenance")


def resume(health: ServerHealth, now_us: int) -> tuple[ServerHealth, Transition | None]:
    """The administrator ends maintenance, and the server is judged afresh; nothing changes outside maintenance."""
    return _ordered(health, Sign.RESUMED, now_us, "resumed")


def _sign(health: ServerHealth, settings: HealthSettings, good: bool) -> Sign:
    if good:
        return Sign.RISEN if health.rise >= settings.rise else Sign.GOOD
    return Sign.FALLEN if health.fall >= settings.fall else Sign.BAD


def _ordered(health: ServerHealth, sign: Sign, now_us: int, why: str) -> tuple[ServerHealth, Transition | None]:
    if TRANSITIONS[health.state][sign] is health.state:
        return health, None
    return _move(replace(health, rise=0, fall=0), sign, now_us, why)


def _move(
    health: ServerHealth, sign: Sign, now_us: int, why: str, detail: str | None = None
) -> tuple[ServerHealth, Transition | None]:
    before, after = health.state, TRANSITIONS[health.state][sign]
    moved = replace(
        health,
        state=after,
        since_us=health.since_us if after is before else now_us,
        reason=_REASONS.get(after, health.reason),
        version=health.version + 1,
    )
    if after is before:
        return moved, None
    return moved, Transition(
        version=moved.version, at_us=now_us, from_state=before, to_state=after, reason=why, detail=detail
    )


_REASONS: Mapping[HealthState, str | None] = {HealthState.UP: None, HealthState.MAINTENANCE: "maintenance"}
"""States whose reason is not that of the last bad probe."""
