"""Private database servers on loopback: made from nothing, used by one test process, thrown away.

Nothing is kept in the system: data lives in a temporary folder, and as root the servers run as `nobody`. A server that
is ready says so on its error stream, which is read to its end for as long as the server lives.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tests.support.process import free_port

NOBODY = 65534
START_SECONDS = 60
ROOM = 1 << 30


class Server(Protocol):
    """A running database server."""

    name: str

    def url(self, database: str) -> str: ...

    def stop(self) -> None: ...


class Installed:
    """A server whose program a Debian package brings."""

    name: str
    binary: Path
    package: str

    @classmethod
    def missing(cls) -> str | None:
        """What must be installed for it, None when it is here."""
        return None if cls.binary.exists() else f"{cls.name}: {cls.binary} (Debian package {cls.package})"


class Process:
    """One server process. `command` runs in the foreground and logs to its error stream."""

    def __init__(self, command: Sequence[str | Path], ready: str, stop: signal.Signals) -> None:
        self._stop = stop
        self._tail: deque[str] = deque(maxlen=20)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            **as_nobody(),
        )
        self._wait_until(ready)
        self._drain = threading.Thread(target=self._read_on, daemon=True)
        self._drain.start()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self) -> None:
        self._process.send_signal(self._stop)
        self._process.wait(START_SECONDS)
        self._drain.join()
        self._process.stderr.close()

    def _wait_until(self, ready: str) -> None:
        watchdog = threading.Timer(START_SECONDS, self._process.kill)
        watchdog.start()
        try:
            for line in self._process.stderr:
                self._tail.append(line)
                if ready in line:
                    return
        finally:
            watchdog.cancel()
        raise RuntimeError(f"{self._process.args[0]} did not start:\n{''.join(self._tail)}")

    def _read_on(self) -> None:
        self._tail.extend(self._process.stderr)


class MariaDB(Installed):
    """`mariadbd` with an empty `mysql` schema of its own; user root, no password."""

    name = "mariadb"
    binary = Path("/usr/sbin/mariadbd")
    package = "mariadb-server"
    ending = signal.SIGKILL
    share = Path("/usr/share/mysql")
    system_tables = (
        "mysql_system_tables.sql",
        "mysql_performance_tables.sql",
        "mysql_system_tables_data.sql",
        "maria_add_gis_sp_bootstrap.sql",
        "mysql_sys_schema.sql",
    )
    options = (
        "--character-set-server=utf8mb4",
        "--innodb-buffer-pool-size=64M",
        "--innodb-log-file-size=16M",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-doublewrite=OFF",
        "--performance-schema=OFF",
        "--skip-log-bin",
        "--max-connections=100",
    )

    def __init__(self) -> None:
        self._folder = scratch()
        self.port = free_port()
        base = (self.binary, "--no-defaults", f"--datadir={self._folder}/data", f"--tmpdir={self._folder}/tmp")
        for name in ("data", "tmp"):  # two servers that share /tmp take each other's files
            (self._folder / name).mkdir()
        own(self._folder)
        bootstrap = "CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\nSET @skip_auth_anonymous=1;\n"
        script = bootstrap + "".join((self.share / name).read_text() for name in self.system_tables)
        subprocess.run([*base, "--bootstrap"], input=script, text=True, check=True, capture_output=True, **as_nobody())
        listen = (f"--port={self.port}", "--bind-address=127.0.0.1", f"--socket={self._folder}/socket")
        self._command = [*base, *listen, *self.options]
        self._process = self._run()

    def url(self, database: str) -> str:
        return f"mariadb://root@127.0.0.1:{self.port}/{database}"

    def stop(self) -> None:
        self._process.stop()
        shutil.rmtree(self._folder)

    def _run(self) -> Process:
        return Process(self._command, "ready for connections", self.ending)


class FaultyMariaDB(MariaDB):
    """One that keeps what it has committed, and to which anything may happen."""

    options = (
        *(option for option in MariaDB.options if "flush-log" not in option),
        "--innodb-flush-log-at-trx-commit=1",
    )

    def kill(self) -> None:
        """SIGKILL."""
        self._process.stop()

    def start(self) -> None:
        """After it was killed; returns when it is ready."""
        self._process = self._run()

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP freezes it, SIGCONT lets it go on."""
        self._process.signal(number)


class PostgreSQL(Installed):
    """`postgres` of a cluster of its own; user `test`, no password."""

    name = "postgresql"
    binary = max(Path("/usr/lib/postgresql").glob("*/bin/postgres"), default=Path("/usr/lib/postgresql/bin/postgres"))
    package = "postgresql"
    ready = "ready to accept connections"
    options = (
        "fsync=off",
        "full_page_writes=off",
        "synchronous_commit=off",
        "unix_socket_directories=",
        "max_connections=100",
    )

    def __init__(self) -> None:
        self._folder = scratch()
        self.port = free_port()
        own(self._folder)
        data = self._folder / "data"
        initdb = (self.binary.with_name("initdb"), "--no-sync", "-U", "test", "-A", "trust", "-E", "UTF8", "--locale=C")
        subprocess.run([*initdb, "-D", data], check=True, capture_output=True, **as_nobody())
        self._furnish(data)
        options = (*self.options, f"port={self.port}", "listen_addresses=127.0.0.1")
        command = [self.binary, "-D", data, *(part for option in options for part in ("-c", option))]
        self._process = Process(command, self.ready, signal.SIGQUIT)

    def url(self, database: str) -> str:
        return f"postgresql://test@127.0.0.1:{self.port}/{database}"

    def stop(self) -> None:
        self._process.stop()
        shutil.rmtree(self._folder)

    def _furnish(self, data: Path) -> None:
        """Whatever a cluster needs before it starts."""


class StandbyPostgreSQL(PostgreSQL):
    """One that waits for what its primary has to tell, which is nothing."""

    ready = "ready to accept read-only connections"

    def _furnish(self, data: Path) -> None:
        signal_file = data / "standby.signal"
        signal_file.touch()
        own(data)


def as_nobody() -> dict[str, object]:
    """Arguments of `subprocess` that drop root's privileges; database servers refuse to run with them."""
    if os.geteuid() != 0:
        return {"cwd": "/"}
    return {"cwd": "/", "user": NOBODY, "group": NOBODY, "extra_groups": []}


def scratch() -> Path:
    """A folder that only its owner may enter, in memory where there is room: databases wait for disks at every CREATE
    TABLE, whatever they are told.
    """
    memory = Path("/dev/shm")
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM
    return Path(tempfile.mkdtemp(prefix="gateway-tests-", dir=memory if roomy else None))


def own(folder: Path) -> None:
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
