"""A bar for work that takes a while.

Which question: how far is it, how fast, and how long still? Touches stderr. The rule: only a terminal sees it, it
redraws ten times a second at most, and leaves nothing behind.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from time import monotonic
from typing import TextIO

WIDTH = 28
EVERY = 0.1
CLEAR = "\r\x1b[2K"
"""To the beginning of the line, and nothing on it."""


class Status:
    """A line that is drawn over again. Silent where `stream` is no terminal."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._drawn: float | None = None
        self._shows = self._stream.isatty() and os.environ.get("TERM") != "dumb"

    def say(self, words: str) -> None:
        """Show `words`, unless the line was drawn a moment ago."""
        now = self._clock()
        if self._shows and (self._drawn is None or now - self._drawn >= EVERY):
            self._drawn = now
            self._stream.write(f"{CLEAR}{words}")
            self._stream.flush()

    def close(self) -> None:
        """Leave the line to what comes next."""
        if self._drawn is not None:
            self._stream.write(CLEAR)
            self._stream.flush()


class Bar:
    """`thing` is what is counted."""

    def __init__(self, thing: str, stream: TextIO | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._thing = thing
        self._status = Status(stream, clock)
        self._clock = clock
        self._began = clock()

    def update(self, share: float, done: int) -> None:
        """`share` of the whole, from 0 to 1, and `done` things are behind us."""
        self._status.say(line(min(max(share, 0.0), 1.0), done, self._thing, self._clock() - self._began))

    def close(self) -> None:
        """Leave the line to what comes next."""
        self._status.close()


def line(share: float, done: int, thing: str, seconds: float) -> str:
    """What the bar looks like after so many seconds."""
    full = int(share * WIDTH)
    bar = "━" * full + ("╸" if full < WIDTH else "") + " " * (WIDTH - full - 1)
    rate = done / seconds if seconds > 0 else 0.0
    left = f"  {clock_time(seconds / share - seconds)} left" if share > 0.01 and seconds >= 1 else ""
    return f"{bar} {share:4.0%}  {done:,} {thing}  {rate:,.0f}/s{left}"


def clock_time(seconds: float) -> str:
    """`0:07`, `12:30`, `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
