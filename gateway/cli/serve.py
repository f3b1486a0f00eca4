"""`mcp-gateway serve`: run the gateway until it is told to stop.

Which question: how does the gateway start, say what it is, and stop? Touches signals and stdout. The rule: SIGINT and
SIGTERM drain, a second one stops at once, SIGHUP reloads.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from collections.abc import Awaitable
from functools import partial
from pathlib import Path
from typing import Any

import prometheus_client
import uvloop

from gateway import __version__
from gateway.access import is_loopback
from gateway.app import Gateway, running
from gateway.cli.common import Flags, add_config_argument, beside, configuration, records_of
from gateway.cli.invocation import program
from gateway.cli.rendering import counted
from gateway.config import Configuration
from gateway.control import Control, Surroundings
from gateway.logs import configure
from gateway.protocol.listed import Listed
from gateway.redact import KnownSecrets
from gateway.routing import AGGREGATE, Endpoint, RoutingTable
from storage.tasks import Tasks

log = logging.getLogger(__name__)

FIRST_LISTS_SECONDS = 5.0
"""How long the banner waits for the servers to be listed."""

EXAMPLE = ("time__get_current_time", """'{"timezone":"Asia/Shanghai"}'""")


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "serve",
        help="run the gateway",
        description="Run the gateway. Ctrl-C drains and stops; SIGHUP and a changed file reload the configuration.",
        epilog="example: mcp-gateway serve --config config.yaml --port 9000",
    )
    add_config_argument(parser)
    parser.add_argument("--host", help="bind this address instead of listen.host")
    parser.add_argument("--port", help="bind this port instead of listen.port; 0 lets the system choose")
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Serve until a signal. Returns 0 after a drain."""
    # Series that nobody reads: one more per labelled counter and histogram.
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_awaited(_serve(arguments)))


async def _awaited(end: Awaitable[int]) -> int:
    return await end


async def _serve(arguments: argparse.Namespace) -> int:
    given: dict[str, str | None] = {"host": arguments.host, "port": arguments.port}
    flags: Flags = {("listen", key): value for key, value in given.items() if value is not None}
    load = partial(configuration, arguments.config, flags)
    config = load()
    secrets = KnownSecrets()
    configure(config.logging, secrets.redact_text)
    for warning in config.warnings:
        log.warning("%s", warning)
    path = Path(arguments.config)
    surroundings = Surroundings(path, load, secrets)
    signals = Tasks("serve")
    stop = _stop_on_signals()
    keys = beside(config.database.url, path, "sealing-keys")
    records = records_of(config.database, config.recording.journal, path)
    async with running(config, surroundings, keys, records) as gateway:
        _reload_on_hangup(gateway.control, signals)
        greeting = signals.spawn(_greet(gateway, by_flags=bool(flags)), "banner")  # no signal waits for slow servers
        await stop.wait()
        greeting.cancel()
        log.info("stopping: no new requests; calls in flight get %g s", config.lifecycle.grace)
    await signals.close()
    return 0


async def _greet(gateway: Gateway, *, by_flags: bool) -> None:
    print(await banner(gateway, by_flags=by_flags), flush=True)


async def banner(gateway: Gateway, *, by_flags: bool) -> str:
    """What a newcomer reads: where it listens, what is registered, what to type next. `by_flags`: the command line
    chose the address, so that other commands cannot read it in the file.
    """
    await gateway.control.settle(AGGREGATE, FIRST_LISTS_SECONDS)
    url, table = gateway.urls[0], gateway.control.live.table
    lines = [f"mcp-gateway {__version__} is listening on {url}", "", *_servers(table), "", "In another shell:"]
    commands = ("servers", f"call {' --input '.join(_example(table))}{f' --url {url}' if by_flags else ''}", "calls")
    lines += [f"  {program()} {command}" for command in commands]
    return "\n".join(["", *lines, "", _addresses(gateway.control.configuration, url.removesuffix("/mcp")), ""])


def _servers(table: RoutingTable) -> list[str]:
    if not table.servers:
        return ["No server is registered yet: add one under `servers:` in the configuration."]
    own = [_line(slug, table.endpoint(slug)) for slug in table.servers]
    groups = [_line(one.key.partition("/")[2], one) for one in table.endpoints.values() if one.kind == "group"]
    return ["Registered servers:", *own, *(["Groups:", *groups] if groups else [])]


def _addresses(config: Configuration, root: str) -> str:
    metrics = f"http://{config.metrics.listen}/metrics" if config.metrics.listen else f"{root}/metrics"
    shown = [f"Status: {root}/readyz", "Stop: Ctrl-C"]
    if config.metrics.listen or is_loopback(config.listen.host):
        shown.insert(1, f"Metrics: {metrics}")
    return "   ".join(shown)


def _line(name: str, endpoint: Endpoint) -> str:
    reached = endpoint.complete or endpoint.tools
    offer = counted(len(endpoint.tools), "tool") if reached else "not reached"
    return f"  {name:<24} {offer:<12} {endpoint.path}"


def _example(table: RoutingTable) -> tuple[str, str]:
    routes = table.endpoint(AGGREGATE).books[Listed.TOOLS].routes
    if EXAMPLE[0] in routes or not routes:
        return EXAMPLE
    return next(iter(routes)), "'{}'"


def _stop_on_signals() -> asyncio.Event:
    """Set by the first SIGINT or SIGTERM; the next one ends the process as it would without us."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    return stop


def _reload_on_hangup(control: Control, tasks: Tasks) -> None:
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGHUP, lambda: tasks.spawn(control.reload(), "reload on SIGHUP")
    )
