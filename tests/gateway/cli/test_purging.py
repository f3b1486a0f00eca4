"""`mcp-gateway db purge`, as a shell sees it."""

from __future__ import annotations

import asyncio

import pytest

from storage import migrate
from storage.database import Database
from storage.janitor import NAME
from storage.leases import Lease
from storage.settings import DatabaseSettings
from tests.gateway.cli.shell import TIME, Shell
from tests.support.recording import now_us, running, world

DAY_US = 86_400_000_000
KEEPS = "retention: {calls: 90d, payloads: 14d}\n"


@pytest.fixture
def url(shell: Shell) -> str:
    """A database with a call of today, one of a month ago, and one of a hundred days ago."""
    url = f"sqlite:///{shell.file.parent / 'x.db'}"
    asyncio.run(_filled(url))
    return url


def test_a_dry_run_counts_and_removes_nothing(shell: Shell, url: str) -> None:
    shell.write(TIME, KEEPS)
    for _ in range(2):
        code, printed, complaints = shell.run("db", "purge", "--dry-run")
        assert (code, complaints) == (0, "")
        assert printed == "due now: 1 calls, the payloads of 1 more, 0 transitions of servers\n"


def test_what_is_due_goes_once(shell: Shell, url: str) -> None:
    shell.write(TIME, KEEPS)
    code, printed, complaints = shell.run("db", "purge")
    assert (code, complaints) == (0, "")
    assert printed.startswith("removed: 1 calls, the payloads of 1 more, ")
    assert shell.run("db", "purge")[1].startswith("removed: 0 calls, the payloads of 0 more, ")
    assert shell.run("calls", "verify")[0] == 0
    assert "it was kept for as long as payloads are" in shell.run("calls", "show", asyncio.run(_second(url)))[1]


def test_a_server_s_own_age_counts(shell: Shell, url: str) -> None:
    shell.write("  time: {command: mcp-server-time, retention: {calls: forever, payloads: forever}}\n", KEEPS)
    assert shell.run("db", "purge", "--dry-run")[1].startswith("due now: 0 calls, the payloads of 0 more")


def test_without_a_word_nothing_goes(shell: Shell, url: str) -> None:
    shell.write(TIME)
    assert shell.run("db", "purge") == (
        0,
        "nothing to remove: the configuration keeps everything for ever (retention)\n",
        "",
    )


def test_beside_another_nothing_is_done(shell: Shell, url: str) -> None:
    shell.write(TIME, KEEPS)
    asyncio.run(_claim(url))
    code, printed, complaints = shell.run("db", "purge")
    assert (code, printed) == (1, "")
    assert "a gateway is removing what is due at this moment; nothing was done" in complaints


async def _filled(url: str) -> None:
    db = Database(DatabaseSettings(url=url))
    await migrate.upgrade(db)
    here = await world(db)
    async with running(db) as writer:
        for days in (100, 30, 0):
            await here.record(writer, started_us=now_us() - days * DAY_US)
    await db.close()


async def _claim(url: str) -> None:
    db = Database(DatabaseSettings(url=url))
    assert await Lease(db, NAME, "f" * 32).claim(600)
    await db.close()


async def _second(url: str) -> str:
    db = Database(DatabaseSettings(url=url))
    async with db.reading() as connection:
        uid = (await connection.exec_driver_sql("SELECT call_uid FROM server_calls ORDER BY created_at")).first()
    await db.close()
    return str(uid[0])
