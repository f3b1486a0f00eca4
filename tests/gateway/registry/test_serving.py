"""From rows to servers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.registry import plan, served
from storage.registration import Origin
from tests.gateway.registry.rows import config, row, written

FILE = (
    "  time: {command: mcp-server-time}\n"
    "  docs: {url: 'https://docs.example.com/mcp', headers: {Authorization: 'Bearer ${TOKEN}'}, timeouts: {idle: 5}}\n"
)
CONFIG = config(FILE)
ROWS = written(plan(CONFIG, ()))


def test_the_file_s_own_rows_are_served_in_order_with_their_secrets() -> None:
    found = served(CONFIG, ROWS)
    assert [(server.id, server.slug) for server in found.servers] == [(1, "time"), (2, "docs")]
    assert found.servers[1].spec == CONFIG.servers["docs"]
    assert found.servers[1].spec.headers == {"Authorization": "Bearer t0k3n"}
    assert found.problems == ()


def test_a_disabled_row_and_one_of_another_back_end_are_not_served() -> None:
    rows = (replace(ROWS[0], enabled=False), row(id=7, name="old"))
    assert served(CONFIG, rows).servers == ()
    assert served(CONFIG, rows).problems == ()


def test_the_row_s_word_on_maintenance_counts() -> None:
    assert served(CONFIG, (replace(ROWS[0], maintenance=True),)).servers[0].spec.maintenance


class TestWhoeverWritesTheTable:
    @pytest.mark.parametrize("origin", Origin)
    def test_cannot_start_a_program(self, origin: Origin) -> None:
        evil = replace(ROWS[0], spec={"command": "sh", "args": ["-c", "reboot"]}, origin=origin)
        found = served(CONFIG, (evil,))
        assert found.servers == ()
        assert [str(problem) for problem in found.problems] == [
            "registry, server 'time': starts a program, which only the configuration file may ask for; "
            "register it there"
        ]

    @pytest.mark.parametrize("origin", [Origin.API, Origin.ADOPTED])
    def test_cannot_start_even_the_file_s_program_from_a_row_that_is_not_the_file_s(self, origin: Origin) -> None:
        assert served(CONFIG, (replace(ROWS[0], origin=origin),)).servers == ()

    def test_cannot_start_the_file_s_program_with_other_arguments_by_keeping_the_hash(self) -> None:
        evil = replace(ROWS[0], spec={"command": "mcp-server-time", "args": ["x"]}, spec_sha256=ROWS[0].spec_sha256)
        assert served(CONFIG, (evil,)).servers == ()

    def test_cannot_start_the_file_s_program_under_another_slug(self) -> None:
        assert served(CONFIG, (replace(ROWS[0], slug="docs"),)).servers == ()

    @pytest.mark.parametrize("origin", Origin)
    def test_cannot_read_our_environment(self, origin: Origin) -> None:
        evil = replace(ROWS[1], spec={"url": "https://evil.example/${TOKEN}"}, origin=origin)
        found = served(CONFIG, (evil,))
        assert found.servers == ()
        assert "names variables, which only the configuration file may do" in str(found.problems[0])
        assert "t0k3n" not in str(found.problems)

    def test_may_register_a_url(self) -> None:
        spec = {"url": "https://h/mcp", "timeouts": {"connect": 1}}
        added = row(id=9, name="h", slug="h", origin=Origin.API, spec=spec)
        (server,) = served(CONFIG, (added,)).servers
        assert (server.spec.url, server.spec.name, server.spec.slug) == ("https://h/mcp", "h", "h")

    def test_is_told_of_a_spec_that_cannot_be_used_and_harms_no_other_server(self) -> None:
        broken = row(id=9, name="h", slug="h", origin=Origin.API, spec={"url": "gopher://h", "surprise": 1})
        found = served(CONFIG, (broken, *ROWS))
        assert [server.slug for server in found.servers] == ["time", "docs"]
        assert len(found.problems) == 2


class TestARevision:
    def revision(self, text: str, prefix: str = "") -> bytes:
        found = config(f"{text}\n{prefix}")
        return served(found, written(plan(found, ()))).servers[0].revision

    def test_changes_with_all_that_a_running_server_was_built_from(self) -> None:
        plain = self.revision("  a: {url: 'https://h'}")
        assert plain == self.revision("  a: {url: 'https://h', description: d, maintenance: true}")
        assert plain != self.revision("  a: {url: 'https://i'}")
        assert plain != self.revision("  a: {url: 'https://h', headers: {A: b}}")
        assert plain != self.revision("  a: {url: 'https://h', concurrency: 2}")
        assert plain != self.revision("  a: {url: 'https://h'}", "timeouts: {idle: 7}")

    def test_changes_with_a_secret_that_the_file_only_names(self) -> None:
        first = served(CONFIG, ROWS).servers[1]
        other = CONFIG.servers["docs"].model_copy(update={"headers": {"Authorization": "Bearer rotated"}})
        rotated = CONFIG.model_copy(update={"servers": {**CONFIG.servers, "docs": other}})
        assert served(rotated, ROWS).servers[1].revision != first.revision
