"""Which values of a server's configuration are secrets."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.secrets import secret_words
from gateway.settings import ServerSpec


@pytest.mark.trap(58)
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"headers": {"Authorization": "Bearer abc", "X-Odd": "def", "Accept": "text/html"}}, {"Bearer", "abc", "def"}),
        ({"env": {"APP_TOKEN": "abc", "HOME": "/home/a"}}, {"abc"}),
        ({"args": ("--api-key", "abc", "--token=def", "--verbose", "token", "x")}, {"abc", "def"}),
        ({"args": ("--password",)}, {""}),
        ({"url": "https://h/mcp?key=abc&access_token=d%20f&page=2"}, {"abc", "d f"}),
        ({"url": "https://h/mcp"}, set()),
    ],
)
def test_they_are_known_by_where_they_stand_and_what_they_are_called(spec: dict[str, Any], words: set[str]) -> None:
    assert set(secret_words(ServerSpec(**spec))) == words
