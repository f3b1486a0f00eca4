"""Variables in a .env file."""

from __future__ import annotations

import pytest

from gateway.config import ConfigErrors
from gateway.config.dotenv import variables


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("A=b", {"A": "b"}),
        ("  export A = b  ", {"A": "b"}),
        ("A=", {"A": ""}),
        ("A=b c # comment", {"A": "b c"}),
        ("A=b#c", {"A": "b#c"}),
        ("A=# nothing", {"A": ""}),
        ("A='b # \"c\" \\n'", {"A": 'b # "c" \\n'}),
        ('A="b # \\"c\\" \\n\\\\" # comment', {"A": 'b # "c" \n\\'}),
        ("A=b=c", {"A": "b=c"}),
        ("A=${B}", {"A": "${B}"}),
        ("A=mysql://u:p'w@h/d", {"A": "mysql://u:p'w@h/d"}),
        ("# A=b", {}),
        ("", {}),
    ],
)
def test_a_line_sets_what_it_says(line: str, found: dict[str, str]) -> None:
    assert variables(line, ".env") == found


def test_of_two_lines_for_one_name_the_last_counts() -> None:
    assert variables("A=1\nA=2\r\nB=3\n", ".env") == {"A": "2", "B": "3"}


def test_every_wrong_line_is_told_without_its_text() -> None:
    with pytest.raises(ConfigErrors) as error:
        variables("A=1\nhunter2\n1B=hunter2\nC='hunter2\n", ".env")
    assert str(error.value).splitlines() == [
        f".env:{line}:1: is no assignment; write NAME=value, or a # before it" for line in (2, 3, 4)
    ]
