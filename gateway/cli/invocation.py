"""How the user can call this program again.

Which question: what can be typed, in this folder, to reach us? Touches argv and PATH. The rule: whatever we tell
people to type works when they paste it.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

NAME = "mcp-gateway"


def program() -> str:
    """`mcp-gateway` where PATH finds it, else the path that we were called by (`.venv/bin/mcp-gateway`)."""
    called = sys.argv[0] if sys.argv else ""
    if Path(called).name != NAME or shutil.which(NAME) is not None:
        return NAME
    return called
