"""Rows of text as an aligned table, for people; programs ask for --json.

Which question: how wide is each column on a terminal? Pure. The rule: a cell is one line, and wide characters count
twice (Unicode TR11).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

GAP = "  "


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The lines of the table, headings first; cells hold no line breaks."""
    lines = [headings, *rows]
    widths = [max(_width(line[column]) for line in lines) for column in range(len(headings))]
    return "\n".join(GAP.join(map(_padded, line, widths)).rstrip() for line in lines)


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - _width(cell))


def _width(cell: str) -> int:
    return sum(_columns(character) for character in cell)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
