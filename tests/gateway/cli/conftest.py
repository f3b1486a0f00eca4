"""What tests of commands may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.gateway.cli.shell import Shell


@pytest.fixture(autouse=True)
def no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of the developer's shell stay out: DATABASE_URL would win over the file of a test."""
    for name in os.environ:
        if name.startswith(("DATABASE_URL", "MCP_GATEWAY_")):
            monkeypatch.delenv(name)


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Commands over a file and a database of this test alone."""
    return Shell(tmp_path, capsys)
