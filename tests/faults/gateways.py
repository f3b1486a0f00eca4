"""Gateways as processes that may be killed at any moment and are started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.process import free_port

PATIENCE = 60.0


class GatewayProcess:
    """One gateway on one port; its log is `gateway.log` in its folder, for all of its lives. `inside` is a command that
    runs another one somewhere.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        env: Mapping[str, str] | None = None,
        inside: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self.folder = folder
        self.config = folder / "config.yaml"
        folder.mkdir(exist_ok=True)
        whole = {"listen": {"port": self.port}, **config}
        self.config.write_text(json.dumps(whole), encoding="utf-8")
        self._env = {**os.environ, **(env or {})}
        self._command = [*inside, sys.executable, "-m", "gateway"]
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def door(self, slug: str) -> str:
        return f"{self.root}/servers/{slug}/mcp"

    @property
    def log(self) -> str:
        return (self.folder / "gateway.log").read_text(errors="replace")

    async def start(self) -> None:
        """Start it, and wait until it serves."""
        self._child = self._spawned()
        async with aiohttp.ClientSession() as http, asyncio.timeout(PATIENCE):
            while not await self._serves(http):
                assert self._child.poll() is None, f"the gateway exited with {self._child.returncode}:\n{self.log}"
                await asyncio.sleep(0.02)

    def _spawned(self) -> subprocess.Popen[bytes]:
        command = [*self._command, "serve", "--config", str(self.config)]
        with (self.folder / "gateway.log").open("ab") as log:
            return subprocess.Popen(command, cwd=self.folder, env=self._env, stdout=log, stderr=log)

    def kill(self) -> None:
        """SIGKILL."""
        assert self._child is not None
        self._child.kill()
        self._child.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._child is not None
        self._child.send_signal(signal.SIGTERM)
        return self._child.wait(PATIENCE)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One command of `mcp-gateway` under the same configuration."""
        command = [*self._command, *words, "--config", str(self.config)]
        return subprocess.run(
            command, cwd=self.folder, env=self._env, capture_output=True, text=True, timeout=PATIENCE, check=False
        )

    async def __aenter__(self) -> GatewayProcess:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._child is not None and self._child.poll() is None:
            self.kill()

    async def _serves(self, http: aiohttp.ClientSession) -> bool:
        try:
            async with http.get(f"{self.root}/livez") as answer:
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False
