"""nginx in front of gateways, configured by the file that users get."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from tests.support.process import free_port
from tests.support.servers import Process, own, scratch

SHIPPED = Path(__file__).parents[2] / "deploy" / "nginx.conf"
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
MAIN = """
daemon off;
pid {folder}/pid;
error_log stderr notice;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    {temporary}
    include {folder}/shipped.conf;
}}
"""


class Nginx:
    """In front of the gateways on these ports of loopback."""

    binary = Path("/usr/sbin/nginx")

    def __init__(self, ports: Sequence[int]) -> None:
        self.port = free_port()
        self._folder = scratch()
        (self._folder / "shipped.conf").write_text(shipped(self.port, ports))
        temporary = " ".join(f"{name}_temp_path {self._folder}/{name};" for name in TEMPORARY)
        (self._folder / "nginx.conf").write_text(MAIN.format(folder=self._folder, temporary=temporary))
        own(self._folder)
        command = [self.binary, "-e", "stderr", "-p", self._folder, "-c", self._folder / "nginx.conf"]
        self._process = Process(command, "start worker process", signal.SIGQUIT)

    @classmethod
    def missing(cls) -> str | None:
        return None if cls.binary.exists() else f"nginx: {cls.binary} (Debian package nginx-light)"

    def door(self, slug: str) -> str:
        return f"http://127.0.0.1:{self.port}/servers/{slug}/mcp"

    def stop(self) -> None:
        self._process.stop()
        shutil.rmtree(self._folder)


def shipped(port: int, gateways: Sequence[int]) -> str:
    """The file, with these ports."""
    text = re.sub(r"listen 80;", f"listen 127.0.0.1:{port};", SHIPPED.read_text())
    servers = "\\n".join(f"    server 127.0.0.1:{gateway};" for gateway in gateways)
    return re.sub(r"(?m)(^    server [0-9.:]+;\n)+", servers + "\n", text)
