from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.errors import GatewayError, Kind
from gateway.protocol.headers import NAME, McpHeaders, decode, encode
from tests.gateway.protocol.spellings import LAW


def refusal(*copies: str, expected: str = "tool") -> str:
    headers = CIMultiDictProxy(CIMultiDict([(NAME, copy) for copy in copies]))
    with pytest.raises(GatewayError) as refused:
        McpHeaders(headers).check_encoded(NAME, expected)
    assert refused.value.kind is Kind.HEADER_MISMATCH
    return refused.value.message


@LAW
@given(st.text())
def test_every_value_survives_a_header(value: str) -> None:
    carried = encode(value)
    assert carried.isascii()
    assert carried.isprintable()
    assert carried == carried.strip()
    assert decode(carried, NAME) == value


@pytest.mark.parametrize(
    ("value", "carried"),
    [
        ("us-west1", "us-west1"),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ("=?BASE64?aGk=?=", "=?BASE64?aGk=?="),
        ("a b", "a b"),
        ("\ta", "=?base64?CWE=?="),
        ("", ""),
    ],
)
def test_values_are_encoded_as_the_specification_shows(value: str, carried: str) -> None:
    assert encode(value) == carried


@pytest.mark.point(5)
@pytest.mark.parametrize("bad", ["!", "aGk", "aGk=?=", "a Gk=", "aGl=", "/w==", "7aCA"])
def test_a_bad_sentinel_is_refused(bad: str) -> None:
    assert refusal(f"=?base64?{bad}?=", expected="hi").startswith("Header mismatch: Mcp-Name is no")


@pytest.mark.point(5)
def test_the_marker_is_case_sensitive() -> None:
    assert decode("=?BASE64?aGk=?=", NAME) == "=?BASE64?aGk=?="
    assert decode("=?base64?aGk=?=", NAME) == "hi"


def test_undecoded_text_must_be_ascii() -> None:
    assert "base64 form" in refusal("é", expected="é")
    assert "base64 form" in refusal("a\x01", expected="a\x01")


@pytest.mark.point(4)
def test_a_missing_differing_or_repeated_header_is_refused() -> None:
    assert refusal() == "Header mismatch: Mcp-Name is missing"
    assert refusal("other") == "Header mismatch: Mcp-Name differs from the body"
    assert refusal("Tool") == "Header mismatch: Mcp-Name differs from the body"
    assert refusal("tool", "tool") == "Header mismatch: Mcp-Name is repeated"


@pytest.mark.point(4)
def test_names_have_no_case_and_values_no_blanks_around_them() -> None:
    for name in ("mcp-name", "MCP-NAME", "Mcp-Name"):
        McpHeaders({name: " \ttool\t "}).check_encoded(NAME, "tool")
        assert NAME in McpHeaders({name: ""})


@pytest.mark.point(30)
def test_a_name_may_come_encoded() -> None:
    carried = base64.b64encode("werkzeug-ä".encode()).decode()
    McpHeaders({NAME: f"=?base64?{carried}?="}).check_encoded(NAME, "werkzeug-ä")
