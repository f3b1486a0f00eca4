"""From the file to the endpoints in front of several servers."""

from __future__ import annotations

from gateway.config import parse
from gateway.groups import selections
from gateway.routing import AGGREGATE, Selection


def selected(text: str) -> tuple[Selection, ...]:
    return selections(parse(text, source="c.yaml", env={}, read_file=lambda path: ""))


def test_the_aggregate_is_there_unasked_and_prefixes_names() -> None:
    assert selected("servers: {a: {command: x}}") == (Selection(AGGREGATE),)
    assert selected("aggregate: {names: original}") == (Selection(AGGREGATE, prefixed=False),)


def test_a_group_names_servers_as_the_file_does() -> None:
    text = """
servers: {My Docs: {command: x}, git: {command: x, slug: g}, off: {command: x, enabled: false}}
groups:
  research: {servers: [My Docs, git], description: For research.}
  plain: {servers: [off], names: original}
"""
    _, research, plain = selected(text)
    assert research == Selection("groups/research", frozenset({"my-docs", "g"}), True, "For research.")
    assert plain == Selection("groups/plain", frozenset({"off"}), prefixed=False)


def test_a_group_may_name_servers_of_desktop_clients() -> None:
    _, group = selected("mcpServers: {a: {command: x}}\ngroups: {one: {servers: [a]}}")
    assert group.slugs == {"a"}
