"""JSON texts with lone surrogates: `"\\ud800"` is legal JSON (RFC 8259 §8.2) that the decoder refuses.

Which question: how is such a text read without changing a byte of it? Pure. The rule: a text is veiled (its
`\\uXXXX` and `\\\\` escapes are spelt so that the decoder takes them for letters), read by the same decoder as every
other text, and what was read is unveiled; so one parser decides what is well formed, and nothing is built in memory.

The veil is U+007F, which JSON allows inside strings and nowhere else.
"""

from __future__ import annotations

import re

_VEIL = b"\x7f"
_VEILS = ((_VEIL, _VEIL + b"0"), (b"\\\\", _VEIL + b"1"), (b"\\u", _VEIL + b"2"))
"""Spellings and their veils. The order matters: what follows an escaped backslash begins no escape."""

_BAD_ESCAPE = re.compile(rb"\x7f2(?![0-9a-fA-F]{4})")
_VEILED = re.compile("\x7f(?:0|1|2([0-9a-fA-F]{4}))")


def veiled(text: bytes) -> bytes:
    """`text` without `\\uXXXX` escapes. Raises ValueError when one of them is incomplete."""
    for spelling, veil in _VEILS:
        text = text.replace(spelling, veil)
    if found := _BAD_ESCAPE.search(text):
        raise ValueError(f"invalid unicode escape near byte {found.start()}")
    return text


def unveiled(text: bytes) -> bytes:
    """The original spelling of a part of a veiled text."""
    for spelling, veil in reversed(_VEILS):
        text = text.replace(veil, spelling)
    return text


def unveiled_string(string: str) -> str:
    """The meaning of a string decoded from a veiled text; surrogates that make a pair become one character."""
    lone = _VEILED.sub(_meaning, string)
    return lone.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _meaning(veil: re.Match[str]) -> str:
    if (digits := veil[1]) is not None:
        return chr(int(digits, 16))
    return "\\" if veil[0] == "\x7f1" else "\x7f"
