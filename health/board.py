"""The board where everybody reads how the servers are.

Which question: may this server be called now, and if not, what do we tell the caller? Touches memory alone. The rule:
the mapping behind the board is never changed, only replaced by one assignment; a reader may keep what it got.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import ceil
from types import MappingProxyType

from health.probe import HealthState
from health.state import ServerHealth, Status

_NEVER = ServerHealth(since_us=0)

_WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("it refuses connections", ("refused",)),
    ("its host name does not resolve", ("dns",)),
    ("no secure connection to it can be made", ("tls",)),
    ("it does not answer in time", ("timeout", "connect", "first_byte", "idle", "absolute", "stalled")),
    ("it closes the connection without an answer", ("closed", "disconnected", "reset", "stream_ended")),
    ("its program cannot be found", ("not_found",)),
    ("its process exits", ("exited", "crash_loop")),
    ("it rejects the gateway's credentials", ("unauthorized",)),
    ("it speaks no version of MCP that the gateway knows", ("version",)),
    (
        "it does not answer as an MCP server should",
        ("protocol", "malformed", "no_answer", "media_type", "coding", "http", "redirects", "transport"),
    ),
    ("the gateway's own probe of it fails", ("internal",)),
)
"""What is said of the reasons of failed probes."""

_WHY: Mapping[str, str] = {reason: words for words, reasons in _WORDS for reason in reasons}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a server takes no calls now. `text` is written for the model that made the call and names neither
    addresses nor credentials; `reason` is a short word; `retry_after` is in seconds, None while retrying is pointless.
    """

    text: str
    reason: str
    retry_after: int | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One server on the board. `next_us`: when it will be probed next, in microseconds since the Unix epoch."""

    slug: str
    health: ServerHealth
    next_us: int | None = None


class Board:
    """The health of every watched server."""

    def __init__(self) -> None:
        self._entries: Mapping[int, Entry] = MappingProxyType({})

    def __repr__(self) -> str:
        return f"<Board {' '.join(f'{entry.slug}:{entry.health.state}' for entry in self._entries.values())}>"

    @property
    def entries(self) -> Mapping[int, Entry]:
        """Everything on the board, as it is at this moment."""
        return self._entries

    def state_of(self, server_id: int) -> ServerHealth:
        """What we believe of this server; a server that nobody watches is `unknown` since the epoch."""
        entry = self._entries.get(server_id)
        return _NEVER if entry is None else entry.health

    def refusal(self, server_id: int, now_us: int) -> Refusal | None:
        """Why this server may not be called now, or None when it may."""
        entry = self._entries.get(server_id)
        if entry is None or entry.health.status is Status.ONLINE:
            return None
        return _refusal(entry, now_us)

    def census(self) -> dict[str, int]:
        """How many servers are in each state; states with none are left out."""
        return dict(Counter(entry.health.state.value for entry in self._entries.values()))

    def put(self, server_id: int, slug: str, health: ServerHealth) -> None:
        """Show `health` from now on."""
        before = self._entries.get(server_id)
        next_us = None if before is None else before.next_us
        self._swap({**self._entries, server_id: Entry(slug, health, next_us)})

    def expect(self, server_id: int, next_us: int | None) -> None:
        """Show when the server will be probed next; a server that is not on the board stays off it."""
        if (entry := self._entries.get(server_id)) is not None:
            self._swap({**self._entries, server_id: replace(entry, next_us=next_us)})

    def forget(self, server_id: int) -> None:
        """Take the server off the board."""
        self._swap({key: entry for key, entry in self._entries.items() if key != server_id})

    def _swap(self, entries: dict[int, Entry]) -> None:
        self._entries = MappingProxyType(entries)


def explained(reason: str) -> str:
    """The reason of a failed probe in words, `it refuses connections`."""
    if reason.startswith("status_"):
        return f"it answers with HTTP status {reason.removeprefix('status_')}"
    return _WHY.get(reason, f"its probes fail ({reason})")


def _refusal(entry: Entry, now_us: int) -> Refusal:
    since = f"since {_moment(entry.health.since_us)} ({_duration(now_us - entry.health.since_us)})"
    if entry.health.status is Status.MAINTENANCE:
        text = (
            f"Server '{entry.slug}' is under maintenance {since}. Its administrator decides when that ends: "
            "do not retry now, use another server or tell the user."
        )
        return Refusal(text, "maintenance", None)
    retry_after = _seconds_until(entry.next_us, now_us)
    text = (
        f"Server '{entry.slug}' is offline {since}: {_why(entry.health)}. The call was not sent. "
        f"{_when(retry_after)}, or use another server."
    )
    return Refusal(text, entry.health.reason or "down", retry_after)


def _why(health: ServerHealth) -> str:
    if health.state is HealthState.RECOVERING:
        return "it was down and answers again, but not yet for long enough to be trusted"
    return explained(health.reason or "down")


def _when(retry_after: int | None) -> str:
    if retry_after is None:
        return "Retry later"
    return f"It is probed again in {retry_after} s: retry after that"


def _seconds_until(next_us: int | None, now_us: int) -> int | None:
    """Whole seconds, at least one: a caller that comes back at once would come too soon."""
    return None if next_us is None else max(1, ceil((next_us - now_us) / 1_000_000))


def _moment(us: int) -> str:
    return datetime.fromtimestamp(us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _duration(us: int) -> str:
    seconds = max(0, us // 1_000_000)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"for {seconds // size} {unit}"
    return f"for {seconds} s"
