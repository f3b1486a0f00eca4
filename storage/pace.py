"""How much is removed at once.

Which question: how many rows does the next transaction take, and how long is the rest after it? Touches nothing. The
rule: whoever wants to write waits for one such transaction at most, and there is room for him after each.
"""

from __future__ import annotations

FEWEST, FIRST, MOST = 10, 100, 900
"""Rows of one transaction. MariaDB turns a list of a thousand values into a table, and looks at every row."""

TARGET = 0.05
"""Seconds that a transaction shall take."""

REST = (0.01, 2.0)
"""Seconds between two of them, at least and at most; as long as the last one took, within these."""


class Pace:
    """Adapts to what the database can do."""

    def __init__(self) -> None:
        self.rows = FIRST
        self.rest = REST[0]

    def took(self, seconds: float, rows: int) -> None:
        """`rows` were removed in so many seconds."""
        fitting = max(rows, FEWEST) * TARGET / max(seconds, 0.001)
        self.rows = round(min(max(fitting, FEWEST), MOST, 2 * self.rows))
        self.rest = min(max(seconds, REST[0]), REST[1])
