"""Hostile but legal spellings of JSON, and a reader that shares no code with ours."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from json.decoder import scanstring

from hypothesis import settings
from hypothesis import strategies as st

LAW = settings(deadline=None, derandomize=True, max_examples=100)

BLANKS = st.sampled_from(["", "", "", " ", "\n", "\r", "\r\n", "\t", " \r \n "])
NUMBERS = st.sampled_from(["0", "-0", "1.10", "1e2", "1E+2", "0.0", "-12.50e-3", "1" + "0" * 22, "9007199254740993"])
WORDS = st.sampled_from(["null", "true", "false"])
PIECES = st.sampled_from(
    [
        *("a", "é", "漢", "😀", "\u2028", "\u0085", "\x7f", "\x7f0", "\x7f1", "\x7f2d800", "ud800", "data: ", "{", "]"),
        *(r"\u00e9", r"\/", r"\\", r"\"", r"\n", r"\r", r"\u000a", r"\u0000", r"\u007f", r"\u007F", r"\u005c"),
        *(r"\ud800", r"\uD800", r"\udfff", r"\ud83d\ude00", r"\\ud800", r"\\\ud800", r"\\\\u"),
    ]
)
STRINGS = st.lists(PIECES, max_size=6).map(lambda pieces: '"' + "".join(pieces) + '"')


@dataclass(frozen=True)
class Spelt:
    """An object as it is spelt: its members in order, each name and value as text; and the whole text."""

    members: tuple[tuple[str, str], ...]
    text: str


@st.composite
def objects(draw: st.DrawFn, values: st.SearchStrategy[str], first: tuple[tuple[str, str], ...] = ()) -> Spelt:
    """Objects that hold `first` and, at any place, members with spelt names, repeated ones among them."""
    more = draw(st.lists(st.tuples(STRINGS, values), max_size=5))
    members = tuple(draw(st.permutations([*first, *more])))
    spelt = ",".join(f"{draw(BLANKS)}{name}{draw(BLANKS)}:{draw(BLANKS)}{value}" for name, value in members)
    return Spelt(members, f"{{{spelt}{draw(BLANKS)}}}")


def _containers(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    arrays = st.tuples(st.lists(values, max_size=4), BLANKS).map(lambda a: f"[{a[1]}{f',{a[1]}'.join(a[0])}{a[1]}]")
    return arrays | objects(values).map(lambda spelt: spelt.text)


VALUES = st.recursive(NUMBERS | WORDS | STRINGS, _containers, max_leaves=8)
"""Texts of JSON values."""

OBJECTS = objects(VALUES)

_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)
_BLANK = re.compile(r"[ \t\r\n]*")


def meaning(name: str) -> str:
    """What a spelt name says."""
    return scanstring(name, 1)[0]


def read(text: bytes) -> list[tuple[str, bytes]]:
    """The members of an object in order, every copy of a name included, each value as its own bytes."""
    source = text.decode()
    found, at = [], _skip(source, _skip(source, 0) + 1)
    while source[at] != "}":
        name, at = scanstring(source, at + 1)
        start = _skip(source, _skip(source, at) + 1)
        _, end = _DECODER.raw_decode(source, start)
        found.append((name, source[start:end].encode()))
        at = _skip(source, end)
        at = _skip(source, at + 1) if source[at] == "," else at
    return found


def is_json(text: bytes) -> bool:
    """Whether the standard library, told to refuse NaN, takes `text` for JSON."""
    try:
        json.loads(text.decode(), parse_int=str, parse_float=str, parse_constant=_refuse)
    except ValueError:
        return False
    return True


def flat(text: bytes | str) -> bytes:
    """`text` without CR and LF."""
    return (text.encode() if isinstance(text, str) else text).replace(b"\r", b"").replace(b"\n", b"")


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _skip(source: str, at: int) -> int:
    found = _BLANK.match(source, at)
    assert found is not None
    return found.end()
