"""`mcp-gateway version`: which gateway, on which Python?"""

from __future__ import annotations

import argparse
import platform
from typing import Any

from gateway import __version__


def add_parser(subparsers: Any) -> None:
    """Add `version` to the command line."""
    parser = subparsers.add_parser(
        "version",
        help="print the version",
        description="Print the gateway's version, and the Python it runs on.",
    )
    parser.set_defaults(handler=show)


def show(_: argparse.Namespace) -> int:
    """Print one line."""
    print(f"mcp-gateway {__version__} (Python {platform.python_version()}, {platform.system()})")
    return 0
