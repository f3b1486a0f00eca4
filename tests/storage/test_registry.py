"""The registry, on every engine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import insert, select

from storage import registry
from storage.database import Database
from storage.errors import DatabaseContended
from storage.registration import Action, Change, Origin, Registration, ServerRow, fingerprint
from storage.schema import mcp_servers

SPEC = {
    "url": "https://docs.example.com/mcp",
    "headers": {"Authorization": "Bearer ${DOCS_TOKEN}", "X-后端": "'\\\"%s"},
    "args": [],
    "timeouts": {"connect": 2.5},
    "concurrency": 3,
}
DOCS = Registration(
    slug="docs",
    name="文档 Docs 😀",
    description="first line\nsecond",
    position=1,
    host="docs.example.com",
    port=443,
    spec=SPEC,
)
TIME = Registration(slug="time", name="time", position=0, host="stdio", port=0, spec={"command": "mcp-server-time"})


@dataclass(frozen=True)
class Decided:
    changes: Sequence[Change]


def adding(*servers: Registration) -> Decided:
    return Decided([Change(action=Action.ADD, id=None, server=server, file_revision=7) for server in servers])


async def added(database: Database, *servers: Registration) -> tuple[ServerRow, ...]:
    await registry.apply(database, lambda _: adding(*servers))
    return await registry.load(database)


async def test_an_empty_registry_is_empty(database: Database) -> None:
    assert await registry.load(database) == ()
    assert await registry.generation(database) == 0


async def test_what_was_written_is_read_in_the_order_of_the_file(database: Database) -> None:
    time, docs = await added(database, DOCS, TIME)
    assert (time.slug, docs.slug) == ("time", "docs")
    for row, server in ((time, TIME), (docs, DOCS)):
        assert row.spec == server.spec
        assert row.spec_sha256 == server.spec_sha256 == fingerprint(row.spec)
        assert (row.origin, row.file_revision) == (Origin.CONFIG, 7)
        fields = ("name", "description", "position", "enabled", "maintenance", "host", "port")
        assert [getattr(row, name) for name in fields] == [getattr(server, name) for name in fields]


async def test_the_documented_columns_of_a_new_server_are_right(database: Database) -> None:
    await added(database, TIME)
    assert await columns(database, "host", "port", "status") == [("stdio", 0, "offline")]


async def test_a_change_is_written_to_its_own_row(database: Database) -> None:
    time, docs = await added(database, TIME, DOCS)
    changed = replace(DOCS, slug="manual", maintenance=True, spec={"url": "https://h"}, host="h")
    await registry.apply(database, lambda _: Decided([change(Action.CHANGE, docs.id, changed)]))
    after = await registry.load(database)
    assert after[0] == time
    assert (after[1].id, after[1].slug, after[1].maintenance, after[1].spec) == (docs.id, "manual", True, changed.spec)


async def test_a_server_that_is_disabled_keeps_the_rest_of_its_row(database: Database) -> None:
    (docs,) = await added(database, DOCS)
    gone = replace(DOCS, name="", description=None, spec={})
    await registry.apply(database, lambda _: Decided([change(Action.DISABLE, docs.id, gone)]))
    assert await registry.load(database) == (replace(docs, enabled=False, file_revision=8),)


async def test_a_row_of_another_back_end_is_seen_and_can_be_taken_over(database: Database) -> None:
    async with database.writing() as connection:
        await connection.execute(insert(mcp_servers).values(name="文档", host="10.0.0.7", port=8000))
    (there,) = await registry.load(database)
    assert (there.origin, there.slug, there.spec, there.file_revision) == (Origin.ADOPTED, None, None, 0)
    await registry.apply(database, lambda _: Decided([change(Action.TAKE_OVER, there.id, DOCS)]))
    (taken,) = await registry.load(database)
    assert (taken.id, taken.origin, taken.host, taken.port) == (there.id, Origin.CONFIG, "docs.example.com", 443)


async def test_every_change_bumps_the_generation_and_no_change_does_not(database: Database) -> None:
    await added(database, TIME)
    assert await registry.generation(database) == 1
    await registry.apply(database, lambda _: Decided([]))
    assert await registry.generation(database) == 1
    await added(database, DOCS)
    assert await registry.generation(database) == 2


async def test_all_is_written_or_nothing(database: Database) -> None:
    await added(database, TIME)
    with pytest.raises(LookupError):
        await registry.apply(database, _fails_halfway)
    assert [row.slug for row in await registry.load(database)] == ["time"]
    assert await registry.generation(database) == 1


async def test_two_gateways_that_start_at_once_register_every_server_once(database: Database) -> None:
    def decide(rows: Sequence[ServerRow]) -> Decided:
        known = {row.slug for row in rows}
        return adding(*(server for server in (TIME, DOCS) if server.slug not in known))

    async with asyncio.timeout(30):
        decided = await asyncio.gather(*(registry.apply(database, decide) for _ in range(4)))
    assert sorted(len(one.changes) for one in decided) == [0, 0, 0, 2]
    assert len(await registry.load(database)) == 2
    assert await registry.generation(database) == 1


async def test_a_transaction_that_was_in_another_s_way_is_decided_anew(database: Database) -> None:
    seen: list[int] = []

    def decide(rows: Sequence[ServerRow]) -> Decided:
        seen.append(len(rows))
        if len(seen) < 3:
            raise DatabaseContended("a deadlock")
        return adding(TIME)

    await registry.apply(database, decide)
    assert seen == [0, 0, 0]
    assert await registry.generation(database) == 1


@pytest.mark.parametrize("text", ['"a text"', "[1]", "null"])
async def test_a_spec_that_is_no_object_is_none(database: Database, text: str) -> None:
    async with database.writing() as connection:
        await connection.execute(insert(mcp_servers).values(name="x", host="h", port=1, slug="x", spec=text))
    assert (await registry.load(database))[0].spec is None


def change(action: Action, known: int, server: Registration) -> Change:
    return Change(action=action, id=known, server=server, file_revision=8)


def _fails_halfway(rows: Sequence[ServerRow]) -> Decided:
    class Halfway(Sequence):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: Any) -> Any:
            if index == 1:
                raise LookupError("the second change")
            return Change(action=Action.ADD, id=None, server=DOCS)

    return Decided(Halfway())


async def columns(database: Database, *names: str) -> list[tuple[Any, ...]]:
    async with database.reading() as connection:
        rows = await connection.execute(select(*(mcp_servers.c[name] for name in names)))
        return [tuple(row) for row in rows]
