"""A real Prometheus that scrapes one address several times a second, and can be asked."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from storage.tasks import Tasks
from tests.support.absence import absent

JOB = "mcp-gateway"
READY = b"Server is ready to receive web requests"
CONFIGURATION = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
  - job_name: {job}
    static_configs: [{{targets: ["{target}"]}}]
"""


class Prometheus:
    """Asks a running Prometheus over its HTTP API."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query now, as a vector. Raises `AssertionError` with Prometheus' own words."""
        async with self._session.post("/api/v1/query", data={"query": expression}) as response:
            answer = await response.json()
        assert answer["status"] == "success", f"{answer['error']}: {expression}"
        assert answer["data"]["resultType"] == "vector", expression
        return list(answer["data"]["result"])

    async def label_values(self, selector: str, label: str) -> list[str]:
        """What Grafana's `label_values(selector, label)` finds."""
        async with self._session.get(f"/api/v1/label/{label}/values", params={"match[]": selector}) as response:
            answer = await response.json()
        assert answer["status"] == "success", f"{answer['error']}: {selector}"
        return list(answer["data"])

    async def until_scraped(self, times: int, traffic: Callable[[], Awaitable[None]]) -> None:
        """Keep `traffic` going until it was scraped so often. Prometheus tells nobody, so it is asked now and then."""
        async with asyncio.timeout(30):
            while await self._scrapes() < times:
                await traffic()
                await asyncio.sleep(0.05)

    async def until_scraped_again(self, traffic: Callable[[], Awaitable[None]]) -> None:
        """Keep `traffic` going for two scrapes more."""
        await self.until_scraped(await self._scrapes() + 2, traffic)

    async def _scrapes(self) -> int:
        found = await self.query(f'sum(count_over_time(up{{job="{JOB}"}}[5m]) * up{{job="{JOB}"}})')
        return int(float(found[0]["value"][1])) if found else 0


def tool(name: str) -> str:
    """The path of `prometheus` or `promtool`."""
    return shutil.which(name) or absent(f"{name} (apt-get install prometheus)")


@asynccontextmanager
async def scraping(target: str, folder: Path) -> AsyncIterator[Prometheus]:
    """Run a Prometheus that scrapes `target`, a host and port, and keeps its data in `folder`."""
    configuration = folder / "prometheus.yml"
    configuration.write_text(CONFIGURATION.format(job=JOB, target=target), encoding="utf-8")
    address = f"127.0.0.1:{_free_port()}"
    command = [tool("prometheus"), f"--config.file={configuration}", f"--storage.tsdb.path={folder}/data"]
    process = await asyncio.create_subprocess_exec(
        *command, f"--web.listen-address={address}", stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    tasks, ready = Tasks("prometheus"), asyncio.Event()
    log: list[bytes] = []
    tasks.spawn(_read(process.stderr, log, ready), "stderr")
    try:
        async with asyncio.timeout(30):
            await ready.wait()
        assert process.returncode is None, b"".join(log).decode()
        async with aiohttp.ClientSession(f"http://{address}") as session:
            yield Prometheus(session)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await tasks.close(grace=5)


async def _read(stderr: asyncio.StreamReader | None, log: list[bytes], ready: asyncio.Event) -> None:
    """Empty the pipe to its end, so that Prometheus never waits for us; say when it serves, or will not."""
    assert stderr is not None
    async for line in stderr:
        log.append(line)
        if READY in line:
            ready.set()
    ready.set()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
