"""`mcp-gateway plan`: what would this file change in the registry?

Which question: what will `apply`, or the next start, write? Touches the configuration and reads the database. The
rule: it writes nothing, and names keys but never values.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from gateway.cli.common import add_config_argument, configuration, database_of, opened
from gateway.registry import Plan, as_json, plan, sentences
from storage import registry


def add_parser(subparsers: Any) -> None:
    """Add `plan` to the command line."""
    parser = subparsers.add_parser(
        "plan",
        help="show what a configuration file would change in the registry",
        description="Show what `mcp-gateway apply`, or the next start, would change in the registry.",
    )
    add_config_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(handler=show)


async def show(arguments: argparse.Namespace) -> int:
    """Print the plan."""
    config = configuration(arguments.config)
    async with opened(database_of(config)) as database:
        print(wording(plan(config, await registry.load(database)), arguments.config, arguments.json))
    return 0


def wording(found: Plan, file: str, as_object: bool) -> str:
    """A plan as `plan` and `apply` print it."""
    if as_object:
        return json.dumps(as_json(found), ensure_ascii=False)
    return "\n".join(sentences(found, file))
