"""`mcp-gateway servers`: the registered servers, how they are, and what they offer.

Which question: what does the gateway know of each server? Touches the database, read only; asks no server. The rule:
what is shown is what the gateway last wrote down, and it is said when that is old.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.cli.common import add_config_argument, configuration, database_in, opened
from gateway.cli.invocation import program
from gateway.cli.rendering import harmless
from gateway.cli.table import table
from gateway.config import ConfigErrors
from gateway.naming import exposed_name
from gateway.settings import Config, Group
from health.board import explained
from storage import catalogs, health, registry
from storage.catalogs import StoredCatalog
from storage.database import Database
from storage.health import HealthRow, Mirror
from storage.registration import ServerRow

HEADINGS = ("SERVER", "STATE", "SINCE", "PROTOCOL", "TRANSPORT", "LATENCY", "SUCCESS", "TOOLS", "REASON")
GROUP_HEADINGS = ("GROUP", "PATH", "NAMES", "SERVERS")
STALE_SECONDS = 300.0
"""Without a look at any server for so long, the gateway is probably not running."""
UNKNOWN = "-"

EPILOG = """\
examples:
  mcp-gateway servers
  mcp-gateway servers --tools
  mcp-gateway servers --json | jq '.[] | select(.state != "up")'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What is known of one server; None is not known. Times are seconds since the Unix epoch, `latency_ms` is that of
    the last good probe, `success_rate` is from 0 to 1 over the last five minutes, `tools` are the exposed names.
    """

    slug: str | None
    name: str
    state: str
    since: float | None
    reason: str | None
    era: str | None
    protocol_version: str | None
    transport: str
    latency_ms: float | None
    success_rate: float | None
    observed: float | None
    tools: tuple[str, ...] | None


def add_parser(subparsers: Any) -> None:
    """Add `servers` to the command line."""
    parser = subparsers.add_parser(
        "servers",
        help="show the registered servers: state, latency, tools",
        description="Show the registered servers: state, latency, success rate and tools, as last written down.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tools", action="store_true", help="list the names of the tools, as clients see them")
    parser.add_argument("--json", action="store_true", help="print a JSON array")
    add_config_argument(parser)
    parser.set_defaults(handler=show)


async def show(arguments: argparse.Namespace) -> int:
    """Print what is known."""
    config = _whole(arguments.config)
    async with opened(database_in(arguments.config)) as db:
        servers = await load(db, prefixed=config.aggregate.names == "prefixed")
    if arguments.json:
        print(json.dumps([_as_json(server, config.groups) for server in servers], ensure_ascii=False, indent=2))
    elif arguments.tools:
        print("\n".join(tool for server in servers for tool in server.tools or ()))
    else:
        print(as_table(servers, time.time()))
        if config.groups:
            print(f"\n{groups_as_table(config.groups)}")
        _warn(servers, time.time())
    return 0


async def load(db: Database, *, prefixed: bool = True) -> list[Overview]:
    """Every registered server, in the order of the file. Raises StorageError."""
    states, mirrors, offers = await health.load(db), await health.mirrors(db), await catalogs.load_all(db)
    return [
        overview(row, states.get(row.id), mirrors.get(row.id), offers.get(row.id), prefixed=prefixed)
        for row in await registry.load(db)
    ]


def overview(
    row: ServerRow,
    state: HealthRow | None,
    mirror: Mirror | None,
    catalog: StoredCatalog | None,
    *,
    prefixed: bool = True,
) -> Overview:
    """What the four tables say of one server; `prefixed`: at `/mcp` names begin with its slug."""
    return Overview(
        slug=row.slug,
        name=row.name,
        state=_state(row, state),
        since=None if state is None else state.since_us / 1e6,
        reason=None if state is None else state.reason,
        era=_era(state, catalog),
        protocol_version=None if catalog is None else catalog.protocol_version,
        transport=_transport(row.spec or {}),
        latency_ms=None if state is None or not state.latency_us else state.latency_us / 1e3,
        success_rate=None if mirror is None else mirror.success_rate,
        observed=None if state is None or state.observed_us is None else state.observed_us / 1e6,
        tools=None if catalog is None or row.slug is None else _tools(row.slug if prefixed else None, catalog),
    )


def as_table(servers: Sequence[Overview], now: float) -> str:
    """For people; `now` in seconds since the Unix epoch."""
    return harmless(table(HEADINGS, [_cells(server, now) for server in servers]))


def groups_as_table(groups: Mapping[str, Group]) -> str:
    """The groups of the file, for people."""
    cells = [(name, f"/groups/{name}/mcp", group.names, ", ".join(group.servers)) for name, group in groups.items()]
    return harmless(table(GROUP_HEADINGS, cells))


def _whole(file: str) -> Config:
    """The file, for its groups and names; while it is flawed they are not known."""
    try:
        return configuration(file)
    except ConfigErrors:
        return Config()


def _cells(server: Overview, now: float) -> tuple[str, ...]:
    return (
        server.slug or server.name,
        server.state,
        UNKNOWN if server.since is None else _age(now - server.since),
        server.protocol_version or server.era or UNKNOWN,
        server.transport,
        UNKNOWN if server.latency_ms is None else f"{server.latency_ms:,.0f} ms",
        UNKNOWN if server.success_rate is None else f"{server.success_rate:.1%}",
        UNKNOWN if server.tools is None else str(len(server.tools)),
        "" if server.reason is None else explained(server.reason),
    )


def _as_json(server: Overview, groups: Mapping[str, Group]) -> dict[str, Any]:
    times = {key: _iso(value) for key, value in (("since", server.since), ("observed", server.observed))}
    return {**asdict(server), **times, "groups": [name for name, one in groups.items() if server.name in one.servers]}


def _warn(servers: Sequence[Overview], now: float) -> None:
    looks = [server.observed for server in servers if server.observed is not None]
    if not servers:
        print("no server is registered; add one under `servers:` in config.yaml", file=sys.stderr)
    elif not looks:
        print(f"no server has been looked at yet; `{program()} serve` does", file=sys.stderr)
    elif now - max(looks) > STALE_SECONDS:
        print(f"the gateway last looked {_age(now - max(looks))} ago; is it running?", file=sys.stderr)


def _state(row: ServerRow, state: HealthRow | None) -> str:
    if row.slug is None:
        return "adopted"
    if not row.enabled:
        return "disabled"
    if row.maintenance:
        return "maintenance"
    return "unknown" if state is None else state.state


def _era(state: HealthRow | None, catalog: StoredCatalog | None) -> str | None:
    return (state and state.server_era) or (catalog and catalog.era) or None


def _transport(spec: Mapping[str, Any]) -> str:
    if "command" in spec:
        return "stdio"
    pinned = spec.get("transport", "auto")
    return "http" if pinned == "auto" else str(pinned)


def _tools(slug: str | None, catalog: StoredCatalog) -> tuple[str, ...]:
    names = (json.loads(tool)["name"] for tool in catalog.tools)
    return tuple(name if slug is None else exposed_name(slug, name) for name in names)


def _age(seconds: float) -> str:
    """Two digits or so, as people say it: `12 s`, `3 min`, `5 h`, `9 d`."""
    seconds = max(seconds, 0)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _iso(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
