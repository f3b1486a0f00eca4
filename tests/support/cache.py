"""Published software that tests drive, installed once into `.cache/` of the checkout.

The rule: a folder is complete when its stamp names the digest of what it was made from; test processes that run side
by side wait for the one that installs.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

CACHE = Path(__file__).parent.parent.parent / ".cache"
STAMP = ".complete"
PATIENCE = 300
"""Seconds that one step of an installation may take."""


class Unavailable(Exception):
    """It could not be installed here; the message says why."""


def installed(name: str, made_from: Sequence[Path], install: Callable[[Path], None]) -> Path:
    """The folder `.cache/<name>`, filled by `install` unless it was already from these very files."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in made_from)).hexdigest()
    folder = CACHE / name
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = folder / STAMP
        if not (stamp.exists() and stamp.read_text() == digest):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            install(folder)
            stamp.write_text(digest)
    return folder


def run(command: Sequence[str | Path], cwd: Path | None = None) -> None:
    """Run one step of an installation. Raises Unavailable with the last line it said."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{Path(command[0]).name}: {error}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise Unavailable(f"{Path(command[0]).name} exited with {done.returncode}: {said[-1]}")
