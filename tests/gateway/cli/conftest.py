"""What tests of commands may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gateway.cli.shell import Shell


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Commands over a file and a database of this test alone."""
    return Shell(tmp_path, capsys)
