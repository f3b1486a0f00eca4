"""A small disk of its own: a tmpfs in a mount namespace that only the commands which are sent there can see."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.absence import absent

HOLD = 'mount -t tmpfs -o "size=$1" none "$0" && echo mounted && exec cat'


class SmallDisk:
    """`size` as `mount` takes it, mounted on `folder`. `inside` stands before a command that is to see it."""

    def __init__(self, folder: Path, size: str) -> None:
        self.folder = folder
        self._size = size

    def __enter__(self) -> Self:
        if missing := [program for program in ("unshare", "nsenter") if shutil.which(program) is None]:
            absent(f"{missing[0]} (Debian package util-linux)")
        self.folder.mkdir(exist_ok=True)
        self._holder = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", HOLD, str(self.folder), self._size],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if self._holder.stdout.readline() != "mounted\n":
            self.__exit__(None, None, None)
            absent("the right to mount (root, or CAP_SYS_ADMIN)")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._holder.communicate()

    @property
    def inside(self) -> list[str]:
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", f"--wd={Path.cwd()}"]

    def fill(self) -> None:
        """Leave no room."""
        self._run("sh", "-c", f"cat /dev/zero > {self.folder}/ballast; true")

    def clear(self) -> None:
        """Give back what `fill` took."""
        self._run("rm", f"{self.folder}/ballast")

    def protect(self) -> None:
        """Take no more writes; nobody may be writing."""
        self._run("mount", "-o", "remount,ro", str(self.folder))

    def _run(self, *command: str) -> None:
        subprocess.run([*self.inside, *command], check=True, capture_output=True)
