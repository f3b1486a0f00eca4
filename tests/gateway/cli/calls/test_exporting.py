"""`mcp-gateway calls export`: recorded calls as NDJSON or CSV."""

from __future__ import annotations

import csv
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from gateway.call_shapes import COLUMNS
from gateway.cli import main
from gateway.cli.calls.exporting import ROWS_AT_ONCE
from storage.records import Outcome
from tests.gateway.cli.calls.conftest import Filled
from tests.support.recording import REQUEST, RESPONSE, World, now_us


async def three(here: World, writer: Any) -> None:
    await here.record(writer, started_us=now_us() - 7_200_000_000, target="old")
    evil = {"outcome": Outcome.TOOL_ERROR, "error_message": '=cmd|"/C calc"!A0, 你好\nsecond'}
    await here.record(writer, target="@evil", end=evil)
    await here.record(writer, target="new", caller=here.bob)


def test_a_line_for_each_call_oldest_first(filled: Filled, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["calls", "export", "--config", filled(three)]) == 0
    printed, said = capsysbinary.readouterr()
    assert [json.loads(line)["tool"] for line in printed.splitlines()] == ["old", "@evil", "new"]
    assert said.startswith(b"3 calls exported in ")


def test_filters_stand_before_the_verb_or_after_it(filled: Filled, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    config = filled(three)
    for words in (
        ["calls", "--user", "bob", "export", "--config", config],
        ["calls", "--config", config, "export", "--user", "bob"],
    ):
        assert main(words) == 0
        assert [json.loads(line)["tool"] for line in capsysbinary.readouterr().out.splitlines()] == ["new"]


def test_payloads_come_when_they_are_asked_for(filled: Filled, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    config = filled(three, exact="always")
    assert main(["calls", "export", "--payloads", "--tool", "old", "--config", config]) == 0
    printed = capsysbinary.readouterr().out
    assert b'"json":' + REQUEST in printed
    assert b'"json":' + RESPONSE in printed
    assert main(["calls", "export", "--tool", "old", "--config", config]) == 0
    assert REQUEST not in capsysbinary.readouterr().out


def test_csv_has_headings_and_no_cell_that_a_spreadsheet_would_run(
    filled: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "calls.csv"
    assert main(["calls", "export", "--payloads", "--output", str(file), "--config", filled(three)]) == 0
    with file.open(encoding="utf-8", newline="") as opened:
        headings, *records = list(csv.reader(opened))
    assert headings == [*COLUMNS, "request", "response"]
    evil = dict(zip(headings, records[1], strict=True))
    assert (evil["tool"], evil["error_message"]) == ("'@evil", '\'=cmd|"/C calc"!A0, 你好\nsecond')
    assert evil["request"] == REQUEST.decode()
    assert capsys.readouterr().err.startswith(f"3 calls exported to {file} in ")


def test_a_file_is_its_owners_alone_and_appears_whole(filled: Filled, tmp_path: Path) -> None:
    file = tmp_path / "calls.ndjson"
    file.write_text("before")
    assert main(["calls", "export", "--output", str(file), "--config", filled(three)]) == 0
    assert len(file.read_text().splitlines()) == 3
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not list(tmp_path.glob(".*.part"))


def test_a_file_that_could_not_be_finished_stays_as_it_was(
    filled: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "calls.ndjson"
    file.write_text("before")
    config = filled(three)
    (tmp_path / "calls.db").write_bytes(b"no database" * 1_000)
    assert main(["calls", "export", "--output", str(file), "--config", config]) == 1
    assert (file.read_text(), list(tmp_path.glob(".*.part"))) == ("before", [])
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("output", "complaint"), [("{folder}", "is a folder; name a file in it"), ("{folder}/no/such/f", "No such file or")]
)
def test_a_place_that_cannot_be_written_is_one_line(
    filled: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str, complaint: str
) -> None:
    assert main(["calls", "export", "--output", output.format(folder=tmp_path), "--config", filled(three)]) in (1, 2)
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1


def test_no_call_is_lost_between_two_chunks(filled: Filled, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    at = now_us()

    async def many(here: World, writer: Any) -> None:
        for n in range(2 * ROWS_AT_ONCE + 7):
            await here.record(writer, started_us=at - n % 3 * 1_000_000, target=str(n))

    assert main(["calls", "export", "--config", filled(many)]) == 0
    tools = [json.loads(line)["tool"] for line in capsysbinary.readouterr().out.splitlines()]
    assert sorted(map(int, tools)) == list(range(2 * ROWS_AT_ONCE + 7))
