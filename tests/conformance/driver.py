"""The gateway as a client: one gateway in front of the suite's mock server, and the reference client in front of both.

    python -m tests.conformance.driver CLIENT_SCRIPT MOCK_URL

The suite starts it with the mock's URL appended. The mock sees the gateway's own traffic alone. The rule: the client's
exit code is ours, and nothing outlives us.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.process import served

SLUG = "mock"
WORRIED = re.compile(r"\b(WARNING|ERROR)\b")
PATIENCE = 10
"""Seconds that the client may take; less than the suite grants us."""


def main(script: str, mock: str) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by the suite"))
    config = {
        "listen": {"port": 0},
        "database": {"url": "sqlite:///conformance.db"},
        "servers": {SLUG: {"url": mock}},
        "lifecycle": {"grace": 0.5},
    }
    with TemporaryDirectory() as folder, served(json.dumps(config), Path(folder)) as gateway:
        client = [sys.executable, script, gateway.door(SLUG)]
        try:
            return subprocess.run(client, timeout=PATIENCE, check=False).returncode
        except subprocess.TimeoutExpired:
            print(f"the client did not end within {PATIENCE} s", file=sys.stderr)
            return 1
        finally:
            complaints = [line for line in gateway.program.log if WORRIED.search(line)]
            print(*complaints, sep="", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
