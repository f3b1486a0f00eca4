"""Durations as flags take them.

Which question: how many seconds does this flag give? Pure. The rule: a wait is above 0 and ends.
"""

from __future__ import annotations

import argparse


def seconds(text: str) -> float:
    """A number of seconds above 0. Raises what `argparse` shows."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return number
