"""docs/checklist.md and docs/traps.md speak of the tests that there are: pages, markers and numbers agree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ASKED: Mapping[str, Set[int]] = {"point": {*range(1, 56), 61}, "trap": {*range(1, 43), 47, *range(49, 59), 68, 71}}
"""Numbers that must be held, or left out for a reason."""

PAGES: Mapping[str, Path] = {"point": ROOT / "docs" / "checklist.md", "trap": ROOT / "docs" / "traps.md"}
KINDS = pytest.mark.parametrize("kind", PAGES)


@cache
def marked(kind: str) -> Mapping[int, frozenset[str]]:
    """Number → the files with tests that carry it."""
    found: dict[int, set[str]] = {}
    for file in sorted((ROOT / "tests").rglob("*.py")):
        for number in re.findall(rf"pytest\.mark\.{kind}\((\d+)\)", file.read_text(encoding="utf-8")):
            found.setdefault(int(number), set()).add(file.relative_to(ROOT).as_posix())
    return {number: frozenset(files) for number, files in found.items()}


def rows(kind: str, *, held: bool) -> Iterator[tuple[int, list[str]]]:
    """The numbered rows of a page: those of its tables, or those under "Not held"."""
    holding, _, left = PAGES[kind].read_text(encoding="utf-8").partition("## Not held")
    for number, rest in re.findall(r"^\| *(\d+) *\|(.+)\|$", holding if held else left, re.MULTILINE):
        yield int(number), [cell.strip() for cell in rest.split("|")]


@KINDS
def test_a_number_that_is_asked_for_is_held_or_left_out_for_a_reason(kind: str) -> None:
    held, left = [number for number, _ in rows(kind, held=True)], [number for number, _ in rows(kind, held=False)]
    assert len({*held, *left}) == len(held) + len(left), "each stands in one row"
    assert ASKED[kind] - {*held, *left} == set()
    assert all(cells[-1] for _, cells in rows(kind, held=False))


@KINDS
def test_the_page_holds_exactly_the_numbers_that_tests_carry(kind: str) -> None:
    assert sorted(number for number, _ in rows(kind, held=True)) == sorted(marked(kind))


def test_each_file_beside_a_point_has_a_test_of_it() -> None:
    for number, (_, tests) in rows("point", held=True):
        named = set(re.findall(r"`([^`]+)`", tests))
        assert named, f"point {number} names no tests"
        assert named <= marked("point")[number], f"point {number} is not in {named - marked('point')[number]}"
