"""Programs that tests run as processes of their own, foremost the gateway as its users run it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

BANNER = re.compile(r"http://[^/\s]+:\d+/mcp")
PATIENCE = 30.0
"""Seconds until a program says that it is ready, and until it has ended after SIGTERM."""


@dataclass
class Program:
    """A running program. `log` is everything that it has said so far, line by line; `ready` the line that said so."""

    child: subprocess.Popen[str]
    log: list[str] = field(default_factory=list)
    ready: re.Match[str] | None = None

    @property
    def said(self) -> str:
        return "".join(self.log)


@dataclass(frozen=True)
class Served:
    """A gateway that has printed its URL. `config` is its file."""

    url: str
    config: Path
    program: Program

    def door(self, slug: str) -> str:
        """The URL of one server's own door."""
        return f"{self.url.removesuffix('/mcp')}/servers/{slug}/mcp"


@contextmanager
def running(
    command: Sequence[str], folder: Path, ready: re.Pattern[str], env: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """Run `command` in `folder` until a line matches `ready`; at the end, stop it by SIGTERM and wait for it."""
    surroundings = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
    child = subprocess.Popen(
        command, cwd=folder, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    program = Program(child)
    heard = threading.Event()
    reader = threading.Thread(target=_listen, args=(program, ready, heard), name=f"output of {command[0]}")
    reader.start()
    try:
        heard.wait(PATIENCE)
        assert program.ready is not None, f"{command} did not become ready:\n{program.said}"
        yield program
    finally:
        _stop(child)
        reader.join()


@contextmanager
def served(config_text: str, folder: Path) -> Iterator[Served]:
    """Run `mcp-gateway serve` on `config_text`, whose port should be 0, and insist that it ends well."""
    config = folder / "config.yaml"
    config.write_text(config_text, encoding="utf-8")
    with running([sys.executable, "-m", "gateway", "serve", "--config", str(config)], folder, BANNER) as program:
        assert program.ready is not None
        yield Served(program.ready.group(), config, program)
    assert program.child.returncode == 0, f"the gateway exited with {program.child.returncode}:\n{program.said}"
    assert "Traceback" not in program.said, program.said


def free_port() -> int:
    """A port that was free a moment ago, for programs that cannot choose one themselves."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _listen(program: Program, ready: re.Pattern[str], heard: threading.Event) -> None:
    assert program.child.stdout is not None
    with program.child.stdout as output:
        for line in output:
            program.log.append(line)
            if program.ready is None and (found := ready.search(line)) is not None:
                program.ready = found
                heard.set()
    heard.set()


def _stop(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
