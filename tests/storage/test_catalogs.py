"""Stored catalogs, on every engine."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import update

from storage import catalogs, registry
from storage.catalogs import StoredCatalog
from storage.database import Database
from storage.schema import server_catalogs

HOSTILE = StoredCatalog(
    era="modern",
    protocol_version="2026-07-28",
    capabilities=b'{"tools": {"listChanged":true}, "x":1.10}',
    server_info='{"name":"时间 😀","note":"\\ud800 \\u0000 \\/"}'.encode(),
    instructions="NUL \0, half a pair \ud800, 'quotes' \\ and \u2028",
    tools=(
        b'{"name":"a","inputSchema":{"type":"object"},"z":1e2,"a":10000000000000000000000}',
        '{"name": "工具",\n\t"description":"\\ud83d\\ude00 \\u00e9 é %s \'"}'.encode(),
        b'{"name":"\\ud800"}',
    ),
    prompts=(b'{"name":"p", "x":1.10}',),
    resources=(b'{"uri":"file:///\\u00e9"}', b'{"uri":"b"}'),
    templates=(b'{"uriTemplate":"{+path}"}',),
    sha256=bytes(range(32)),
    fetched_us=1_795_392_000_123_456,
)
PLAIN = StoredCatalog(
    era="legacy",
    protocol_version="2025-11-25",
    capabilities=None,
    server_info=None,
    instructions=None,
    tools=(),
    sha256=b"\xff" * 32,
    fetched_us=0,
)


async def test_what_a_server_wrote_comes_back_byte_for_byte(database: Database) -> None:
    await catalogs.store(database, 1, HOSTILE)
    await catalogs.store(database, 2, PLAIN)
    assert await catalogs.load_all(database) == {1: HOSTILE, 2: PLAIN}


async def test_the_newest_replaces_the_one_before(database: Database) -> None:
    await catalogs.store(database, 1, HOSTILE)
    await catalogs.store(database, 1, PLAIN)
    assert await catalogs.load_all(database) == {1: PLAIN}


async def test_another_catalog_bumps_the_generation_and_the_same_one_does_not(database: Database) -> None:
    assert await catalogs.store(database, 1, PLAIN)
    assert await registry.generation(database) == 1
    later = replace(PLAIN, fetched_us=5)
    assert not await catalogs.store(database, 1, later)
    assert await registry.generation(database) == 1
    assert await catalogs.load_all(database) == {1: later}
    assert await catalogs.store(database, 1, HOSTILE)
    assert await registry.generation(database) == 2


async def test_a_server_with_very_many_tools_is_kept_whole(database: Database) -> None:
    tools = tuple(b'{"name":"t%d","description":"%s"}' % (number, b"x" * 1_000) for number in range(2_000))
    await catalogs.store(database, 1, replace(PLAIN, tools=tools))
    assert (await catalogs.load_all(database))[1].tools == tools


async def test_a_version_longer_than_any_is_cut(database: Database) -> None:
    await catalogs.store(database, 1, replace(PLAIN, protocol_version="9" * 500))
    assert (await catalogs.load_all(database))[1].protocol_version == "9" * 32


async def test_a_row_that_an_earlier_version_wrote_has_tools_alone(database: Database) -> None:
    await catalogs.store(database, 1, HOSTILE)
    async with database.writing() as connection:
        await connection.execute(update(server_catalogs).values(prompts=None, resources=None, templates=None))
    found = (await catalogs.load_all(database))[1]
    assert found == replace(HOSTILE, prompts=(), resources=(), templates=())
