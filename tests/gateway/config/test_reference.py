"""docs/configuration.md."""

from __future__ import annotations

from tests.gateway.config.reference import DOCUMENT, renewed
from tests.gateway.config.test_parse import AS_DOCUMENTED, parsed


def test_the_reference_names_every_key_as_it_is() -> None:
    """To renew it: python -m tests.gateway.config.reference"""
    text = DOCUMENT.read_text("utf-8")
    assert renewed(text) == text


def test_the_first_example_is_right() -> None:
    example = DOCUMENT.read_text("utf-8").partition("```yaml\n")[2].partition("```")[0].replace("…", "0" * 64)
    assert parsed(example, {"DOCS_TOKEN": "t"}).servers == parsed(AS_DOCUMENTED, {"DOCS_TOKEN": "t"}).servers
