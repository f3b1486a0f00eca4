"""Variables in a `.env` file.

Which question: which variables does this text set? Pure. The rule: nothing is expanded and nothing is guessed; a line
that is no assignment is a problem.

One `NAME=value` per line, `export ` before it allowed, `#` for comments. A value in single quotes is taken as it is;
one in double quotes may hold `\\n`, `\\"` and `\\\\`; one without quotes ends before ` #`.
"""

from __future__ import annotations

import re

from gateway.config.problems import ConfigErrors, Place, Problem

_LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*
    (?:'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<bare>(?:[^'"\s#].*?)?))\s*(?:(?<=[\s'"=])\#.*)?""",
    re.VERBOSE,
)
_BLANK = re.compile(r"\s*(#.*)?")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def variables(text: str, source: str) -> dict[str, str]:
    """The variables that `text` sets; of two for one name the last counts. Raises `ConfigErrors`."""
    found: dict[str, str] = {}
    problems: list[Problem] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if (match := _LINE.fullmatch(line)) is not None:
            found[match["name"]] = _value(match)
        elif not _BLANK.fullmatch(line):
            problems.append(Problem(Place(source, number, 1), "is no assignment; write NAME=value, or a # before it"))
    if problems:
        raise ConfigErrors(problems)
    return found


def _value(match: re.Match[str]) -> str:
    if match["single"] is not None:
        return match["single"]
    if match["double"] is not None:
        return re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), match["double"])
    return match["bare"]
