"""`mcp-gateway db partition`: cut the tables of calls into days, so that old days go at once.

Which question: what would that change, and is it wanted? Touches the schema of MySQL, MariaDB and PostgreSQL. The rule:
foreign keys of somebody's database go only when he has said so.
"""

from __future__ import annotations

import argparse

from gateway.cli.common import database_in
from gateway.cli.failures import Failed, Misused
from storage import migrate, partitions
from storage.database import Database
from storage.partitions import Outlook

ADVICE = """\
Cut server_calls and server_call_payloads into days (UTC), seven of them ahead. Retention then drops whole days, and
gateways make those ahead. May be repeated, also after an interruption. MySQL and MariaDB copy the tables meanwhile:
nothing can be written, and records wait in the journal. PostgreSQL builds one index and looks at each row once.
"""


async def partition(arguments: argparse.Namespace) -> int:
    """Print what would be done, and unless it is a dry run, do it. Exit code 1 when it cannot be done."""
    database = database_in(arguments.config)
    try:
        if database.dialect == "sqlite":
            raise Misused(
                f"{database.label}: SQLite has no partitions; `db purge` removes row by row, which needs none"
            )
        await migrate.require_current(database)
        found = [await partitions.outlook(database, table) for table in partitions.TABLES]
        for one in found:
            print("\n".join(_told(one)))
        _check(database, found, arguments)
        if not arguments.dry_run:
            for table in partitions.TABLES:
                print(f"{table.name}: {await partitions.partition(database, table)} parts")
    finally:
        await database.close()
    return 0


def _check(database: Database, found: list[Outlook], arguments: argparse.Namespace) -> None:
    if any(one.obstacles for one in found):
        raise Failed(f"{database.label}: what stands in the way has to go first; nothing was changed")
    if any(one.foreign_keys for one in found) and not (arguments.drop_foreign_keys or arguments.dry_run):
        raise Failed(
            f"{database.label}: MySQL and MariaDB know no foreign keys on such tables: say --drop-foreign-keys; "
            "nothing was changed"
        )


def _told(one: Outlook) -> list[str]:
    if one.parts:
        return [f"{one.table}: cut into {one.parts} parts; the days ahead are made where they are missing"]
    steps = [f"  - drop the foreign key {key}; the gateway checks either way" for key in one.foreign_keys]
    return [
        f"{one.table}: to be cut into days, with created_at in its primary key",
        *steps,
        *(f"  - in the way: {obstacle}" for obstacle in one.obstacles),
    ]
