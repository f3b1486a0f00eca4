"""The JSON Schema for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from gateway.config import parse
from gateway.config.clients import ALIASES
from gateway.config.schema import schema
from gateway.settings import Config
from tests.gateway.config.corpus import FILES
from tests.gateway.config.test_parse import AS_DOCUMENTED

ROOT = Path(__file__).parents[3]
JUDGE = jsonschema.Draft202012Validator(schema())

UNKNOWN_KEYS = ("unknown_key", "bounds", "one_of", "sha256")


def loaded(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def test_the_published_schema_is_current() -> None:
    """To renew it: mcp-gateway check --schema > docs/config.schema.json"""
    assert json.loads((ROOT / "docs" / "config.schema.json").read_text("utf-8")) == schema()


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize(
    "text",
    [
        AS_DOCUMENTED,
        (ROOT / "config.yaml").read_text("utf-8"),
        "listen: {port: '${PORT}'}\nservers: {a: {command: x, enabled: '${ON}', timeouts: }}\nauth:\n",
        "mcpServers: {a: {command: x, disabledTools: [b]}}\ninputs: []\n",
        "servers: {a: {endpoint: 'https://h', type: streamable-http, disabled: true, timeout: 5}}",
    ],
)
def test_what_the_gateway_accepts_is_not_underlined(text: str) -> None:
    parse(text, source="x", env={"DOCS_TOKEN": "t", "PORT": "1", "ON": "true"}, read_file=str)
    JUDGE.validate(loaded(text))


@pytest.mark.parametrize("file", [file for file in FILES if file.stem in UNKNOWN_KEYS], ids=lambda file: file.stem)
def test_wrong_keys_words_and_numbers_are_underlined(file: Path) -> None:
    assert not JUDGE.is_valid(loaded(file.read_text("utf-8")))


def test_every_key_is_described() -> None:
    made = schema()
    for name, section in made["$defs"].items():
        for key, value in section["properties"].items():
            assert value.get("description") or key in Config.model_fields, f"{name}.{key}"


def test_other_products_words_are_known_and_the_name_is_not_a_key() -> None:
    server = schema()["$defs"]["ServerSpec"]["properties"]
    assert set(ALIASES) < set(server)
    assert "name" not in server
