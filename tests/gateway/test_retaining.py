"""How long the configuration keeps records."""

from __future__ import annotations

from datetime import timedelta

from gateway.retaining import rules
from storage.retention import Rules, Terms
from tests.gateway.config.test_parse import parsed


def test_everything_is_kept_for_ever_unless_the_file_says_otherwise() -> None:
    assert rules(parsed("servers: {}")) == Rules()
    assert rules(parsed("servers: {}")).idle


def test_what_a_server_leaves_out_is_as_for_all() -> None:
    text = """
retention: {calls: 90, payloads: 14, most_calls: 5000, health: 30}
servers:
  a: {command: x, retention: {calls: 7}}
  b: {command: x}
"""
    found = rules(parsed(text))
    assert found == Rules(
        Terms(timedelta(days=90), timedelta(days=14)),
        {"a": Terms(timedelta(days=7), timedelta(days=14))},
        most_calls=5000,
        health=timedelta(days=30),
    )
    assert not found.idle
