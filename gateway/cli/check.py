"""`mcp-gateway check`: is this file right, and do its servers answer?

Which question: would a gateway start with this file, and what would it find? Touches the configuration, the PATH and,
with `--connect`, the servers themselves. The rule: everything that is wrong is told in one run, and the database is
never opened.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from gateway.cli.common import add_config_argument, configuration, database_of
from gateway.cli.durations import seconds
from gateway.cli.failures import Failed
from gateway.cli.rendering import counted, harmless
from gateway.config import Configuration, Problem
from gateway.config.schema import schema
from gateway.errors import GatewayError
from gateway.upstream.command import Command, environment


def add_parser(subparsers: Any) -> None:
    """Add `check` to the command line."""
    parser = subparsers.add_parser(
        "check",
        help="look for mistakes in a configuration file",
        description="Look for mistakes in a configuration file. Exit code 2 when there are any.",
    )
    add_config_argument(parser)
    parser.add_argument("--connect", action="store_true", help="also connect to each server and list its tools")
    parser.add_argument(
        "--timeout", type=seconds, default=20.0, metavar="S", help="seconds for each server (default: 20)"
    )
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of the file, for editors, instead")
    parser.set_defaults(handler=check)


async def check(arguments: argparse.Namespace) -> int:
    """Print warnings and a summary. Exit code 1 when a server does not answer."""
    if arguments.schema:
        print(json.dumps(schema(), indent=2, ensure_ascii=False))
        return 0
    config = configuration(arguments.config)
    database_of(config)
    for warning in sorted((*config.warnings, *missing_programs(config))):
        print(f"{warning.place}: warning: {warning.message}", file=sys.stderr)
    print(summary(config, arguments.config))
    return await _connect(config, arguments.timeout) if arguments.connect else 0


def missing_programs(config: Configuration) -> Iterator[Problem]:
    """A warning for each command that could not be started from this shell."""
    for server in config.servers.values():
        if server.enabled and server.command is not None:
            env = environment(server.env, os.environ)
            try:
                Command(server.command, server.args, env, server.cwd).locate()
            except GatewayError as error:
                yield Problem(config.server_place(server.name, "command"), error.message)


def summary(config: Configuration, file: str) -> str:
    """One line about a file without mistakes."""
    slugs = [server.slug for server in config.servers.values()]
    return f"{file} is right: {counted(len(slugs), 'server')} ({', '.join(slugs) or 'none'})"


async def _connect(config: Configuration, timeout: float) -> int:
    connecting = import_module("gateway.cli.connecting")
    reports = await connecting.connect_all(config.servers, timeout)
    for line in connecting.table(reports):
        print(harmless(line))
    return Failed.exit_code if any(report.fault for report in reports) else 0
