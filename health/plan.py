"""When each server is probed.

Which question: which servers are to be probed, and at which moments? Pure: moments and delays are numbers of seconds.
The rule: a server's phase depends on its id alone, so that every start and every reload spreads the probes evenly
over the interval, and changing one server moves no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import floor

from health.probe import Probe
from health.settings import HealthSettings

FIRST_PROBES_PER_SECOND = 20
"""How fast a starting gateway works through the servers that it has not looked at."""

URGENT_GAP = 1.0
"""Seconds between a probe and the next one that evidence may bring forward: a burst of failed calls must not use up
`fall` probes before a server had the time to recover.
"""

_GOLDEN = 0.6180339887498949
"""The fractional part of the golden ratio: its multiples fill the unit interval evenly, however many are taken."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One server to watch.

    `revision` names its target: another revision is another server to probe, and the answers of the old one count
    no more. `concurrency` is how many calls in flight are a load of 1.
    """

    server_id: int
    slug: str
    revision: bytes
    settings: HealthSettings
    probe: Probe = field(compare=False, repr=False)
    maintenance: bool = False
    concurrency: int = 1


@dataclass(frozen=True, slots=True)
class Changes:
    """What distinguishes new plans from the ones before. `retargeted` servers need another probe at once,
    `retimed` ones only another rhythm.
    """

    added: tuple[Plan, ...] = ()
    retargeted: tuple[Plan, ...] = ()
    retimed: tuple[Plan, ...] = ()
    removed: tuple[int, ...] = ()


def changes(before: Mapping[int, Plan], after: Iterable[Plan]) -> Changes:
    """How to come from `before` to `after`; plans under maintenance are watched, but not probed."""
    wanted = {plan.server_id: plan for plan in after if not plan.maintenance}
    both = [(before[server_id], plan) for server_id, plan in wanted.items() if server_id in before]
    return Changes(
        added=tuple(plan for server_id, plan in wanted.items() if server_id not in before),
        retargeted=tuple(new for old, new in both if old.revision != new.revision),
        retimed=tuple(
            new for old, new in both if old.revision == new.revision and old.settings.interval != new.settings.interval
        ),
        removed=tuple(server_id for server_id in before if server_id not in wanted),
    )


def phase(server_id: int) -> float:
    """The server's place in every interval, in [0, 1)."""
    return server_id * _GOLDEN % 1.0


def next_slot(server_id: int, interval: float, now: float, previous: float | None) -> float:
    """The next moment at which the server's turn comes: after `now`, and at least half an interval after
    `previous`, so that a probe out of turn is not followed closely by one in turn.
    """
    earliest = now if previous is None else max(now, previous + interval / 2)
    offset = phase(server_id) * interval
    return (floor((earliest - offset) / interval) + 1) * interval + offset


def first_delay(server_id: int, servers: int, interval: float) -> float:
    """Seconds until the first probe of one of `servers` new ones."""
    return phase(server_id) * min(servers / FIRST_PROBES_PER_SECOND, interval)


def urgent_delay(now: float, previous: float | None) -> float:
    """Seconds until a probe that evidence asks for, `previous` being the moment of the last one."""
    return 0.0 if previous is None else max(0.0, previous + URGENT_GAP - now)
