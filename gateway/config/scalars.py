"""What a scalar's text means, by the YAML 1.2 core schema (YAML 1.2.2 §10.3.2).

Which question: is this text a null, a truth value, a number? Pure. The rule: `yes`, `on` and `010` are no booleans or
octals here, whatever YAML 1.1 took them for; who means them has to say it the one way.
"""

from __future__ import annotations

import math
import re

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
LIKE_TRUTHS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
"""Words that YAML 1.1 took for booleans, in lower case."""

_WHOLE = re.compile(r"[-+]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_OTHER_NUMBERS = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def whole_number(text: str) -> int | None:
    """The integer that `text` spells in decimal; None when it is none."""
    return int(text) if _WHOLE.fullmatch(text) else None


def number(text: str) -> float | None:
    """The finite number that `text` spells; None when it is none."""
    if not _DECIMAL.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def is_string(text: str) -> bool:
    """Whether `text`, written plain, is a string and nothing else."""
    return not (text in NULLS or text in TRUTHS or _DECIMAL.fullmatch(text) or _OTHER_NUMBERS.fullmatch(text))
