"""JSON paths: what they mean, and that nothing else changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.paths import MARK, BadPath, hidden, parsed

TEXT = (
    b'{"arguments": {"password":"hunter2", "n": 1.10, "deep":[{"token":"a"},{"token" : "b","x":1e2}]},'
    b'"token":"c","o\\u0064d":[10,20,30], "a-b":{"c d":null}}'
)


@pytest.mark.parametrize(
    ("path", "gone"),
    [
        ("$.arguments.password", [["arguments", "password"]]),
        ("$['arguments']['password']", [["arguments", "password"]]),
        ("$..token", [["token"], ["arguments", "deep", 0, "token"], ["arguments", "deep", 1, "token"]]),
        ("$.arguments.deep[1].token", [["arguments", "deep", 1, "token"]]),
        ("$.arguments.deep[*].token", [["arguments", "deep", 0, "token"], ["arguments", "deep", 1, "token"]]),
        ("$.arguments.*", [["arguments", "password"], ["arguments", "n"], ["arguments", "deep"]]),
        ("$.odd[2]", [["odd", 2]]),
        ('$["a-b"]["c d"]', [["a-b", "c d"]]),
        ("$.a-b.*", [["a-b", "c d"]]),
        ("$..[0]", [["odd", 0], ["arguments", "deep", 0]]),
        ("$.nowhere.at.all", []),
        ("$.token.below", []),
    ],
)
def test_a_path_means_these_values(path: str, gone: list[list[str | int]]) -> None:
    expected = json.loads(TEXT)
    for place in gone:
        at: Any = expected
        for step in place[:-1]:
            at = at[step]
        at[place[-1]] = json.loads(MARK)
    found = hidden(TEXT, [parsed(path)])
    assert json.loads(found) == expected
    if not gone:
        assert found is TEXT


def test_every_other_value_keeps_its_bytes() -> None:
    found = hidden(TEXT, [parsed("$.arguments.password")])
    for kept in (b"1.10", b'[{"token":"a"},{"token" : "b","x":1e2}]', b"[10,20,30]", b'{"c d":null}'):
        assert kept in found


def test_several_paths_add_up_and_the_shorter_hides_the_longer() -> None:
    found = json.loads(hidden(TEXT, [parsed("$.arguments"), parsed("$.arguments.password"), parsed("$.token")]))
    assert (found["arguments"], found["token"], found["odd"]) == ("[redacted]", "[redacted]", [10, 20, 30])


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("arguments.password", r"must begin with \$"),
        ("$", "means the whole payload"),
        ("$.a[?(@.b)]", r"cannot be read from '\[\?\(@\.b\)\]' on"),
        ("$.a[1:2]", "cannot be read from"),
        ("$.a[-1]", "cannot be read from"),
        ("$a", "cannot be read from 'a' on"),
        ("$...a", "cannot be read from|three dots"),
        ("$.a.", "cannot be read from"),
        ("$." + "a" * 300, "longer than 200"),
    ],
)
def test_what_cannot_be_read_says_why(path: str, why: str) -> None:
    with pytest.raises(BadPath, match=why):
        parsed(path)


@pytest.mark.parametrize("text", [b"", b"{", b'{"a":}', b'"\\ud800"x', b"[" * 100_000])
def test_what_is_no_json_raises_or_holds_nothing_that_is_meant(text: bytes) -> None:
    try:
        assert hidden(text, [parsed("$..a")]) is text
    except (ValueError, RecursionError):
        pass
    else:
        assert text in (b"", b'"\\ud800"x')


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.sampled_from("abcd"), children, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_nothing_that_is_meant_is_left_and_nothing_else_is_lost(value: Any) -> None:
    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: "[redacted]" if key == "a" else without(below) for key, below in value.items()}
        return [without(below) for below in value] if isinstance(value, list) else value

    assert json.loads(hidden(json.dumps(value).encode(), [parsed("$..a")])) == without(value)
