"""`mcp-gateway export`: the registry as a configuration file.

Which question: which file would have made this registry? Touches the configuration and reads the database. The rule:
variables are printed as they were written, `${VAR}`, never filled in.
"""

from __future__ import annotations

import argparse
import io
from typing import Any

from ruamel.yaml import YAML

from gateway.cli.common import add_config_argument, database_in, opened
from gateway.registry import exported
from storage import registry


def add_parser(subparsers: Any) -> None:
    """Add `export` to the command line."""
    parser = subparsers.add_parser(
        "export",
        help="print the registry as a configuration file",
        description="Print the registered servers as the `servers:` of a configuration file.",
    )
    add_config_argument(parser)
    parser.set_defaults(handler=show)


async def show(arguments: argparse.Namespace) -> int:
    """Print the file."""
    async with opened(database_in(arguments.config)) as database:
        print(as_yaml(exported(await registry.load(database))), end="")
    return 0


def as_yaml(document: dict[str, Any]) -> str:
    """`document` in block style, its keys in their order."""
    yaml = YAML(pure=True)
    yaml.width = 1_000_000
    text = io.StringIO()
    yaml.dump(document, text)
    return text.getvalue()
