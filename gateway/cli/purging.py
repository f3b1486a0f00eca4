"""`mcp-gateway db purge`: remove what is due now, as gateways do by themselves every ten minutes.

Which question: what is older than the configuration keeps? Touches the database. The rule: never beside another who
removes, and never anything that a dry run would not have counted.
"""

from __future__ import annotations

import argparse
from uuid import uuid4

from prometheus_client import CollectorRegistry

from gateway.cli.common import configuration, database_of, opened
from gateway.cli.failures import Failed
from gateway.retention import terms_of
from storage.database import Database
from storage.janitor import Janitor
from storage.metrics import RetentionMetrics
from storage.purge import Purge, Removed
from storage.retention import Terms


async def purge(arguments: argparse.Namespace) -> int:
    """Remove, or count with `--dry-run`. Exit code 1 when another is removing."""
    config = configuration(arguments.config)
    terms = terms_of(config)
    async with opened(database_of(config)) as database:
        if terms.keeps_all:
            print("nothing to remove: the configuration keeps everything for ever (retention)")
        elif arguments.dry_run:
            print(f"due now: {_told(await Purge(database, terms, _always).due())}")
        else:
            print(f"removed: {_told(await _removed(database, terms))}")
    return 0


async def _removed(database: Database, terms: Terms) -> Removed:
    janitor = Janitor(database, uuid4().hex, lambda: terms, RetentionMetrics(CollectorRegistry()))
    removed = await janitor.round()
    if removed is None:
        raise Failed(f"{database.label}: a gateway is removing what is due at this moment; nothing was done")
    return removed


async def _always() -> bool:
    return True


def _told(found: Removed) -> str:
    several = f"{found.calls} calls, the payloads of {found.payloads} more, {found.transitions} transitions of servers"
    return f"{several}, {found.sessions} automatic chat sessions" if found.sessions else several
