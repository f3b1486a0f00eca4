"""What a tool says of its pages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from gateway.apps import NO_APP, App, app_of


def said(**meta: Any) -> App:
    return app_of(Raw(json.dumps({"name": "t", "_meta": meta}).encode()))


@pytest.mark.parametrize(
    ("meta", "app"),
    [
        ({"ui": {"resourceUri": "ui://a"}}, App(("ui://a",), True)),
        ({"ui/resourceUri": "ui://a"}, App(("ui://a",), False)),
        ({"openai/outputTemplate": "ui://a", "ui/resourceUri": "ui://b"}, App(("ui://b", "ui://a"), False)),
        ({"ui": {"resourceUri": "ui://a"}, "ui/resourceUri": "ui://a"}, App(("ui://a",), True)),
        ({"ui": {"visibility": ["app"]}}, App((), True)),
        ({"ui": {"visibility": ["model", "app"]}}, App((), True)),
        ({"ui": {"visibility": ["model"]}}, App((), False)),
    ],
)
def test_every_spelling_is_read(meta: dict[str, Any], app: App) -> None:
    assert said(**meta) == app


@pytest.mark.parametrize(
    "meta",
    [{}, {"ui": 7}, {"ui": []}, {"ui": {}}, {"ui/resourceUri": 7}, {"ui": {"resourceUri": "", "visibility": "app"}}],
)
def test_what_says_nothing_is_no_app(meta: dict[str, Any]) -> None:
    assert said(**meta) == NO_APP


def test_a_definition_of_any_shape_is_no_app() -> None:
    for text in (b'{"name":"_meta"}', b'{"_meta":7}', b'{"_meta":null,"name":"\\u0061"}', b"{}"):
        assert app_of(Raw(text)) == NO_APP
