"""How the official suite is run, and what it says.

Which question: which scenarios pass against this server, or with this client, and why do the others fail? The rule:
scenarios count, not checks; a scenario's own verdict is the suite's, never computed here.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

PATIENCE = 120
"""Seconds that a run of the suite may take."""
SCENARIO_MS = 15_000
"""Milliseconds that the suite grants a scenario."""

SUMMARY = re.compile(r"^([✓✗]) (\S+): (\d+) passed, (\d+) failed", re.MULTILINE)
UNSCORED = re.compile(r"^  [✓✗] (\S+) \((.+)\)$", re.MULTILINE)
CHATTER = re.compile(r"\b(DEBUG|INFO)\b|^\s*$")
LAST_WORDS = 5
"""Lines of what a client says that a complaint holds, chatter left out."""

OWN_ERRORS: Mapping[str, str] = {
    "initialize": "it lists tools of a mock that says it has none, and the gateway takes the mock at its word",
    "request-metadata": "it calls a tool that the mock never listed, and a gateway offers what is listed",
    "sep-2322-client-request-state": "it refuses a result without `resultType`, which it should read as complete",
}
"""Why the reference client leaves these scenarios with an error of its own; the mock's checks alone decide them."""


class Verdict(StrEnum):
    """What the suite says of a scenario; `WARNED` counts as passed, with a recommendation not followed."""

    FAILS = "fails"
    WARNED = "passes, warned"
    PASSES = "passes"

    @property
    def rank(self) -> int:
        return list(Verdict).index(self)


@dataclass(frozen=True)
class Scenario:
    """`unscored` says why a scenario does not count for its revision (pending, …); `complaints` name the checks."""

    name: str
    passed: bool
    unscored: str = ""
    complaints: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        if not self.passed:
            return Verdict.FAILS
        return Verdict.WARNED if self.complaints else Verdict.PASSES

    def __str__(self) -> str:
        return "\n    ".join([self.name, *self.complaints])


@dataclass(frozen=True)
class Revision:
    """A protocol revision as the suite knows it. `frozen`: there is a set of scenarios that it requires."""

    name: str
    frozen: bool

    @property
    def options(self) -> list[str]:
        return ["--requirements", self.name] if self.frozen else ["--suite", "all", "--spec-version", self.name]


class SuiteFailed(Exception):
    """The suite ended without a verdict."""


def judge_server(suite: Sequence[str], url: str, revision: Revision) -> tuple[Scenario, ...]:
    """Every scenario of `revision` against the server at `url`, extensions excepted."""
    with TemporaryDirectory() as folder:
        said, _ = _run([*suite, "server", "--url", url, *revision.options, *_common(folder)])
        unscored = dict(UNSCORED.findall(said))
        scenarios = tuple(
            Scenario(name, mark == "✓", unscored.get(name, ""), tuple(_complaints(Path(folder), f"server-{name}")))
            for mark, name, _, _ in SUMMARY.findall(said)
            if unscored.get(name) != "extension"
        )
    if not scenarios:
        raise SuiteFailed(said[-2000:])
    return scenarios


def judge_client(suite: Sequence[str], command: str, scenario: str, revision: Revision, cwd: Path) -> Scenario:
    """One scenario: the suite starts its mock server and runs `command`, the mock's URL appended, in `cwd`."""
    with TemporaryDirectory() as folder:
        options = ["--command", command, "--scenario", scenario, "--spec-version", revision.name]
        said, code = _run([*suite, "client", *options, *_common(folder)], cwd)
        found = list(Path(folder).glob(f"{scenario}-*"))
        if not found:
            raise SuiteFailed(said[-2000:])
        complaints = list(_complaints(Path(folder), scenario))
        passed = not complaints if scenario in OWN_ERRORS else code == 0
        if not passed:
            complaints.append(_last_words((found[0] / "stderr.txt").read_text(encoding="utf-8")))
    return Scenario(scenario, passed, complaints=tuple(complaints))


def _last_words(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if not CHATTER.search(line)]
    return "the client said: " + " / ".join(lines[-LAST_WORDS:])


def _common(folder: str) -> list[str]:
    return ["--timeout", str(SCENARIO_MS), "--output-dir", folder]


def _complaints(folder: Path, prefix: str) -> Iterator[str]:
    pattern = re.compile(re.escape(prefix) + r"-\d{4}-\d\d-\d\dT")
    for run in folder.iterdir():
        if pattern.match(run.name):
            checks: list[dict[str, Any]] = json.loads((run / "checks.json").read_text(encoding="utf-8"))
            for check in checks:
                if check["status"] in ("FAILURE", "WARNING"):
                    message = check.get("errorMessage") or check["description"]
                    yield f"{check['id']}: {' '.join(message.split())}"


def _run(command: Sequence[str], cwd: Path | None = None) -> tuple[str, int]:
    """What it says, and its exit code. It has a process group of its own, which ends with it."""
    surroundings = {**os.environ, "NO_COLOR": "1", "NODE_NO_WARNINGS": "1"}
    child = subprocess.Popen(
        command,
        cwd=cwd,
        env=surroundings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = child.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired as error:
        os.killpg(child.pid, signal.SIGKILL)
        said, _ = child.communicate()
        raise SuiteFailed(f"the suite did not end within {PATIENCE} s:\n{said[-2000:]}") from error
    return said, child.returncode
