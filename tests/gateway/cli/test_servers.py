from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.cli.servers import as_table, overview
from storage import catalogs, health, registry
from storage.catalogs import StoredCatalog
from storage.database import Database
from storage.health import HealthRow, Mirror
from storage.registration import Origin, ServerRow
from storage.settings import DatabaseSettings

NOW = 1_800_000_000.0
TIME = {"command": "mcp-server-time", "args": []}
DOCS = {"url": "https://docs.example.com/mcp"}


def row(slug: str | None = "time", **more: Any) -> ServerRow:
    given = {"id": 1, "name": "Time", "description": None, "position": 0, "origin": Origin.CONFIG, "enabled": True}
    placed = {"maintenance": False, "host": "stdio", "port": 0, "spec": TIME, "spec_sha256": None}
    return ServerRow(**{"slug": slug, **given, **placed, **more})


def state(**more: Any) -> HealthRow:
    given = {"server_id": 1, "version": 1, "state": "up", "reason": None, "since_us": int((NOW - 125) * 1e6)}
    seen = {"rise": 0, "fall": 0, "observed_us": int(NOW * 1e6), "latency_us": 12_400, "server_era": "modern"}
    return HealthRow(**{**given, **seen, "catalog_sha256": None, **more})


def catalog(*tools: str) -> StoredCatalog:
    texts = tuple(json.dumps({"name": name, "inputSchema": {}}).encode() for name in tools)
    return StoredCatalog("modern", "2026-07-28", None, None, None, texts, bytes(32), int(NOW * 1e6))


MIRROR = Mirror(status="online", response_time=11.0, success_rate=0.995, server_load=0.0)


class TestOneServer:
    def line(self, *parts: Any) -> list[str]:
        return as_table([overview(*parts)], NOW).splitlines()[1].split()

    def test_a_line_says_state_since_protocol_transport_latency_success_and_tools(self) -> None:
        shown = self.line(row(), state(), MIRROR, catalog("now", "convert"))
        assert shown == ["time", "up", "2", "min", "2026-07-28", "stdio", "12", "ms", "99.5%", "2"]

    def test_what_is_not_known_is_a_dash(self) -> None:
        assert self.line(row(spec=DOCS), None, None, None) == ["time", "unknown", "-", "-", "http", "-", "-", "-"]

    def test_a_server_that_is_down_says_why(self) -> None:
        shown = self.line(row(), state(state="down", reason="refused", latency_us=None), MIRROR, None)
        assert (shown[1], " ".join(shown[-3:])) == ("down", "it refuses connections")

    @pytest.mark.parametrize(
        ("given", "word"),
        [
            (row(enabled=False), "disabled"),
            (row(maintenance=True), "maintenance"),
            (row(slug=None, name="old", spec=None), "adopted"),
        ],
    )
    def test_what_the_administrator_decided_goes_before_what_was_measured(self, given: ServerRow, word: str) -> None:
        assert self.line(given, state(), None, None)[1] == word

    @pytest.mark.parametrize(
        ("spec", "transport"), [(TIME, "stdio"), (DOCS, "http"), ({**DOCS, "transport": "sse"}, "sse")]
    )
    def test_the_transport_follows_from_the_registration(self, spec: dict[str, Any], transport: str) -> None:
        assert overview(row(spec=spec), None, None, None).transport == transport

    def test_tools_are_named_as_clients_see_them(self) -> None:
        found = overview(row(slug="git"), None, None, catalog("git_log", "git.log"))
        assert found.tools is not None
        assert found.tools[0] == "git__git_log"
        assert found.tools[1].startswith("git__git_log_")

    @pytest.mark.parametrize(
        ("seconds", "age"), [(0, "0 s"), (59.9, "60 s"), (60, "1 min"), (7_300, "2 h"), (200_000, "2 d"), (-5, "0 s")]
    )
    def test_ages_are_said_as_people_say_them(self, seconds: float, age: str) -> None:
        shown = as_table([overview(row(), state(since_us=int((NOW - seconds) * 1e6)), None, None)], NOW)
        assert f"up     {age}" in shown


class TestTheCommand:
    def test_it_reads_what_the_gateway_wrote_down(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        config = registered(tmp_path, ["time", "docs"], observed=time.time())
        capsys.readouterr()
        assert main(["servers", "--config", config]) == 0
        printed, complaint = capsys.readouterr()
        assert [line.split()[:2] for line in printed.splitlines()] == [
            ["SERVER", "STATE"],
            ["time", "up"],
            ["docs", "up"],
        ]
        assert complaint == ""

    def test_tools_are_a_name_per_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        config = registered(tmp_path, ["time", "docs"], observed=time.time())
        capsys.readouterr()
        assert main(["servers", "--config", config, "--tools"]) == 0
        assert capsys.readouterr().out == "time__a\ntime__b\ndocs__a\ndocs__b\n"

    def test_json_holds_everything(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        config = registered(tmp_path, ["time"], observed=NOW)
        capsys.readouterr()
        assert main(["servers", "--config", config, "--json"]) == 0
        (server,) = json.loads(capsys.readouterr().out)
        assert server == {
            "slug": "time",
            "name": "time",
            "state": "up",
            "since": "2027-01-15T07:57:55.000+00:00",
            "reason": None,
            "era": "modern",
            "protocol_version": "2026-07-28",
            "transport": "stdio",
            "latency_ms": 12.4,
            "success_rate": 0.995,
            "observed": "2027-01-15T08:00:00.000+00:00",
            "tools": ["time__a", "time__b"],
            "groups": [],
        }

    def test_groups_and_original_names_are_those_of_the_file(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config = registered(tmp_path, ["time", "docs"], observed=time.time())
        more = "aggregate: {names: original}\ngroups: {both: {servers: [time, docs]}, one: {servers: [docs]}}\n"
        Path(config).write_text(Path(config).read_text("utf-8") + more, "utf-8")
        capsys.readouterr()
        assert main(["servers", "--config", config]) == 0
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert lines[-2:] == [
            ["both", "/groups/both/mcp", "prefixed", "time,", "docs"],
            ["one", "/groups/one/mcp", "prefixed", "docs"],
        ]
        assert main(["servers", "--config", config, "--tools"]) == 0
        assert capsys.readouterr().out.split() == ["a", "b", "a", "b"]
        assert main(["servers", "--config", config, "--json"]) == 0
        assert [one["groups"] for one in json.loads(capsys.readouterr().out)] == [["both"], ["both", "one"]]

    @pytest.mark.parametrize(
        ("slugs", "observed", "complaint"),
        [
            ([], None, "no server is registered"),
            (["time"], None, "no server has been looked at yet"),
            (["time"], 1_000_000_000.0, "is it running?"),
        ],
    )
    def test_it_says_when_nobody_looks(
        self,
        slugs: list[str],
        observed: float | None,
        complaint: str,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert main(["servers", "--config", registered(tmp_path, slugs, observed=observed)]) == 0
        assert complaint in capsys.readouterr().err

    @pytest.mark.parametrize("command", ["servers", "calls", "export"])
    def test_a_broken_server_keeps_nobody_from_what_is_in_the_database(
        self, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config = registered(tmp_path, ["time"], observed=time.time())
        written = json.loads(Path(config).read_text(encoding="utf-8"))
        Path(config).write_text(json.dumps({**written, "servers": {"time": {"comand": "x"}}}), encoding="utf-8")
        assert main(["check", "--config", config]) == 2
        capsys.readouterr()
        assert main([command, "--config", config]) == 0
        assert "comand" not in capsys.readouterr().err


def registered(folder: Path, slugs: Sequence[str], *, observed: float | None) -> str:
    """A configuration whose servers are in its database, with catalogs, and health if they were observed."""
    url = f"sqlite:///{folder / 'gateway.db'}"
    config = folder / "config.yaml"
    config.write_text(json.dumps({"database": {"url": url}, "servers": dict.fromkeys(slugs, TIME)}), encoding="utf-8")
    assert main(["apply", "--config", str(config)]) == 0
    asyncio.run(_observe(Database(DatabaseSettings(url=url)), observed))
    return str(config)


async def _observe(db: Database, observed: float | None) -> None:
    try:
        for one in await registry.load(db):
            await catalogs.store(db, one.id, catalog("a", "b"))
            if observed is not None:
                seen = state(server_id=one.id, observed_us=int(observed * 1e6))
                await health.save(db, seen, mirror=MIRROR, expected=None)
    finally:
        await db.close()
