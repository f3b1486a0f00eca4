"""A plan in words, for `plan`, `apply` and the log.

Which question: what do people and scripts read of a plan? Pure. The rule: keys are named, values are not: any of them
may hold a secret.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.registry.planning import Plan
from storage.registration import Action, Change

_WORDS: Mapping[Action, tuple[str, str]] = {
    Action.ADD: ("+", "new"),
    Action.TAKE_OVER: ("~", "taken over from a row that was there"),
    Action.REVIVE: ("+", "enabled again"),
    Action.CHANGE: ("~", "changed"),
    Action.DISABLE: ("-", "no longer in the file: disabled, its records stay"),
}


def sentences(plan: Plan, source: str) -> list[str]:
    """One line per change of a server, and one for the order of all; `source` is the name of the file."""
    if plan.newer is not None:
        return [
            f"nothing is changed: the registry was written by revision {plan.newer} of the file, {source} is older; "
            f"if it is not, write registry.revision: {plan.newer + 1} into it"
        ]
    if not plan.changes:
        return [f"nothing to do: the registry says what {source} says"]
    return list(_lines(plan))


def as_json(plan: Plan) -> dict[str, Any]:
    """`{"changes": [{"action", "server", "slug", "keys"}], "newer": null | revision}`."""
    changes = [
        {
            "action": change.action.value,
            "server": change.server.name,
            "slug": change.server.slug,
            "keys": list(change.keys),
        }
        for change in plan.changes
    ]
    return {"changes": changes, "newer": plan.newer}


def _lines(plan: Plan) -> Iterator[str]:
    width = max(len(change.server.slug) for change in plan.changes)
    for change in plan.changes:
        if change.action is not Action.MOVE:
            yield _line(change, width)
    moved = [change.server.slug for change in plan.changes if change.action is Action.MOVE]
    if moved:
        yield f"~ the order of servers changes: {', '.join(moved)}"


def _line(change: Change, width: int) -> str:
    sign, words = _WORDS[change.action]
    said = {"enabled"} if change.action is Action.REVIVE else set()
    keys = ", ".join(key for key in change.keys if key not in said)
    return f"{sign} {change.server.slug:<{width}}  {words}{': ' if keys else ''}{keys}"
