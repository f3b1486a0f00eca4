"""A URI that comes from a template matches it, in linear time."""

from __future__ import annotations

import pytest

from gateway.templates import matches


@pytest.mark.parametrize(
    ("template", "uri"),
    [
        ("test://template/{id}/data", "test://template/123/data"),
        ("file:///{+path}", "file:///a/b.txt"),
        ("db://{table}{?limit,offset}", "db://users?limit=1"),
        ("db://{table}{?limit,offset}", "db://users"),
        ("{scheme}://x", "a://x"),
        ("a://b", "a://b"),
        ("{+any}", ""),
    ],
)
def test_an_expansion_matches_its_template(template: str, uri: str) -> None:
    assert matches(template, uri)


@pytest.mark.parametrize(
    ("template", "uri"),
    [
        ("test://template/{id}/data", "test://template/123"),
        ("test://a/{x}", "test://b/1"),
        ("a://b", "a://bc"),
        ("ab{x}ba", "aba"),
        ("a{x}-{y}z", "a1z"),
    ],
)
def test_another_uri_does_not(template: str, uri: str) -> None:
    assert not matches(template, uri)


def test_a_template_of_many_expressions_costs_no_more_than_its_length() -> None:
    assert not matches("{a}x" * 2_000, "x" * 1_999 + "y")
