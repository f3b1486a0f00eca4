"""What a call costs: direct, through the gateway with and without recording's database, and through FastMCP's proxy.

    .venv/bin/python -m benchmarks.relay [--seconds 5] [--clients 16]

One load generator drives each target in turn with the same 1 kB `tools/call` of 2026-07-28. Calls per second and CPU
microseconds per call (user and system, of the measured process alone, from /proc) are printed as a table, with the
ratio to FastMCP's proxy.
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
from pathlib import Path

import aiohttp
import uvloop

from tests.support.doors import modern_request
from tests.support.process import free_port

TICKS = os.sysconf("SC_CLK_TCK")
TEXT = "x" * 1_000
FASTMCP = """\
import sys
from fastmcp.server import create_proxy
create_proxy(sys.argv[1], name="proxy").run(
    transport="http", host="127.0.0.1", port=int(sys.argv[2]), log_level="error", show_banner=False
)
"""


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


async def measure(url: str, tool: str, pid: int, seconds: float, clients: int) -> tuple[float, float]:
    """Calls per second, and CPU microseconds of `pid` per call."""
    await ready(url, tool)
    done = 0
    end = time.perf_counter() + seconds

    async def client(session: aiohttp.ClientSession) -> None:
        nonlocal done
        while time.perf_counter() < end:
            if not await call(session, url, tool):
                raise RuntimeError(f"{url} answered something else")
            done += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        before, begun = cpu_seconds(pid), time.perf_counter()
        await asyncio.gather(*(client(session) for _ in range(clients)))
        spent, took = cpu_seconds(pid) - before, time.perf_counter() - begun
    return done / took, spent / done * 1_000_000


def targets(folder: Path, stack: ExitStack) -> Iterator[tuple[str, str, str, int]]:
    """Name, URL, tool and process of each target."""
    echo = free_port()
    server = f"http://127.0.0.1:{echo}/mcp"
    root = Path(__file__).parent.parent
    pid = stack.enter_context(program([sys.executable, "-m", "benchmarks.echo", str(echo)], root))
    yield "direct", server, "echo", pid
    port = free_port()
    config = {"listen": {"port": port}, "servers": {"echo": {"url": server}}}
    (folder / "config.yaml").write_text(json.dumps(config))
    gateway = [sys.executable, "-m", "gateway", "serve", "--config", "config.yaml"]
    pid = stack.enter_context(program(gateway, folder))
    yield "mcp-gateway, every call recorded in SQLite", f"http://127.0.0.1:{port}/mcp", "echo__echo", pid
    port = free_port()
    (folder / "proxy.py").write_text(FASTMCP)
    pid = stack.enter_context(program([sys.executable, "proxy.py", server, str(port)], folder))
    yield "FastMCP proxy, nothing recorded", f"http://127.0.0.1:{port}/mcp", "echo", pid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--clients", type=int, default=16)
    arguments = parser.parse_args()
    found: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        for target, url, tool, pid in targets(Path(name), stack):
            found[target] = uvloop.run(measure(url, tool, pid, arguments.seconds, arguments.clients))
    worst = found[list(found)[-1]][1]
    print(f"{'target':<46} {'calls/s':>8} {'CPU us/call':>12} {'of FastMCP':>11}")
    for target, (rate, cpu) in found.items():
        print(f"{target:<46} {rate:>8.0f} {cpu:>12.0f} {cpu / worst:>10.1%}")


if __name__ == "__main__":
    main()
