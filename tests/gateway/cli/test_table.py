from __future__ import annotations

from gateway.cli.table import table


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table(("A", "LONG"), [("xyz", "1"), ("", "23456")]) == "A    LONG\nxyz  1\n     23456"


def test_wide_and_combining_characters_keep_the_columns_straight() -> None:
    lines = table(("A", "B"), [("王王", "1"), ("e\u0301", "2"), ("abcd", "3")]).splitlines()
    assert lines[1:] == ["王王  1", "e\u0301     2", "abcd  3"]


def test_a_table_without_rows_is_its_headings() -> None:
    assert table(("A", "B"), []) == "A  B"
