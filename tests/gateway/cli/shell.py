"""Commands over one configuration file and its embedded database, as a shell sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli import main

TIME = "  time: {command: mcp-server-time}\n"
DOCS = "  docs: {url: 'https://docs.example.com/mcp', headers: {Authorization: 'Bearer ${SHELL_TOKEN}'}}\n"
SECRET = "hunter2"


class Shell:
    """Runs commands; `.env` beside the file sets SHELL_TOKEN."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.file = folder / "config.yaml"
        self._database = folder / "x.db"
        self._capsys = capsys
        (folder / ".env").write_text(f"SHELL_TOKEN={SECRET}\n")

    def write(self, servers: str, rest: str = "") -> None:
        self.file.write_text(f"database: {{url: 'sqlite:///{self._database}'}}\n{rest}servers:\n{servers}")

    def run(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr, neither of which may hold the secret."""
        code = main([*words, "--config", str(self.file)])
        printed = self._capsys.readouterr()
        assert SECRET not in printed.out + printed.err
        return code, printed.out, printed.err
