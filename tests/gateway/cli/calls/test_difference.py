"""What two answers have in common, and what not."""

from __future__ import annotations

import pytest

from gateway.cli.calls.difference import bare, same, unified
from gateway.cli.colours import Paint

OLD = rb'{"content":[{"type":"text","text":"one\ntwo\nthree"}],"isError":false}'
NEW = rb'{"content":[{"type":"text","text":"one\n2\nthree"}],"isError":false}'


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (b'{"a":1,"b":[2]}', b'{ "b": [2],\n "a": 1 }', True),
        (b'{"a":"\\u00e9"}', '{"a":"é"}'.encode(), True),
        (b'{"a":1.10}', b'{"a":1.1}', False),
        (b'{"a":1}', b'{"a":"1"}', False),
        (b'{"a":1}', b'{"a":true}', False),
        (b'{"a":[1]}', b'{"a":1}', False),
        (b'{"a":[1,2]}', b'{"a":[2,1]}', False),
    ],
)
def test_order_of_members_and_spelling_of_texts_do_not_count_and_numbers_do(
    one: bytes, other: bytes, equal: bool
) -> None:
    assert same(one, other) is equal


def test_what_the_eras_add_is_no_part_of_an_answer() -> None:
    modern = b'{"resultType":"complete","content":[1.10],"_meta":{"a":1},"ttlMs":0,"cacheScope":"public"}'
    assert bare(modern) == b'{"content":[1.10]}'


def test_texts_are_compared_line_by_line() -> None:
    lines = list(unified(OLD, NEW, ("then", "now"), Paint(colours=False)))
    assert lines[:2] == ["--- then", "+++ now"]
    assert [line for line in lines[2:] if line[0] in "+-"] == [r"-      two\n", r"+      2\n"]


def test_colours_repeat_what_the_signs_say() -> None:
    lines = list(unified(OLD, NEW, ("then", "now"), Paint(colours=True)))
    painted = [line for line in lines if line.startswith(("\x1b[31m-", "\x1b[32m+"))]
    assert len(painted) == 2


def test_a_server_cannot_drive_the_terminal() -> None:
    lines = "\n".join(unified(b'{"a":"x"}', '{"a":"\u009b31m"}'.encode(), ("then", "now"), Paint(colours=False)))
    assert "\u009b" not in lines
    assert r"\x9b31m" in lines
