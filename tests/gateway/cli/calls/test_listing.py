from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from storage.database import Database
from storage.records import Caller, Outcome
from storage.settings import DatabaseSettings
from tests.gateway.cli.calls.conftest import Filled
from tests.support.recording import World, now_us, running


async def three(here: World, writer: Any) -> None:
    """An old call of alice's that was fine, a new one of bob's that was not, and one under way."""
    await here.record(writer, started_us=now_us() - 7_200_000_000, end={"total_us": 1_234_500})
    slow = {"outcome": Outcome.TIMEOUT, "error_message": "no answer\nfor 60 s \x1b[31m" + "x" * 200}
    await here.record(writer, started_us=now_us() - 60_000_000, target="convert", caller=here.bob, end=slow)
    await writer.started(here.started(target="convert"))


class TestTheTable:
    def test_has_a_line_per_call_oldest_first(self, filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
        config = filled(three)
        capsys.readouterr()
        assert main(["calls", "--config", config]) == 0
        heading, fine, slow, under_way = capsys.readouterr().out.splitlines()
        assert heading.split() == ["TIME", "UID", "SERVER", "TOOL", "OUTCOME", "MS", "USER", "ERROR"]
        assert fine.split()[3:] == ["time", "get_current_time", "ok", "1,234.5", "alice"]
        assert slow.split()[3:11] == ["time", "convert", "timeout", "1.5", "bob", "no", "answer", "for"]
        assert under_way.split()[3:] == ["time", "convert", "in_progress", "alice"]
        began = datetime.fromisoformat("T".join(slow.split()[:2])).astimezone()
        assert 50 < time.time() - began.timestamp() < 120

    def test_cannot_be_made_to_drive_the_terminal(self, filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["calls", "--config", filled(three)]) == 0
        printed = capsys.readouterr().out
        assert "\x1b" not in printed
        assert r"\x1b[31m" in printed
        assert max(map(len, printed.splitlines())) < 220

    def test_says_when_it_is_empty(self, filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["calls", "--config", filled(three), "--since", "0s"]) == 0
        assert capsys.readouterr().err == "no call matches\n"


class TestFilters:
    @pytest.mark.parametrize(
        ("words", "outcomes"),
        [
            (["--server", "time"], ["ok", "timeout", None]),
            (["--server", "Time"], ["ok", "timeout", None]),
            (["--tool", "convert"], ["timeout", None]),
            (["--tool", "time__convert"], ["timeout", None]),
            (["--tool", "other__convert"], []),
            (["--outcome", "ok"], ["ok"]),
            (["--outcome", "in_progress"], [None]),
            (["--user", "BOB"], ["timeout"]),
            (["--since", "10m"], ["timeout", None]),
            (["--until", "10m"], ["ok"]),
            (["--since", "1d", "--until", "1m", "--user", "alice"], ["ok"]),
            (["--limit", "2"], ["timeout", None]),
            (["--min-ms", "1000"], ["ok"]),
            (["--error", "No Answer"], ["timeout"]),
            (["--session", "999"], []),
            (["--trace", "ab" * 16], []),
        ],
    )
    def test_choose_calls(
        self, filled: Filled, capsys: pytest.CaptureFixture[str], words: list[str], outcomes: list[str | None]
    ) -> None:
        assert main(["calls", "--json", "--config", filled(three), *words]) == 0
        calls = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [call["outcome"] for call in calls] == outcomes

    @pytest.mark.parametrize(
        ("words", "complaint"),
        [
            (["--outcome", "timeuot"], "--outcome: 'timeuot' is not known; did you mean timeout?"),
            (["--server", "tmie"], "--server: 'tmie' is not known; did you mean time?"),
            (["--server", "zzz"], "--server: 'zzz' is not known; there is time"),
            (["--user", "alcie"], "--user: 'alcie' is not known; did you mean alice?"),
            (["--since", "10 min"], "--since: '10 min' is no time; did you mean 10m?"),
            (
                ["--until", "noon"],
                "--until: 'noon' is no time; write 30s, 10m, 2h, 3d, 1w, 2026-01-31 or 2026-01-31T08:30",
            ),
            (["--limit", "0"], "--limit: '0' is no number from 1 to 10000"),
            (["--limit", "ten"], "--limit: 'ten' is no number from 1 to 10000"),
            (["--follow", "--until", "1m"], "--follow and --until exclude each other"),
            (["--follow", "--before", "AAAAAAAAAAAAAAAA"], "--follow and --before exclude each other"),
            (["--min-ms", "long"], "--min-ms: 'long' is no number of milliseconds; write 250, or 0.5"),
            (
                ["--before", "x"],
                "--before: 'x' is no place in a list of calls; "
                "take the one that was told at the end of the page before",
            ),
        ],
    )
    def test_that_make_no_sense_are_one_line_and_exit_code_2(
        self, filled: Filled, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
    ) -> None:
        assert main(["calls", "--config", filled(three), *words]) == 2
        printed, said = capsys.readouterr()
        assert (printed, said) == ("", f"mcp-gateway: {complaint}\n")

    def test_by_a_server_when_there_is_none_say_so(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = tmp_path / "config.yaml"
        file.write_text(f"database: {{url: 'sqlite:///{tmp_path}/new.db'}}\n")
        assert main(["calls", "--config", str(file), "--server", "time"]) == 2
        assert capsys.readouterr().err == "mcp-gateway: --server: 'time' is not known; there is none\n"


class TestPages:
    def test_lead_from_one_to_the_one_before(self, filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
        words, seen = ["calls", "--json", "--config", filled(three), "--limit", "1"], []
        for _ in range(3):
            assert main(words) == 0
            printed, told = capsys.readouterr()
            seen.append(json.loads(printed)["outcome"])
            words = [*words[:6], "--before", told.partition("--before ")[2].strip()]
        assert (seen, told) == ([None, "timeout", "ok"], "")

    def test_go_as_far_back_as_it_takes(self, filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
        async def many(here: World, writer: Any) -> None:
            await here.record(writer, started_us=now_us() - 7_200_000_000, end={"total_us": 9_000_000})
            for _ in range(10_050):
                await here.record(writer)

        assert main(["calls", "--json", "--config", filled(many), "--min-ms", "9000"]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 1


class TestJson:
    def test_is_an_object_per_line_with_moments_in_utc(
        self, filled: Filled, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["calls", "--json", "--config", filled(three), "--limit", "1", "--outcome", "timeout"]) == 0
        (line,) = capsys.readouterr().out.splitlines()
        call = json.loads(line)
        assert (call["server"], call["tool"], call["user"], call["response_ms"]) == ("time", "convert", "bob", 1.5)
        assert datetime.fromisoformat(call["started_at"]).utcoffset() is not None
        assert call["error_message"].startswith("no answer\nfor 60 s")


class TestFollowing:
    def test_prints_what_was_and_then_what_ends_until_ctrl_c(self, filled: Filled) -> None:
        config = filled(three)
        command = [sys.executable, "-m", "gateway", "calls", "--json", "--follow", "--config", config]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
        try:
            before = [json.loads(child.stdout.readline())["outcome"] for _ in range(3)]
            asyncio.run(_record_one_more(config))
            news = json.loads(child.stdout.readline())
            child.send_signal(signal.SIGINT)
            rest, complaint = child.communicate(timeout=20)
        finally:
            child.kill()
            child.wait()
        assert before == ["ok", "timeout", None]
        assert (news["tool"], news["outcome"]) == ("new", "ok")
        assert (child.returncode, rest, complaint) == (0, "", "")


async def _record_one_more(config: str) -> None:
    db = Database(DatabaseSettings(url=f"sqlite:///{Path(config).parent}/calls.db"))
    try:
        here = await _again(db)
        async with running(db) as writer:
            await here.record(writer, target="new")
    finally:
        await db.close()


async def _again(db: Database) -> World:
    """The world that is there already."""
    rows = await World.rows(World(db, None, None, 0))
    caller = Caller(user_id=rows[0].user_id, user="alice")
    return World(db, caller, caller, rows[0].server_id)
