from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateway.cli.invocation import program


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the program in it, which is not on PATH."""
    installed = tmp_path / "mcp-gateway"
    installed.touch(mode=0o755)
    monkeypatch.setenv("PATH", "")
    return tmp_path


def test_a_program_on_path_is_called_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(sys, "argv", [str(folder / "mcp-gateway"), "serve"])
    assert program() == "mcp-gateway"


def test_a_program_beside_path_is_called_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [".venv/bin/mcp-gateway", "serve"])
    assert program() == ".venv/bin/mcp-gateway"


@pytest.mark.parametrize("argv", [["/somewhere/gateway/__main__.py"], [""], []])
def test_a_module_run_by_python_has_no_better_name(
    argv: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    assert program() == "mcp-gateway"
