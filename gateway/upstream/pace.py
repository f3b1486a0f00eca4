"""When a stream that ended is opened again.

Which question: how long do we wait before the next attempt? Pure: chance is an argument. The rule: a server that
names a time is not asked before it; one that keeps failing is asked ever more rarely, and never by all of us at once.
"""

from __future__ import annotations

FIRST_WAIT = 1.0
SHORTEST_WAIT = 0.25
"""Seconds; a server that asks for less would have us ask it all the time."""
LONGEST_WAIT = 60.0
LONGEST_RETRY = 3_600.0
STEADY_AFTER = 30.0
"""Seconds that a stream has to last for its end to say nothing against the next attempt."""


class Pace:
    """The attempts to keep one stream open. `first` and `longest` are waits in seconds."""

    def __init__(self, *, first: float = FIRST_WAIT, longest: float = LONGEST_WAIT) -> None:
        self._first = first
        self._longest = longest
        self._failures = 0

    def __repr__(self) -> str:
        return f"<Pace: {self._failures} failures in a row>"

    def succeeded(self) -> None:
        """The stream was of use: it lasted, or brought something."""
        self._failures = 0

    def wait(self, chance: float, retry: float | None = None) -> float:
        """Seconds until the next attempt, which counts as failed unless `succeeded` is told. `chance` is within
        [0, 1); `retry` is what the server asked for, in seconds.
        """
        asked = 0.0 if retry is None else min(retry, LONGEST_RETRY)
        base = max(self._first if retry is None else asked, SHORTEST_WAIT)
        grown = min(base * 2.0 ** min(self._failures, 16), self._longest)
        self._failures += 1
        return max(grown, asked) * (1.0 + chance / 2)
