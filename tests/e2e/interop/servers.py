"""MCP servers that no one here wrote: how each is started, what it offers, and a call with a known answer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.node import Node

REMEMBERED = {"type": "entity", "name": "gateway", "entityType": "program", "observations": ["has many doors"]}


@dataclass(frozen=True)
class Surroundings:
    """Where servers run. `node` is None where Node.js is missing; `missing` says why."""

    folder: Path
    node: Node | None = None
    missing: str = ""
    everything_url: str = ""

    def made(self, name: str) -> Path:
        """A folder of its own for one server."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def node_server(self, name: str) -> list[str]:
        """The command that starts `@modelcontextprotocol/server-<name>`."""
        assert self.node is not None, self.missing
        return self.node.server(name)


@dataclass(frozen=True)
class Server:
    """`spec` is the server's entry in config.yaml; `arguments` go to `tool`, whose text then holds `answer`."""

    slug: str
    needs_node: bool
    spec: Callable[[Surroundings], dict[str, Any]]
    tool: str
    arguments: Callable[[Surroundings], Mapping[str, Any]]
    answer: str

    def runs_in(self, surroundings: Surroundings) -> bool:
        return surroundings.node is not None or not self.needs_node


def _installed(program: str) -> str:
    return str(Path(sys.executable).parent / program)


def _node_server(surroundings: Surroundings, name: str, *arguments: str) -> dict[str, Any]:
    command, *rest = surroundings.node_server(name)
    return {"command": command, "args": [*rest, *arguments]}


def _repository(surroundings: Surroundings) -> Mapping[str, Any]:
    folder = surroundings.made("repository")
    if not (folder / ".git").exists():
        subprocess.run(["git", "init", "--quiet", "--initial-branch=trunk", folder], check=True)
    return {"repo_path": str(folder)}


def _letter(surroundings: Surroundings) -> Mapping[str, Any]:
    letter = surroundings.made("files") / "letter.txt"
    letter.write_text("Sehr geehrter Herr 王\n", encoding="utf-8")
    return {"path": str(letter)}


def _memory(surroundings: Surroundings) -> dict[str, Any]:
    memory = surroundings.made("memory") / "memory.jsonl"
    memory.write_text(json.dumps(REMEMBERED) + "\n", encoding="utf-8")
    return {**_node_server(surroundings, "memory"), "env": {"MEMORY_FILE_PATH": str(memory)}}


SERVERS = (
    Server(
        slug="time",
        needs_node=False,
        spec=lambda _: {"command": _installed("mcp-server-time"), "args": ["--local-timezone=Asia/Shanghai"]},
        tool="get_current_time",
        arguments=lambda _: {"timezone": "Asia/Shanghai"},
        answer='"timezone": "Asia/Shanghai"',
    ),
    Server(
        slug="git",
        needs_node=False,
        spec=lambda _: {"command": _installed("mcp-server-git")},
        tool="git_status",
        arguments=_repository,
        answer="On branch trunk",
    ),
    Server(
        slug="everything",
        needs_node=True,
        spec=lambda around: _node_server(around, "everything"),
        tool="echo",
        arguments=lambda _: {"message": "Grüße, 世界 🌍"},
        answer="Echo: Grüße, 世界 🌍",
    ),
    Server(
        slug="everything-http",
        needs_node=True,
        spec=lambda around: {"url": around.everything_url},
        tool="get-sum",
        arguments=lambda _: {"a": 2, "b": 40},
        answer="The sum of 2 and 40 is 42.",
    ),
    Server(
        slug="filesystem",
        needs_node=True,
        spec=lambda around: _node_server(around, "filesystem", str(around.made("files"))),
        tool="read_text_file",
        arguments=_letter,
        answer="Sehr geehrter Herr 王",
    ),
    Server(
        slug="memory",
        needs_node=True,
        spec=_memory,
        tool="search_nodes",
        arguments=lambda _: {"query": "many doors"},
        answer="has many doors",
    ),
)
