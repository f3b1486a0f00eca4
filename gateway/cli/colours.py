"""Colours on a terminal.

Which question: does whoever reads this see colours, and how are they spelt? Touches the environment and the stream. The
rule: colour repeats what the words say, and a stream that is no terminal gets words alone (https://no-color.org).
"""

from __future__ import annotations

import os
from typing import TextIO

PLAIN, BOLD, DIM, RED, GREEN, YELLOW, CYAN = "", "1", "2", "31", "32", "33", "36"


class Paint:
    """Paints words, or leaves them as they are."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    @classmethod
    def on(cls, stream: TextIO) -> Paint:
        """For `stream`."""
        wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return cls(colours=wanted and stream.isatty())

    def __call__(self, style: str, words: str) -> str:
        return f"\x1b[{style}m{words}\x1b[0m" if self._colours and style and words else words
