"""The test stand: reference, fronts and gateways, and a cell of the table measured on them.

Which question: where does the suite have to knock to measure this cell? The rule: client and server speak the same
era, since a gateway adds nothing to what the two can say to each other; a gateway is started when first asked for.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conformance.software import Software, software
from tests.conformance.suite import Revision, Scenario, judge_client, judge_server
from tests.e2e.interop.servers import SERVERS, Surroundings
from tests.support.node import node
from tests.support.process import Served, free_port, running, served

REVISIONS = (Revision("2025-06-18", False), Revision("2025-11-25", True), Revision("2026-07-28", True))
FIRST_MODERN = "2026-07-28"
ROOT = Path(__file__).parent.parent.parent

REFERENCE = "reference"
BESIDE = ("time", "memory", "everything")
"""The published servers that share the aggregate with the reference."""
PLACES = ("direct", "door", "aggregate")

CLIENT_SCENARIOS: Mapping[str, tuple[str, ...]] = {
    "2025-11-25": (
        "initialize",
        "tools_call",
        "elicitation-sep1034-client-defaults",
        "sse-retry",
        "json-schema-2020-12-preservation",
    ),
    "2026-07-28": (
        "tools_call",
        "request-metadata",
        "sep-2322-client-request-state",
        "http-standard-headers",
        "http-custom-headers",
        "http-invalid-tool-headers",
        "json-schema-ref-no-deref",
        "json-schema-2020-12-preservation",
    ),
}
"""All but those about authorization, which a gateway does not do for its clients."""

SIDE_BY_SIDE = 3
"""Client scenarios that run at the same time."""

LISTENS = re.compile(r"Uvicorn running on")
FRONTS = re.compile(r"^fronts (\S+) (\S+)$")


@dataclass(frozen=True)
class Cell:
    """One column of one revision's table. `side` is whom the suite judges: a `server` or a `client`."""

    side: str
    revision: Revision
    place: str

    def __str__(self) -> str:
        return f"{self.side}-{self.revision.name}-{self.place}"


def cells() -> tuple[Cell, ...]:
    """All that can be measured: `direct` without a gateway, `door` and `aggregate` through one."""
    serving = [Cell("server", revision, place) for revision in REVISIONS for place in PLACES]
    asked = [revision for revision in REVISIONS if revision.name in CLIENT_SCENARIOS]
    return (*serving, *(Cell("client", revision, place) for revision in asked for place in ("direct", "door")))


@dataclass
class Stand:
    """Whatever has been started so far; `legacy` and `modern` are the fronts' URLs."""

    software: Software
    folder: Path
    legacy: str
    modern: str
    stack: ExitStack
    gateways: dict[str, Served] = field(default_factory=dict)
    measured: dict[Cell, tuple[Scenario, ...]] = field(default_factory=dict)

    def scenarios(self, cell: Cell) -> tuple[Scenario, ...]:
        """The suite's verdicts; measured once."""
        if cell not in self.measured:
            judge = self._as_server if cell.side == "server" else self._as_client
            self.measured[cell] = judge(cell)
        return self.measured[cell]

    def gateway(self, front: str) -> Served:
        """The gateway in front of one front of the reference, and of the servers beside; with original names."""
        if front not in self.gateways:
            folder = self.folder / f"gateway-{len(self.gateways)}"
            folder.mkdir()
            config = {
                "listen": {"port": 0},
                "database": {"url": "sqlite:///conformance.db"},
                "aggregate": {"names": "original"},
                "servers": {REFERENCE: {"url": front}, **_beside(folder)},
            }
            self.gateways[front] = self.stack.enter_context(served(json.dumps(config), folder))
        return self.gateways[front]

    def _as_server(self, cell: Cell) -> tuple[Scenario, ...]:
        front = self.modern if cell.revision.name >= FIRST_MODERN else self.legacy
        match cell.place:
            case "direct":
                url = front
            case "door":
                url = self.gateway(front).door(REFERENCE)
            case _:
                url = self.gateway(front).url
        return judge_server(self.software.suite, url, cell.revision)

    def _as_client(self, cell: Cell) -> tuple[Scenario, ...]:
        script = str(self.software.client)
        command = [sys.executable, script]
        if cell.place == "door":
            command = [sys.executable, "-m", "tests.conformance.driver", script]

        def judge(scenario: str) -> Scenario:
            return judge_client(self.software.suite, shlex.join(command), scenario, cell.revision, ROOT)

        with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
            return tuple(threads.map(judge, CLIENT_SCENARIOS[cell.revision.name]))


@contextmanager
def stand(folder: Path) -> Iterator[Stand]:
    """A stand with the reference running. Raises Unavailable."""
    needed = software()
    port = free_port()
    reference = [sys.executable, "-m", "mcp_everything_server", "--port", str(port)]
    both = [sys.executable, "-m", "tests.conformance.fronts", f"http://127.0.0.1:{port}/mcp"]
    with (
        running(reference, needed.server, LISTENS),
        running(both, ROOT, FRONTS) as fronts,
        ExitStack() as stack,
    ):
        assert fronts.ready is not None
        legacy, modern = fronts.ready.groups()
        yield Stand(needed, folder, legacy, modern, stack)


def _beside(folder: Path) -> dict[str, dict[str, Any]]:
    around = Surroundings(folder, node=node())
    return {server.slug: server.spec(around) for server in SERVERS if server.slug in BESIDE}
