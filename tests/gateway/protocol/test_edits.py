"""What no edit changes is the very same text."""

from __future__ import annotations

import pytest
from msgspec import Raw

from gateway.protocol import edits

LOUD = edits.string(str.upper)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"n":1.10,"a":"x","z":"\\u00e9"}', '{"n":1.10,"a":"X","z":"\\u00e9"}'),
        ('{ "n":1.10, "a":"X" }', '{ "n":1.10, "a":"X" }'),
        ('{ "a":7 }', '{ "a":7 }'),
        ("[ 1 ]", "[ 1 ]"),
    ],
)
def test_a_member_is_edited_and_the_others_keep_their_bytes(before: str, after: str) -> None:
    raw = Raw(before.encode())
    edited = edits.members(raw, {"a": LOUD, "absent": LOUD})
    assert bytes(edited).decode() == after
    assert (edited is raw) == (before == after)


def test_every_element_of_an_array_is_edited_and_what_is_none_stays() -> None:
    every = edits.each(LOUD)
    assert bytes(every(Raw(b'[ "a",1.10, "B"]'))) == b'["A",1.10,"B"]'
    for same in (Raw(b'[ "A",1.10 ]'), Raw(b'{ "a":1 }')):
        assert every(same) is same


def test_what_is_no_object_has_no_members() -> None:
    assert edits.opened(None) == edits.opened(Raw(b"[1]")) == {}
