"""How deep a JSON text nests, found without parsing it.

Which question: does this text nest deeper than we allow? Pure. The rule: the answer costs a few passes over the
bytes, little memory and no recursion, whatever they are; a text that is no JSON may get either answer, since
parsing refuses it anyway.
"""

from __future__ import annotations

from collections.abc import Iterator

_EVERYTHING = frozenset(range(256))
_NOT_OPENING = bytes(_EVERYTHING - set(b"[{"))
_NOT_STRUCTURE = bytes(_EVERYTHING - set(b'[]{}"'))
_NEVER_ESCAPED = bytes(_EVERYTHING - set(b'[]{}"\\/bfnrtu'))
"""What follows no backslash (RFC 8259 §7) and is no structure: it can go before the escapes do."""

_STEPS = bytes.maketrans(b"[{]}", b"1100")
"""Brackets as bits: one level up, one level down."""

_BLOCK = 1 << 16


def _profile(steps: int) -> tuple[int, int]:
    """The highest level that eight steps reach, and the level after them."""
    level = peak = 0
    for bit in range(7, -1, -1):
        level += 1 if steps >> bit & 1 else -1
        peak = max(peak, level)
    return peak, level


_PROFILES = tuple(_profile(steps) for steps in range(256))


def nests_deeper(text: bytes, limit: int) -> bool:
    """Whether containers stand in one another more than `limit` deep; the outermost counts as one."""
    if len(text.translate(None, _NOT_OPENING)) <= limit:
        return False
    level = 0
    for steps in _steps(_structure(text)):
        padding = -len(steps) % 8
        for eight in _packed(steps + b"0" * padding):
            peak, change = _PROFILES[eight]
            if level + peak > limit:
                return True
            level += change
        level += padding
    return False


def _structure(text: bytes) -> bytes:
    """Brackets as steps, with the quotation marks that begin and end strings. Two that touch enclose nothing."""
    if b"\\" in text:
        text = text.translate(None, _NEVER_ESCAPED).replace(b"\\\\", b"").replace(b'\\"', b"")
    return text.translate(_STEPS, _NOT_STRUCTURE).replace(b'""', b"")


def _steps(structure: bytes) -> Iterator[bytes]:
    """The steps outside strings, in blocks, so that hostile texts do not fill the memory."""
    in_string = 0
    for start in range(0, len(structure), _BLOCK):
        parts = structure[start : start + _BLOCK].split(b'"')
        yield b"".join(parts[in_string::2])
        in_string = (in_string + len(parts) - 1) % 2


def _packed(steps: bytes) -> bytes:
    """Eight steps to a byte."""
    return int(steps or b"0", 2).to_bytes(len(steps) // 8, "big")
