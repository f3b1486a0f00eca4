"""`mcp-gateway apply`: write this file into the registry.

Which question: how does a file become the registry without a restart? Touches the configuration and the database. The
rule: what is printed is what was written, in one transaction.
"""

from __future__ import annotations

import argparse
from typing import Any

from gateway.cli.common import add_config_argument, configuration, database_of, opened
from gateway.cli.failures import Failed
from gateway.cli.plan import wording
from gateway.registry import plan
from storage import registry


def add_parser(subparsers: Any) -> None:
    """Add `apply` to the command line."""
    parser = subparsers.add_parser(
        "apply",
        help="write a configuration file into the registry",
        description="Write the servers of a configuration file into the registry. Running gateways follow at once.",
    )
    add_config_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(handler=write)


async def write(arguments: argparse.Namespace) -> int:
    """Write the changes, then print them. Exit code 1 when the registry is a newer file's."""
    config = configuration(arguments.config)
    async with opened(database_of(config)) as database:
        written = await registry.apply(database, lambda rows: plan(config, rows))
    print(wording(written, arguments.config, arguments.json))
    return 0 if written.newer is None else Failed.exit_code
