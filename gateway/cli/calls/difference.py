"""What two answers have in common, and what not.

Which question: does a server answer as it did, and where not? Pure. The rule: members that the protocol's eras add are
no part of the answer; the order of members does not count, and the spelling of numbers does.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator

from gateway.cli.colours import BOLD, CYAN, GREEN, PLAIN, RED, Paint
from gateway.cli.rendering import unfolded
from gateway.protocol import texts

ENVELOPE = frozenset({"resultType", "ttlMs", "cacheScope", "_meta"})
"""Says how an answer may be used, and is made anew each time."""

CONTEXT = 3


def bare(answer: bytes) -> bytes:
    """A result without what the eras of the protocol add."""
    members = texts.members(answer)
    return bytes(texts.encode({name: value for name, value in members.items() if name not in ENVELOPE}))


def same(one: bytes, other: bytes) -> bool:
    """Whether two JSON texts say the same."""
    return one == other or _value(one) == _value(other)


def unified(old: bytes, new: bytes, names: tuple[str, str], paint: Paint) -> Iterator[str]:
    """The lines of a unified diff of two JSON texts."""
    for line in difflib.unified_diff(unfolded(old), unfolded(new), *names, n=CONTEXT, lineterm=""):
        yield paint(_style(line), line)


def _value(text: bytes) -> object:
    return json.loads(text, parse_int=_spelt, parse_float=_spelt)


def _spelt(number: str) -> tuple[str]:
    """A number as it is spelt; no other value is a tuple."""
    return (number,)


def _style(line: str) -> str:
    if line.startswith(("---", "+++")):
        return BOLD
    return {"-": RED, "+": GREEN, "@": CYAN}.get(line[:1], PLAIN)
