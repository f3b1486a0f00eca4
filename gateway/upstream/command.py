"""What a stdio server is started with.

Which question: which program file, which arguments, which environment and which folder? Looks at the file system,
starts nothing. The rule: of the gateway's own environment a server sees the names in `AMBIENT` and no other, so
that the gateway's secrets stay with the gateway.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.errors import GatewayError, Kind

AMBIENT = frozenset({"HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER"})


@dataclass(frozen=True, slots=True)
class Command:
    """`program` as the admin wrote it; `env` is the whole environment; `cwd` None is the gateway's own."""

    program: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None

    def locate(self) -> str:
        """The program's file. Raises `GatewayError` (SERVER_CLOSED, reason `not_found`, unsent)."""
        if self.cwd is not None and not os.path.isdir(self.cwd):
            raise unstartable(f"the working directory {self.cwd!r} of the server's command does not exist")
        named_by_path = os.path.dirname(self.program) != ""
        wanted = os.path.join(self.cwd or "", self.program) if named_by_path else self.program
        found = shutil.which(wanted, path=self.env.get("PATH", os.defpath))
        if found is None:
            raise unstartable(_complaint(self.program, wanted if named_by_path else None))
        return os.path.abspath(found)


def environment(own: Mapping[str, str], ambient: Mapping[str, str]) -> dict[str, str]:
    """A server's environment: the harmless part of the gateway's (`ambient`), then the server's `own`.

    The gateway's own script folder stands last on an inherited PATH, so that a server installed beside the gateway
    is found although nobody activated the virtual environment.
    """
    inherited = {name: value for name, value in ambient.items() if name in AMBIENT or name.startswith("LC_")}
    scripts = os.path.dirname(os.path.abspath(sys.executable))
    inherited["PATH"] = os.pathsep.join((inherited.get("PATH") or os.defpath, scripts))
    return {**inherited, **own}


def unstartable(message: str) -> GatewayError:
    """The error of a command that cannot be started; nothing was sent to anybody."""
    return GatewayError(Kind.SERVER_CLOSED, message, reason="not_found", unsent=True)


def _complaint(program: str, path: str | None) -> str:
    if path is None:
        return f"the command {program!r} is not on PATH; install it, or write its full path"
    if os.path.exists(path):
        return f"the command {program!r} is not an executable file"
    return f"the command {program!r} does not exist"
