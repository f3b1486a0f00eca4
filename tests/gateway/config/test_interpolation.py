"""Variables in values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.interpolation import CannotExpand, Variables, has_variables

ENV = {"A": "one", "EMPTY": "", "SECRET_FILE": "/run/secret", "GONE_FILE": "/run/gone", "A_FILE": "/run/other"}
FILES = {"/run/secret": "hunter2\n", "/run/other": "two"}


def read_file(path: str) -> str:
    if path not in FILES:
        raise FileNotFoundError(2, "No such file or directory", path)
    return FILES[path]


VARIABLES = Variables(ENV, read_file)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "one"),
        ("a ${A} b ${A}", "a one b one"),
        ("${env:A}", "one"),
        ("${A:-two}", "one"),
        ("${NONE:-two}", "two"),
        ("${NONE:-}", ""),
        ("${EMPTY:-two}", "two"),
        ("${EMPTY}", ""),
        ("${env:NONE:-http://x/y?z}", "http://x/y?z"),
        ("${SECRET}", "hunter2"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$A $ $$ $5 {A}", "$A $ $$ $5 {A}"),
    ],
)
def test_a_text_says_what_its_variables_hold(text: str, value: str) -> None:
    assert VARIABLES.expand(text) == value


def test_a_variable_stands_before_its_file() -> None:
    assert VARIABLES.get("A") == "one"


def test_what_a_variable_holds_is_not_expanded_again() -> None:
    assert Variables({"A": "${B}", "B": "secret"}, read_file).expand("${A}") == "${B}"


@pytest.mark.parametrize(
    "text", ["${NONE}", "${GONE}", "${", "${A", "${}", "${A B}", "${A:-${A}}", "${input:x}", "${A-x}"]
)
def test_a_text_that_cannot_be_filled_in_is_refused_without_a_value(text: str) -> None:
    with pytest.raises(CannotExpand) as error:
        VARIABLES.expand(f"{text} and ${{SECRET}}")
    assert "hunter2" not in str(error.value)


@given(st.text())
def test_a_text_without_variables_stays_as_it_is(text: str) -> None:
    if not has_variables(text):
        assert VARIABLES.expand(text) == text


@given(st.text().filter(lambda text: not text.endswith("$")))
def test_every_text_can_be_written(text: str) -> None:
    assert VARIABLES.expand(text.replace("${", "$${")) == text
