"""MCP clients that no one here wrote, each driven as a process of its own: a few steps, and what it saw of each.

The scripts stand in tests/e2e/interop/clients; Inspector is a program already. The rule: a script holds nothing but
the client's documented usage, so that whatever fails is the client or what it talks to.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.cache import installed, run
from tests.support.node import Node, node

INTEROP = Path(__file__).parent.parent / "e2e" / "interop"
SCRIPTS = INTEROP / "clients"
MODERN, LEGACY = "2026-07-28", "2025-11-25"
PATIENCE = 60
INSPECTOR_TOOL_FAILED = 5
"""Its exit code after an answer with `isError`."""


@dataclass(frozen=True)
class Seen:
    """What one step showed: `names` of a list (or the URI that was read), `text` of an answer, or the `error`."""

    names: list[str] = field(default_factory=list)
    text: str = ""
    is_error: bool = False
    error: str | None = None


@dataclass(frozen=True)
class Report:
    """What a client saw. `version` is the negotiated protocol version, None where the client does not tell."""

    version: str | None
    steps: list[Seen]


Step = Sequence[Any]
"""`["tools"]`, `["prompts"]`, `["resources"]`, `["call", name, arguments]`, `["prompt", name, arguments]` or
`["read", uri]`.
"""


@dataclass(frozen=True)
class Client:
    """`script` runs on `runtime`; `mode` is its last argument; `version` is what it should negotiate."""

    name: str
    runtime: str
    script: str
    mode: str | None
    version: str | None

    async def drive(self, url: str, *steps: Step, answer: Mapping[str, Any] | None = None) -> Report:
        """Take the steps in order, accepting elicitations with `answer`. Raises AssertionError with what the client
        complained of, Unavailable without it.
        """
        if self.runtime == "inspector":
            seen = [await _inspect(node(), url, self.mode or "legacy", *step) for step in steps]
            return Report(None, seen)
        command, folder = self._command()
        mode = [] if self.mode is None else [self.mode]
        told = json.loads(await _run([*command, url, json.dumps(steps), json.dumps(answer or {}), *mode], folder))
        return Report(told["version"], [Seen(**step) for step in told["steps"]])

    @property
    def era(self) -> str:
        """The era that it speaks."""
        return "modern" if self.mode in ("auto", "modern") else "legacy"

    @property
    def answers(self) -> bool:
        """Whether it can be asked while it runs."""
        return self.runtime != "inspector"

    def _command(self) -> tuple[list[str], Path]:
        script = str(SCRIPTS / self.script)
        if self.runtime == "node":
            runtime = node()
            return [str(runtime.executable), script], runtime.folder
        python = python_v1() if self.runtime == "python-1.30" else sys.executable
        return [str(python), script], INTEROP


CLIENTS = (
    Client("python-2.3-auto", "python", "python_v2.py", "auto", MODERN),
    Client("python-2.3-legacy", "python", "python_v2.py", "legacy", LEGACY),
    Client("python-1.30", "python-1.30", "python_v1.py", None, LEGACY),
    Client("fastmcp-4-auto", "python", "fastmcp_v4.py", "auto", MODERN),
    Client("fastmcp-4-legacy", "python", "fastmcp_v4.py", "legacy", LEGACY),
    Client("typescript-2.4-auto", "node", "typescript_v2.cjs", "auto", MODERN),
    Client("typescript-2.4-legacy", "node", "typescript_v2.cjs", "legacy", LEGACY),
    Client("typescript-1.32", "node", "typescript_v1.cjs", None, LEGACY),
    Client("inspector-2.12-modern", "inspector", "", "modern", None),
    Client("inspector-2.12-legacy", "inspector", "", "legacy", None),
)


def python_v1() -> Path:
    """A Python with line 1 of the official SDK, which cannot share an environment with line 2. Raises Unavailable."""
    pinned = INTEROP / "python-1.30.txt"

    def install(folder: Path) -> None:
        venv.create(folder, with_pip=True)
        run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--requirement", pinned])

    return installed("python-1.30", [pinned], install) / "bin" / "python"


async def _inspect(runtime: Node, url: str, era: str, do: str, name: str = "", arguments: object = None) -> Seen:
    """One step is one run of Inspector."""
    common = [*runtime.inspector, "--cli", "--server-url", url, "--transport", "http", "--protocol-era", era]
    common += ["--format", "json", "--quiet", "--method"]
    spelt = json.dumps(arguments or {})
    words = {
        "tools": ["tools/list"],
        "prompts": ["prompts/list"],
        "resources": ["resources/list"],
        "call": ["tools/call", "--tool-name", name, "--tool-args-json", spelt],
        "prompt": ["prompts/get", "--prompt-name", name],
        "read": ["resources/read", "--uri", name],
    }[do]
    said = await _run([*common, *words], runtime.folder, good=(0, INSPECTOR_TOOL_FAILED))
    result = json.loads(said)["result"]
    match do:
        case "call":
            return Seen(text=result["content"][0]["text"], is_error=result.get("isError", False))
        case "prompt":
            return Seen(text=result["messages"][0]["content"]["text"])
        case "read":
            return Seen(names=[result["contents"][0]["uri"]], text=result["contents"][0]["text"])
    return Seen(names=[one.get("uri") or one["name"] for one in result[do]])


async def _run(command: Sequence[str], folder: Path, good: Sequence[int] = (0,)) -> str:
    """Its stdout. HOME is the cache, since Inspector keeps files there."""
    surroundings = {**os.environ, "HOME": str(folder), "NO_PROXY": "127.0.0.1,localhost"}
    child = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=surroundings,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            said, complained = await child.communicate()
    except TimeoutError:
        child.kill()
        await child.wait()
        raise
    assert child.returncode in good, f"{command} exited with {child.returncode}:\n{complained.decode()[-4000:]}"
    return said.decode()
