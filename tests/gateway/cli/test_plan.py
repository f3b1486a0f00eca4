"""`mcp-gateway plan`, as a shell sees it."""

from __future__ import annotations

import json

import pytest

from tests.gateway.cli.shell import DOCS, TIME, Shell


def test_it_says_what_would_change_and_changes_nothing(shell: Shell) -> None:
    shell.write(TIME + DOCS)
    for _ in range(2):
        assert shell.run("plan") == (0, "+ time  new\n+ docs  new\n", "")


def test_it_says_when_there_is_nothing_to_do(shell: Shell) -> None:
    shell.write(TIME)
    shell.run("apply")
    assert shell.run("plan") == (0, f"nothing to do: the registry says what {shell.file} says\n", "")


def test_it_is_one_json_object_on_request(shell: Shell) -> None:
    shell.write(TIME)
    code, printed, _ = shell.run("plan", "--json")
    change = {"action": "add", "server": "time", "slug": "time", "keys": []}
    assert (code, json.loads(printed)) == (0, {"changes": [change], "newer": None})


def test_it_names_the_revision_that_is_newer_than_the_file(shell: Shell) -> None:
    shell.write(TIME, "registry: {revision: 2}\n")
    shell.run("apply")
    shell.write(DOCS, "registry: {revision: 1}\n")
    code, printed, _ = shell.run("plan")
    assert code == 0
    assert printed.startswith("nothing is changed: the registry was written by revision 2 of the file")


@pytest.mark.parametrize("command", ["plan", "apply", "check"])
def test_a_bad_file_is_a_line_per_problem_and_exit_code_2(shell: Shell, command: str) -> None:
    shell.write("  time: {comand: x}\n  docs: {url: ftp}\n")
    code, printed, complaints = shell.run(command)
    assert (code, printed) == (2, "")
    assert [line.partition(" ")[0] for line in complaints.splitlines()] == [
        f"{shell.file}:3:10:",
        f"{shell.file}:4:15:",
    ]
