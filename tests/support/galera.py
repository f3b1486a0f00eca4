"""Three MariaDB servers that are one Galera cluster, on loopback: what one has committed, all have."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.support.process import free_port
from tests.support.servers import FaultyMariaDB, Process

PROVIDER = Path("/usr/lib/galera/libgalera_smm.so")
SOON = "evs.keepalive_period=PT0.5S;evs.suspect_timeout=PT2S"
"""Until the others go on without a node that does not answer."""

READY = "Synchronized with group, ready for connections"


class GaleraNode(FaultyMariaDB):
    """One of them. A new one founds a cluster, if `others` are none, or joins theirs."""

    name = "galera"

    def __init__(self, others: Sequence[GaleraNode] = ()) -> None:
        self.group_port = free_port()
        self._others = [*others]
        super().__init__()

    @classmethod
    def missing(cls) -> str | None:
        """Beside the server itself: its provider, and what nodes copy themselves with."""
        needed = {
            "galera-4": PROVIDER.exists(),
            "rsync": shutil.which("rsync") is not None,
            "lsof": shutil.which("lsof") is not None,
        }
        lacking = ", ".join(package for package, is_here in needed.items() if not is_here)
        return super().missing() or (f"{cls.name}: Debian packages {lacking}" if lacking else None)

    def meets(self, others: Sequence[GaleraNode]) -> None:
        """From its next start on it looks for its cluster at `others`."""
        self._others = [*others]

    def _run(self) -> Process:
        group = ",".join(f"127.0.0.1:{node.group_port}" for node in self._others)
        ports = f"base_host=127.0.0.1;base_port={self.group_port};ist.recv_addr=127.0.0.1:{free_port()}"
        options = (
            "--wsrep-on=ON",
            f"--wsrep-provider={PROVIDER}",
            f"--wsrep-provider-options={ports};gcache.size=16M;{SOON}",
            f"--wsrep-cluster-address=gcomm://{group}",
            "--wsrep-cluster-name=tests",
            "--wsrep-node-address=127.0.0.1",
            "--wsrep-sst-method=rsync",
            f"--wsrep-sst-receive-address=127.0.0.1:{free_port()}",
            "--binlog-format=ROW",
            "--innodb-autoinc-lock-mode=2",
        )
        return Process([*self._command, *options], READY, self.ending)


class Galera:
    """A cluster of three."""

    def __init__(self) -> None:
        self.nodes: list[GaleraNode] = []
        for _ in range(3):
            self.nodes.append(GaleraNode(self.nodes))
        for node in self.nodes:
            node.meets([other for other in self.nodes if other is not node])

    def url(self, database: str) -> str:
        """All three hosts in one URL."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"mariadb://root@{hosts}/{database}"

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()
