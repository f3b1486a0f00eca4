from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.surrogates import unveiled, unveiled_string, veiled
from tests.gateway.protocol.spellings import LAW, PIECES, STRINGS


@LAW
@given(st.lists(PIECES | st.text(max_size=3)).map("".join))
def test_a_veil_is_lifted_without_a_trace(text: str) -> None:
    source = text.encode("utf-8", "surrogatepass")
    try:
        assert unveiled(veiled(source)) == source
    except ValueError:
        assert "\\u" in text


@LAW
@given(STRINGS)
def test_a_veiled_string_keeps_its_meaning(spelt: str) -> None:
    under = veiled(spelt.encode())
    assert b"\\u" not in under
    assert unveiled_string(json.loads(under)) == json.loads(spelt)


@pytest.mark.parametrize("bad", [b'"\\ud8"', b'"\\u"', b'"\\uD80g"', b'"\\\\\\u12"'])
def test_an_incomplete_escape_is_refused(bad: bytes) -> None:
    with pytest.raises(ValueError, match="unicode escape"):
        veiled(bad)


def test_an_escaped_backslash_begins_no_escape() -> None:
    assert json.loads(veiled(b'"\\\\ud8"')) == "\x7f1ud8"
    assert unveiled_string("\x7f1ud8") == "\\ud8"
