"""`mcp-gateway calls verify`."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from tests.gateway.cli.calls.conftest import Filled
from tests.support.recording import World


async def three(here: World, writer: Any) -> None:
    for _ in range(3):
        await here.record(writer)


def test_says_that_nothing_is_missing(filled: Filled, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calls", "verify", "--config", filled(three)]) == 0
    assert capsys.readouterr().out == (
        "nothing missing: 3 calls of 1 run of the gateway, each with its row, each row counted\n"
    )


def test_names_what_is_missing(filled: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = filled(three)
    with sqlite3.connect(tmp_path / "calls.db") as database:
        database.execute("DELETE FROM server_calls WHERE journal_seq = 2")
    database.close()
    assert main(["calls", "verify", "--config", config]) == 1
    assert "missing  journal " in (out := capsys.readouterr().out)
    assert "there is no row of call 2 of it" in out
    assert main(["calls", "verify", "--json", "--config", config]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["complete"], told["calls"], len(told["problems"])) == (False, 3, 2)


def test_says_that_it_could_not_look(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"database: {{url: 'sqlite:///{tmp_path}/no/such/folder/calls.db'}}\n")
    assert main(["calls", "verify", "--config", str(file)]) == 2
    assert "the records cannot be checked: " in capsys.readouterr().err
