from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import __version__
from gateway.cli import COMMANDS, main, parser_for

PROGRAM = [sys.executable, "-m", "gateway"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_text_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"mcp-gateway {command}" in capsys.readouterr().out.partition("example")[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_sets_its_handler(command: str) -> None:
    subparsers = parser_for([command])._subparsers
    assert subparsers is not None
    chosen = subparsers._group_actions[0].choices[command]
    leaves = list(_leaves(chosen))
    assert all(callable(leaf.get_default("handler")) for leaf in leaves)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    assert all(f"    {name}" in printed and command.summary in printed for name, command in COMMANDS.items())


def test_version_is_printed_both_ways(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.count(f"mcp-gateway {__version__}") == 2


@pytest.mark.parametrize("words", [[], ["nonsense"], ["call"], ["key", "--nonsense"]])
def test_misuse_exits_2_with_the_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: mcp-gateway")


@pytest.mark.parametrize(
    ("words", "usage", "stranger"),
    [
        (["calls", "--folow"], "usage: mcp-gateway calls ", "--folow"),
        (["db", "status", "--nonsense", "x"], "usage: mcp-gateway db status ", "--nonsense x"),
        (["version", "extra"], "usage: mcp-gateway version ", "extra"),
    ],
)
def test_a_word_that_a_command_does_not_know_is_told_with_the_commands_own_usage(
    words: list[str], usage: str, stranger: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    complaint = capsys.readouterr().err
    assert ended.value.code == 2
    assert complaint.startswith(usage)
    assert f": error: {stranger}: not known here" in complaint


def test_heavy_libraries_are_loaded_by_the_commands_that_need_them() -> None:
    heavy = "{'aiohttp', 'sqlalchemy', 'pydantic', 'mcp', 'ruamel', 'alembic'}"
    script = f"import sys; from gateway.cli import main; main(['version']); print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_closed_pipe_is_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*PROGRAM, "version"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_traceback_and_no_complaint_elsewhere(closed: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("servers: {}\n")
    script = f"{sys.executable} -m gateway servers --config {tmp_path}/config.yaml --json {closed}"
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{tmp_path}/x.db"}
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]" if closed == "2>&-" else "", "")


async def test_ctrl_c_ends_quietly() -> None:
    accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda _, writer: accepted.set_result(writer), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    command = [*PROGRAM, "call", "a__b", "--url", url]
    async with server, asyncio.timeout(20):
        child = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        writer = await accepted
        child.send_signal(signal.SIGINT)
        printed, complaint = await child.communicate()
        writer.close()
    assert (child.returncode, printed, complaint) == (130, b"", b"")


@pytest.mark.parametrize(
    ("given", "complaint"),
    [(b"\xff", "stdin: no UTF-8 at byte 0"), (b"", "stdin is not JSON: Expecting value at line 1, column 1")],
)
def test_bad_input_on_stdin_is_one_line(given: bytes, complaint: str) -> None:
    command = [*PROGRAM, "call", "a__b", "--input", "-"]
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.decode()) == (2, b"", f"mcp-gateway: {complaint}\n")


def test_an_unreadable_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "missing.yaml"
    assert main(["check", "--config", str(missing)]) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith(f"{missing}: cannot be read")
    assert complaint.count("\n") == 1


def _leaves(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The parser itself, or those below it that a command line must end in."""
    nested = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return [leaf for action in nested for child in action.choices.values() for leaf in _leaves(child)] or [parser]
