from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.protocol.texts import (
    NotAnArray,
    NotAnObject,
    NotJson,
    copy,
    elements,
    encode,
    is_json,
    is_object,
    is_token,
    is_whole,
    members,
    one_line,
    string,
    text,
    word,
)
from tests.gateway.protocol import spellings
from tests.gateway.protocol.spellings import BLANKS, LAW, OBJECTS, STRINGS, VALUES, Spelt, flat, meaning

LONE = b'"\\ud800"'


@LAW
@given(OBJECTS)
def test_every_value_comes_out_with_its_own_bytes(spelt: Spelt) -> None:
    last = {meaning(name): value.encode() for name, value in spelt.members}
    assert {name: bytes(raw) for name, raw in members(spelt.text.encode()).items()} == last


@LAW
@given(OBJECTS)
def test_members_stand_where_their_name_stood_first(spelt: Spelt) -> None:
    assert list(members(spelt.text.encode())) == list(dict.fromkeys(meaning(name) for name, _ in spelt.members))


@LAW
@given(OBJECTS)
def test_an_object_written_again_says_the_same_once(spelt: Spelt) -> None:
    written = spellings.read(bytes(encode(members(spelt.text.encode()))))
    assert written == list({meaning(name): value.encode() for name, value in spelt.members}.items())


@LAW
@given(VALUES, st.data())
def test_a_text_with_surrogates_is_judged_like_any_other(value: str, data: st.DataObject) -> None:
    whole = f'{{"a":{value},"b":"\\udc00"}}'.encode()
    at = data.draw(st.integers(0, len(whole)))
    other = data.draw(st.sampled_from([b"", b'"', b"\\", b"u", b"]", b",", b"0", b"NaN", b"\x7f", b"\x7f2", b"\n"]))
    broken = whole[:at] + other + whole[at + data.draw(st.integers(0, 2)) :]
    if broken.decode("utf-8", "replace").encode() != broken:
        return  # bytes that are no UTF-8 are refused before anything is opened
    try:
        opened: object = members(broken)
    except NotJson:
        opened = NotJson
    except NotAnObject:
        opened = NotAnObject
    assert (opened is not NotJson) == spellings.is_json(broken)


@pytest.mark.parametrize(
    "bad", [b'{"a":NaN}', b'{"a":[Infinity]}', b'{"a":-Infinity,"b":"\\ud800"}', b'{"a":NaN,"\\ud800":1}']
)
def test_what_is_no_number_is_refused(bad: bytes) -> None:
    with pytest.raises(NotJson):
        members(bad)


@pytest.mark.parametrize("other", [b"[]", b"null", b"1", b'"a"', LONE, b'[{"a":"\\ud800"}]'])
def test_another_kind_of_value_is_no_object(other: bytes) -> None:
    with pytest.raises(NotAnObject) as refused:
        members(other)
    assert not isinstance(refused.value, NotJson)


@pytest.mark.parametrize("bad", [b"", b"{", b'{"a":1,}', b'{"a":1}}', b'{"a":"\\ud80"}', b'{"\\ud800":01}', b"{'a':1}"])
def test_what_is_no_json_is_refused(bad: bytes) -> None:
    with pytest.raises(NotJson):
        members(bad)


@LAW
@given(st.lists(VALUES, max_size=4), BLANKS)
def test_the_elements_of_an_array_keep_their_bytes(values: list[str], blanks: str) -> None:
    array = f"[{blanks}{f'{blanks},{blanks}'.join(values)}{blanks}]"
    assert [bytes(raw) for raw in elements(array.encode())] == [value.encode() for value in values]


@pytest.mark.parametrize("other", [b"{}", b"null", b"[1,]", b"[NaN]", b'["\\ud800",NaN]', b"", LONE, b'["\\ud8"]'])
def test_what_is_no_array_has_no_elements(other: bytes) -> None:
    with pytest.raises(NotAnArray):
        elements(other)


@LAW
@given(STRINGS)
def test_a_string_means_what_the_standard_library_reads(spelt: str) -> None:
    assert string(spelt.encode()) == json.loads(spelt)


@pytest.mark.parametrize("other", [b"1", b"null", b"[]", b"", b'"', b'"\\ud8"', b'["\\ud800"]'])
def test_what_is_no_string_is_none(other: bytes) -> None:
    assert string(other) is None
    assert word(other) is None


def test_a_word_holds_whole_characters_only() -> None:
    assert word(b'"\\u00e9\\ud83d\\ude00"') == "é😀"
    assert word(LONE) is None
    assert string(LONE) == "\ud800"


def test_a_value_with_a_lone_surrogate_is_written_with_its_escape() -> None:
    assert bytes(text({"a": "\ud800é"})) == b'{"a":"\\ud800\\u00e9"}'
    assert bytes(encode({"\ud800": b"1.10", "b": Raw(b"2")})) == b'{"\\ud800":1.10,"b":2}'


def test_tokens_are_strings_and_integers() -> None:
    assert all(is_token(good) for good in (b'"a"', b'""', LONE, b"0", b"-7", b"1" + b"0" * 22))
    assert not any(is_token(bad) for bad in (b"1.0", b"1e2", b"true", b"null", b"[1]", b"{}", b"", b"-1.5"))


def test_an_object_is_known_by_its_first_byte() -> None:
    assert is_object(Raw(b'{"a":1}'))
    assert not any(is_object(Raw(other)) for other in (b"[]", b'"{"', b"", b"null"))


def test_json_of_any_kind_is_recognised() -> None:
    assert all(is_json(good) for good in (b"1", LONE, b'{"a":[]}', b" null "))
    assert not any(is_json(bad) for bad in (b"", b"[", b'{"a":"\\ud800"', b"1 2", b"NaN"))


def test_text_for_every_reader_has_no_lone_surrogate() -> None:
    assert is_whole(b'{"a":"\\ud83d\\ude00"}')
    assert not any(is_whole(bad) for bad in (LONE, b'{"a":["\\ud800"]}', b"[", b""))


def test_a_copy_lets_go_of_the_text_that_it_was_cut_from() -> None:
    whole = b'{"a":1,"b":"' + b"x" * 1000 + b'"}'
    references = sys.getrefcount(whole)
    kept = copy(members(whole)["a"])
    assert (bytes(kept), sys.getrefcount(whole)) == (b"1", references)
    cut = members(whole)["a"]
    assert (bytes(cut), sys.getrefcount(whole)) == (b"1", references + 1)


@LAW
@given(VALUES)
def test_one_line_loses_only_line_ends(value: str) -> None:
    line = one_line(value.encode())
    assert line == flat(value)
    assert json.loads(line, parse_int=str, parse_float=str) == json.loads(value, parse_int=str, parse_float=str)
