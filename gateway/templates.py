"""URI templates: may this URI come from that template?

Which question: may a server that lists this template own this URI? Pure. The rule: every expression stands for any
text, whatever its operator; a match says no more than "maybe", costs linear time, and the server has the last word.

RFC 6570.
"""

from __future__ import annotations

import re

_EXPRESSION = re.compile(r"\{[^{}]*\}")


def matches(template: str, uri: str) -> bool:
    """Whether `uri` may be an expansion of `template`."""
    first, *between = _EXPRESSION.split(template)
    if not between:
        return uri == template
    last = between.pop()
    end = len(uri) - len(last)
    if not uri.startswith(first) or not uri.endswith(last) or end < len(first):
        return False
    at = len(first)
    for literal in between:
        at = uri.find(literal, at, end)
        if at < 0:
            return False
        at += len(literal)
    return True
