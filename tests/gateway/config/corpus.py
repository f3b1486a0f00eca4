"""The corpus of bad configuration files, one per rule, in tests/golden/config."""

from __future__ import annotations

from pathlib import Path

from gateway.config import ConfigErrors, parse

FOLDER = Path(__file__).parents[2] / "golden" / "config"
FILES = sorted(FOLDER.glob("*.yaml"))

SECRET = "hunter2"
ENV = {"SECRET": SECRET, "ABSENT_FILE": "/run/secrets/absent", "BINARY_FILE": "/run/secrets/binary"}
"""What the files may name; a message may not hold the value of SECRET."""


def read_file(path: str) -> str:
    """No secret file of the corpus can be read."""
    if path.endswith("binary"):
        return b"\xff".decode("utf-8")
    raise FileNotFoundError(2, "No such file or directory", path)


def problems_of(file: Path) -> list[str]:
    """The problems of a file of the corpus, as they are printed."""
    try:
        parse(file.read_text("utf-8"), source=file.name, env=ENV, read_file=read_file)
    except ConfigErrors as error:
        return [str(problem) for problem in error.problems]
    return []
