"""The registry as a file."""

from __future__ import annotations

from dataclasses import replace

from gateway.cli.export import as_yaml
from gateway.config import parse
from gateway.registry import exported, plan
from storage.registration import Origin, ServerRow
from tests.gateway.registry.rows import ENV, config, row, written

FILE = """\
  "Time & Zones":
    command: mcp-server-time
    args: [--utc, '8080', 'true', "null", "a: b", '#', " x ", '']
    env: {A: 1.10, B: yes}
  docs:
    url: https://docs.example.com/mcp
    slug: manual
    description: "first line\\nsecond: line"
    headers: {Authorization: "Bearer ${TOKEN}", X-A: "$${literal}"}
    timeouts: {connect: 1, idle: 2.5}
    health: {rise: 3}
    maintenance: true
  时间: {command: x, enabled: false, max_children: 3, forward_headers: []}
  '42': {type: streamable-http, endpoint: 'http://[::1]:9/mcp', disabled: false, timeout: 5}
"""


def again(rows: tuple[ServerRow, ...]) -> tuple[ServerRow, ...]:
    """`rows` exported, parsed and planned against themselves."""
    text = as_yaml(exported(rows))
    found = plan(parse(text, source="exported.yaml", env=ENV, read_file=str), rows)
    assert found.changes == ()
    return written(found, rows)


def test_what_is_exported_and_applied_changes_nothing() -> None:
    rows = written(plan(config(FILE), ()))
    assert again(rows) == rows


def test_what_left_the_file_is_exported_as_disabled() -> None:
    rows = written(plan(config(FILE), ()))
    rows = written(plan(config("  {}"), rows), rows)
    assert {entry["enabled"] for entry in exported(rows)["servers"].values()} == {False}
    assert again(rows) == rows


def test_variables_stay_as_they_were_written() -> None:
    text = as_yaml(exported(written(plan(config(FILE), ()))))
    assert "Authorization: Bearer ${TOKEN}" in text
    assert "t0k3n" not in text


def test_the_text_reads_well() -> None:
    rows = written(
        plan(config("  time: {command: mcp-server-time, args: [--utc]}\n  docs: {url: 'https://h', slug: d}\n"), ())
    )
    assert as_yaml(exported(rows)) == (
        "servers:\n"
        "  time:\n"
        "    command: mcp-server-time\n"
        "    args:\n"
        "    - --utc\n"
        "  docs:\n"
        "    slug: d\n"
        "    url: https://h\n"
    )


def test_rows_of_another_back_end_are_left_out() -> None:
    assert exported((row(),)) == {"servers": {}}


def test_two_servers_of_one_name_are_both_there() -> None:
    (one,) = written(plan(config("  docs: {url: 'https://h'}"), ()))
    other = replace(one, id=2, slug="docs-2", origin=Origin.API)
    assert list(exported((one, other))["servers"]) == ["docs", "docs-2"]


def test_an_empty_registry_is_an_empty_file_that_can_be_read() -> None:
    assert again(()) == ()
