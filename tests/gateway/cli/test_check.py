"""`mcp-gateway check`, as a shell sees it, with real servers."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config.schema import schema
from tests.gateway.cli.shell import DOCS, SECRET, TIME, Shell
from tests.support.process import running

PEER = [sys.executable, "-m", "tests.support.sdk_peer"]
ROOT = Path(__file__).parents[3]
SILENT = "import time; print('not a word of MCP', flush=True); time.sleep(600)"


@pytest.fixture(scope="module")
def peer() -> Iterator[str]:
    """The URL of a server of the official SDK."""
    with running(PEER, ROOT, re.compile(r"http://\S+/mcp")) as program:
        assert program.ready is not None
        yield program.ready[0]


def test_a_right_file_is_one_line(shell: Shell) -> None:
    shell.write(TIME + DOCS)
    assert shell.run("check") == (0, f"{shell.file} is right: 2 servers (time, docs)\n", "")


def test_the_file_in_the_repository_is_right_and_all_its_programs_are_here(shell: Shell) -> None:
    shell.file = ROOT / "config.yaml"
    assert shell.run("check") == (0, f"{shell.file} is right: 2 servers (time, git)\n", "")


def test_warnings_are_told_and_harm_nothing(shell: Shell) -> None:
    shell.write(f"  a: {{url: 'https://h', headers: {{X-Token: {SECRET}}}}}\n")
    code, _, complaints = shell.run("check")
    assert code == 0
    assert complaints.startswith(f"{shell.file}:3:44: warning: servers.a.headers.X-Token holds a secret in clear")


def test_a_program_that_is_not_here_is_a_warning(shell: Shell) -> None:
    shell.write("  a: {command: no-such-program}\n  b: {command: no-such-program, enabled: false}\n")
    code, printed, complaints = shell.run("check")
    assert (code, printed) == (0, f"{shell.file} is right: 2 servers (a, b)\n")
    assert complaints.startswith(f"{shell.file}:3:16: warning: the command 'no-such-program' is not on PATH")
    assert complaints.count("\n") == 1


def test_a_database_that_cannot_be_is_told(shell: Shell) -> None:
    shell.file.write_text(f"servers: {{}}\ndatabase: {{url: 'oracle://u:{SECRET}@h/d'}}\n")
    code, _, complaints = shell.run("check")
    assert (code, complaints.partition(" ")[0]) == (2, f"{shell.file}:2:17:")


def test_the_database_is_not_touched(shell: Shell) -> None:
    shell.write(TIME)
    shell.run("check")
    assert sorted(path.name for path in shell.file.parent.iterdir()) == [".env", "config.yaml"]


def test_the_schema_is_printed_on_request(shell: Shell) -> None:
    code, printed, _ = shell.run("check", "--schema")
    assert (code, json.loads(printed)) == (0, schema())


TALKATIVE = """\
import json, os, sys

secret = os.environ["APP_TOKEN"]
print("no JSON", secret, flush=True)
for line in sys.stdin:
    error = {"code": -32603, "message": "no \\x1b[2J " + secret}
    print(json.dumps({"jsonrpc": "2.0", "id": json.loads(line).get("id"), "error": error}), flush=True)
"""


class TestConnecting:
    @pytest.mark.parametrize("seconds", ["-1", "0", "nan", "inf", "soon"])
    def test_takes_no_timeout_that_is_none(
        self, shell: Shell, seconds: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as ended:
            shell.run("check", "--connect", "--timeout", seconds)
        assert ended.value.code == 2
        assert f"{seconds!r} is no number of seconds above 0" in capsys.readouterr().err

    def test_tells_era_version_tools_and_time_of_every_server(self, shell: Shell, peer: str) -> None:
        shell.write(
            f"  modern: {{url: '{peer}'}}\n"
            f"  legacy: {{url: '{peer}', era: legacy, headers: {{Authorization: 'Bearer ${{SHELL_TOKEN}}'}}}}\n"
            f"  child: {{command: mcp-server-time}}\n"
            f"  off: {{command: no-such-program, enabled: false}}\n"
        )
        code, printed, complaints = shell.run("check", "--connect")
        assert (code, complaints) == (0, "")
        _, modern, legacy, child = printed.splitlines()
        assert re.fullmatch(r"modern +ok +\d+\.\d\d s  modern 2026-07-28, 4 tools", modern)
        assert re.fullmatch(r"legacy +ok +\d+\.\d\d s  legacy 2025-11-25, 4 tools", legacy)
        assert re.fullmatch(r"child +ok +\d+\.\d\d s  \w+ 20\d\d-\d\d-\d\d, 2 tools", child)

    def test_tells_why_a_server_does_not_answer_and_fails(self, shell: Shell, peer: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as taken:
            refusing = taken.getsockname()[1]
            taken.close()
            shell.write(
                f"  good: {{url: '{peer}'}}\n"
                f"  refusing: {{url: 'http://127.0.0.1:{refusing}/mcp?key=${{SHELL_TOKEN}}'}}\n"
                f"  silent: {{url: 'http://127.0.0.1:{silent.getsockname()[1]}/mcp?key=${{SHELL_TOKEN}}'}}\n"
                f"  elsewhere: {{url: '{peer}-not-here?key=${{SHELL_TOKEN}}'}}\n"
                f"  mute: {{command: '{sys.executable}', args: [-c, \"{SILENT}\"]}}\n"
                f"  gone: {{command: '{sys.executable}', args: [-c, pass]}}\n"
                "  absent: {command: no-such-program}\n"
            )
            code, printed, _ = shell.run("check", "--connect", "--timeout", "3")
        assert code == 1
        found = {line.split()[0]: line for line in printed.splitlines()[1:]}
        assert " ok " in found["good"]
        assert found["refusing"].endswith("cannot be reached (ConnectError)")
        assert found["silent"].endswith("no answer within 3 s")
        assert " failed " in found["elsewhere"]
        assert found["mute"].endswith("no answer within 3 s")
        assert " failed " in found["gone"]
        assert found["absent"].endswith("install it, or write its full path")

    def test_shows_nothing_that_a_server_repeats_of_its_secrets_nor_what_drives_a_terminal(
        self, shell: Shell, tmp_path: Path
    ) -> None:
        (tmp_path / "talkative.py").write_text(TALKATIVE)
        spec = f"command: '{sys.executable}', args: ['{tmp_path}/talkative.py'], env: {{APP_TOKEN: '${{LONG_SECRET}}'}}"
        shell.write(f"  talkative: {{{spec}}}\n")
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "check", "--config", str(shell.file), "--connect", "--timeout", "10"],
            capture_output=True,
            text=True,
            env={**os.environ, "LONG_SECRET": "correct-horse-battery"},
            check=False,
        )
        assert (done.returncode, done.stderr) == (1, "")
        assert done.stdout.splitlines()[1].endswith("no \\x1b[2J [redacted]")

    def test_leaves_no_child_behind(self, shell: Shell, tmp_path: Path) -> None:
        note = tmp_path / "pid"
        program = f"import os, time; open('{note}', 'w').write(str(os.getpid())); time.sleep(600)"
        shell.write(f"  mute: {{command: '{sys.executable}', args: [-c, \"{program}\"]}}\n")
        assert shell.run("check", "--connect", "--timeout", "2")[0] == 1
        with pytest.raises(ProcessLookupError):
            os.kill(int(note.read_text()), 0)
