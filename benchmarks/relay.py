"""What a call costs: direct, through the gateway with and without its records, and through FastMCP's proxy.

    .venv/bin/python -m benchmarks.relay [--seconds 5] [--clients 16]

One load generator drives each target in turn with the same 1 kB `tools/call` of 2026-07-28. Calls per second and CPU
microseconds per call (user and system, of the measured process alone, from /proc) are printed as a table, with the
ratio to FastMCP's proxy. `waiting` are calls that are not in the database yet, the most of the first and of the second
half: the writer keeps up when these are alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import uvloop

from storage.tasks import Tasks
from tests.support.doors import modern_request
from tests.support.engines import MySQLEngine
from tests.support.process import free_port
from tests.support.servers import MariaDB

TICKS = os.sysconf("SC_CLK_TCK")
TEXT = "x" * 1_000
FASTMCP = """\
import sys
from fastmcp.server import create_proxy
create_proxy(sys.argv[1], name="proxy").run(
    transport="http", host="127.0.0.1", port=int(sys.argv[2]), log_level="error", show_banner=False
)
"""
UNRECORDED = """\
from gateway.__main__ import main
from storage.writer import Writer

async def nothing(self, record):
    pass

Writer.started = Writer.finished = nothing
main()
"""
WAITING = "mcp_gateway_records_pending "
LOOK = 0.1
"""Seconds between two looks at what waits."""


@dataclass(frozen=True)
class Target:
    """`metrics` is where a gateway tells what waits."""

    name: str
    url: str
    tool: str
    pid: int
    metrics: str | None = None


@dataclass(frozen=True)
class Found:
    """Calls per second, CPU microseconds per call, and the most that waited in each half."""

    rate: float
    cpu: float
    waiting: tuple[int, int] | None


@contextmanager
def program(command: Sequence[str], folder: Path) -> Iterator[int]:
    """Run `command`; gives its process id."""
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        try:
            yield child.pid
        finally:
            child.terminate()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def ready(url: str, tool: str) -> None:
    """Wait until the target answers a call."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        while True:
            try:
                if await call(session, url, tool):
                    return
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.1)
            else:
                await asyncio.sleep(0.1)


async def call(session: aiohttp.ClientSession, url: str, tool: str) -> bool:
    headers, body = modern_request("tools/call", {"name": tool, "arguments": {"text": TEXT}}, {})
    async with session.post(url, data=body, headers=headers) as answer:
        return TEXT in await answer.text()


async def look(session: aiohttp.ClientSession, url: str, seen: list[int]) -> None:
    """Write down what waits, for ever."""
    while True:
        async with session.get(url) as answer:
            lines = (await answer.text()).splitlines()
        seen += [int(float(line.removeprefix(WAITING))) for line in lines if line.startswith(WAITING)]
        await asyncio.sleep(LOOK)


async def measure(target: Target, seconds: float, clients: int) -> Found:
    """Call it for so long."""
    await ready(target.url, target.tool)
    done, seen = 0, list[int]()
    end = time.perf_counter() + seconds

    async def client(session: aiohttp.ClientSession) -> None:
        nonlocal done
        while time.perf_counter() < end:
            if not await call(session, target.url, target.tool):
                raise RuntimeError(f"{target.url} answered something else")
            done += 1

    tasks = Tasks("benchmark")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        before, begun = cpu_seconds(target.pid), time.perf_counter()
        if target.metrics is not None:
            tasks.spawn(look(session, target.metrics, seen), "look")
        await asyncio.gather(*(client(session) for _ in range(clients)))
        spent, took = cpu_seconds(target.pid) - before, time.perf_counter() - begun
        await tasks.close()
    half = len(seen) // 2
    return Found(done / took, spent / done * 1_000_000, (max(seen[:half]), max(seen[half:])) if half else None)


def gateway_on(folder: Path, server: str, stack: ExitStack, name: str, *, url: str, words: Sequence[str]) -> Target:
    """A gateway of its own in `folder`, before `server`, with the database at `url`."""
    port = free_port()
    config = {"listen": {"port": port}, "database": {"url": url}, "servers": {"echo": {"url": server}}}
    (folder / f"{port}.yaml").write_text(json.dumps(config))
    pid = stack.enter_context(program([sys.executable, *words, "serve", "--config", f"{port}.yaml"], folder))
    root = f"http://127.0.0.1:{port}"
    return Target(name, f"{root}/mcp", "echo__echo", pid, f"{root}/metrics")


def targets(folder: Path, stack: ExitStack) -> Iterator[Target]:
    """One after the other; each runs until the end."""
    echo = free_port()
    server = f"http://127.0.0.1:{echo}/mcp"
    root = Path(__file__).parent.parent
    pid = stack.enter_context(program([sys.executable, "-m", "benchmarks.echo", str(echo)], root))
    yield Target("direct", server, "echo", pid)
    (folder / "unrecorded.py").write_text(UNRECORDED)
    ours = ["-m", "gateway"]
    unrecorded = ["unrecorded.py"]
    yield gateway_on(
        folder, server, stack, "mcp-gateway, nothing recorded", url=f"sqlite:///{folder}/0.db", words=unrecorded
    )
    yield gateway_on(
        folder, server, stack, "mcp-gateway, recorded in SQLite", url=f"sqlite:///{folder}/1.db", words=ours
    )
    if MariaDB.missing() is None:
        mariadb = MariaDB()
        stack.callback(mariadb.stop)
        url = asyncio.run(MySQLEngine(mariadb).migrated())
        yield gateway_on(folder, server, stack, "mcp-gateway, recorded in MariaDB", url=url, words=ours)
    port = free_port()
    (folder / "proxy.py").write_text(FASTMCP)
    pid = stack.enter_context(program([sys.executable, "proxy.py", server, str(port)], folder))
    yield Target("FastMCP proxy, nothing recorded", f"http://127.0.0.1:{port}/mcp", "echo", pid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--clients", type=int, default=16)
    arguments = parser.parse_args()
    found: dict[str, Found] = {}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        for target in targets(Path(name), stack):
            found[target.name] = uvloop.run(measure(target, arguments.seconds, arguments.clients))
    worst = found[list(found)[-1]].cpu
    print(f"{'target':<36} {'calls/s':>8} {'CPU us/call':>12} {'of FastMCP':>11} {'waiting':>12}")
    for told, one in found.items():
        waiting = "" if one.waiting is None else f"{one.waiting[0]}, {one.waiting[1]}"
        print(f"{told:<36} {one.rate:>8.0f} {one.cpu:>12.0f} {one.cpu / worst:>10.1%} {waiting:>12}")


if __name__ == "__main__":
    main()
