"""`mcp-gateway export`, as a shell sees it."""

from __future__ import annotations

from tests.gateway.cli.shell import DOCS, TIME, Shell


def test_it_prints_the_registry_with_its_variables_as_they_were_written(shell: Shell) -> None:
    shell.write(TIME + DOCS)
    shell.run("apply")
    code, printed, complaints = shell.run("export")
    assert (code, complaints) == (0, "")
    assert "time:\n    command: mcp-server-time" in printed
    assert "Authorization: Bearer ${SHELL_TOKEN}" in printed


def test_what_it_prints_is_a_file_that_changes_nothing(shell: Shell) -> None:
    shell.write(TIME + DOCS)
    shell.run("apply")
    _, printed, _ = shell.run("export")
    shell.write(printed.removeprefix("servers:\n"))
    assert shell.run("plan")[1].startswith("nothing to do")


def test_an_empty_registry_is_an_empty_list_of_servers(shell: Shell) -> None:
    shell.write("  {}\n")
    assert shell.run("export") == (0, "servers: {}\n", "")
