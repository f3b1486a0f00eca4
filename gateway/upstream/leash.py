"""The first moments of a stdio child: bound to the gateway's life, then turned into the server.

Which question: what must a child do to itself before it becomes the server? Run as a program, not imported; only
the standard library, and little of it (a start costs about 15 ms). The rule: whatever happens here is told through
the status pipe; nothing of it is seen by the server.

A program of its own, and not a function between fork and exec: the gateway has threads, and Python that runs in a
forked copy of a threaded process can deadlock; it would also forbid `vfork`, and stop the event loop while the
page tables of a big process are copied. The kernel watches the thread that forked: the event loop's, which lives
as long as the gateway.

The signal at the parent's death is SIGTERM: launchers (npx, uvx, docker) pass it on to the server they started,
which SIGKILL would orphan. Arguments: status pipe, gateway's process id, 1 when the server's environment names
LC_CTYPE, the program's file, and the server's argv.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress

_PR_SET_PDEATHSIG = 1


def main() -> None:
    status, parent, keeps_ctype, path, *argv = sys.argv[1:]
    _keep_pipes_only(status)
    if sys.platform == "linux":
        _end_with(int(parent))
    _undo_interpreter(keeps_ctype == "1")
    try:
        os.execv(path, argv)  # noqa: S606
    except OSError as error:
        os.write(int(status), str(error.errno).encode())
        os._exit(127)


def _keep_pipes_only(status: str) -> None:
    """Let the program inherit nothing else: uvloop passes on what the gateway inherited, and the pipes twice."""
    for name in os.listdir("/dev/fd") if os.path.isdir("/dev/fd") else [status]:
        with suppress(OSError):
            os.set_inheritable(int(name), int(name) <= 2)


def _end_with(parent: int) -> None:
    """Ask the kernel for SIGTERM when the gateway dies; it may have died before we asked."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def _undo_interpreter(keeps_ctype: bool) -> None:
    """Take back what Python's start-up changed: ignored signals, and the coerced locale (PEP 538)."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    if not keeps_ctype:
        os.environ.pop("LC_CTYPE", None)


if __name__ == "__main__":
    main()
