"""The baseline: which scenario passes where, as committed.

Which question: is what was measured just now better or worse than what was written down? Pure but for one file. The
rule: nobody edits expected.json; `make conformance` writes it, and its diff is the news.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.stand import Cell
from tests.conformance.suite import Scenario, Verdict

FILE = Path(__file__).parent / "expected.json"
UNSCORED = "unscored"

Line = dict[str, str]
"""One scenario: place → verdict; and why it is unscored, if it is."""
Scores = Mapping[str, Mapping[str, Mapping[str, Line]]]
"""side → revision → scenario → line."""


@dataclass(frozen=True)
class Change:
    """What differs from the baseline in one cell. `gone` are scenarios of the baseline that did not run."""

    falls: tuple[Scenario, ...]
    gone: tuple[str, ...]
    rises: tuple[str, ...]


def load(file: Path = FILE) -> Scores:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def dump(scores: Scores) -> str:
    return json.dumps(scores, indent=1) + "\n"


def tabulate(measured: Mapping[Cell, Iterable[Scenario]]) -> Scores:
    """What was measured, as a baseline."""
    scores: dict[str, dict[str, dict[str, Line]]] = {}
    for cell, scenarios in measured.items():
        table = scores.setdefault(cell.side, {}).setdefault(cell.revision.name, {})
        for scenario in scenarios:
            line = table.setdefault(scenario.name, {UNSCORED: scenario.unscored} if scenario.unscored else {})
            line[cell.place] = scenario.verdict.value
    return scores


def compare(scores: Scores, cell: Cell, scenarios: Sequence[Scenario]) -> Change:
    """The baseline and what was measured in one cell."""
    table = scores.get(cell.side, {}).get(cell.revision.name, {})
    before = {name: Verdict(line[cell.place]) for name, line in table.items() if cell.place in line}
    ranks = {one.name: one.verdict.rank - before.get(one.name, Verdict.FAILS).rank for one in scenarios}
    return Change(
        falls=tuple(one for one in scenarios if ranks[one.name] < 0),
        gone=tuple(name for name in before if name not in ranks),
        rises=tuple(name for name, rank in ranks.items() if rank > 0),
    )


def count(table: Mapping[str, Line], place: str, *, scored: bool) -> tuple[int, int]:
    """How many scenarios pass in `place`, of how many; the scored ones, or the others."""
    lines = [line for line in table.values() if (UNSCORED not in line) == scored and place in line]
    return sum(line[place] != Verdict.FAILS for line in lines), len(lines)
