"""`mcp-gateway calls`: what was called, by whom, and how it ended.

Which question: which of the verbs over recorded calls was asked for? Touches the command line alone. The rule: without
a verb calls are listed, and what chooses calls is the same for every verb that takes many.
"""

from __future__ import annotations

import argparse
from typing import Any

from gateway.cli.calls import exporting, listing, replaying, story, verifying

EPILOG = """\
examples:
  mcp-gateway calls
  mcp-gateway calls --server time --outcome timeout --since 2h
  mcp-gateway calls --error "connection reset" --min-ms 500
  mcp-gateway calls --follow --json | jq .outcome
  mcp-gateway calls show 019ab3c41f2e7
  mcp-gateway calls export --since 1d --output calls.ndjson
  mcp-gateway calls replay 019ab3c41f2e7
  mcp-gateway calls verify
"""


def add_parser(subparsers: Any) -> None:
    """Add `calls` and its verbs to the command line."""
    parser = subparsers.add_parser(
        "calls",
        help="show recorded calls",
        description="Show recorded calls, oldest first.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    listing.add_arguments(parser)
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND")
    for verb in (story, exporting, replaying, verifying):
        verb.add_verb(verbs)
