"""When a program that keeps ending may be started again.

Which question: is it time to start this server's child? Pure: the clock is an argument. The rule: a child that had
run steadily may be restarted at once; one that had not makes the next start wait, longer each time.
"""

from __future__ import annotations

from gateway.upstream.values import ScopeKey

FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
STEADY_AFTER = 60.0
"""Seconds of life after which the end of a child says nothing about the next one."""


class Backoffs:
    """One back-off for each scope of a server; those that say nothing any more are forgotten."""

    def __init__(self) -> None:
        self._by_key: dict[ScopeKey, Backoff] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def crashed(self, key: ScopeKey, now: float, lived: float) -> None:
        """A child of this scope ended by itself, or never came up, `lived` seconds after its start."""
        for other in [other for other, backoff in self._by_key.items() if backoff.forgiven(now)]:
            del self._by_key[other]
        self._by_key.setdefault(key, Backoff()).crashed(now, lived)

    def wait(self, key: ScopeKey, now: float) -> float:
        """Seconds until the next start in this scope is allowed; 0 when it is."""
        backoff = self._by_key.get(key)
        return 0.0 if backoff is None else backoff.wait(now)


class Backoff:
    """The crashes of the children of one scope. All times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._crashes = 0
        self._until = 0.0

    def __repr__(self) -> str:
        return f"<Backoff: {self._crashes} crashes in a row>"

    @property
    def crashes(self) -> int:
        """Crashes since a child last ran steadily."""
        return self._crashes

    def crashed(self, now: float, lived: float) -> None:
        """A child ended by itself, or never came up, `lived` seconds after its start."""
        if lived >= STEADY_AFTER:
            self._crashes, self._until = 0, now
            return
        self._until = now + min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(self._crashes, 16))
        self._crashes += 1

    def wait(self, now: float) -> float:
        """Seconds until the next start is allowed; 0 when it is."""
        return max(0.0, self._until - now)

    def forgiven(self, now: float) -> bool:
        """Whether no crash has followed for so long that the next one counts as the first."""
        return now >= self._until + STEADY_AFTER
