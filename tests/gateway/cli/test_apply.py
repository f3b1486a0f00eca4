"""`mcp-gateway apply`, as a shell sees it."""

from __future__ import annotations

import json

from tests.gateway.cli.shell import DOCS, TIME, Shell


def test_it_writes_what_plan_announced_and_then_has_nothing_to_do(shell: Shell) -> None:
    shell.write(TIME + DOCS)
    announced = shell.run("plan")
    assert shell.run("apply") == announced
    assert shell.run("apply") == (0, f"nothing to do: the registry says what {shell.file} says\n", "")


def test_a_server_can_leave_and_come_back(shell: Shell) -> None:
    shell.write(TIME + DOCS)
    shell.run("apply")
    shell.write(TIME)
    assert shell.run("apply") == (0, "- docs  no longer in the file: disabled, its records stay\n", "")
    shell.write(TIME + DOCS.replace("}}", "}, maintenance: true}"))
    assert shell.run("apply") == (0, "+ docs  enabled again: maintenance\n", "")


def test_it_prints_json_on_request(shell: Shell) -> None:
    shell.write(TIME)
    code, printed, _ = shell.run("apply", "--json")
    assert (code, [change["action"] for change in json.loads(printed)["changes"]]) == (0, ["add"])


def test_a_file_that_is_older_than_the_registry_fails(shell: Shell) -> None:
    shell.write(TIME, "registry: {revision: 2}\n")
    shell.run("apply")
    shell.write(DOCS)
    code, printed, _ = shell.run("apply")
    assert (code, printed.count("\n")) == (1, 1)
    assert "write registry.revision: 3 into it" in printed
    assert "docs" not in shell.run("export")[1]
