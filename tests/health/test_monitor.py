"""The monitoring path over a real database, with a clock that stands still unless it is told to move."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from health.board import Board
from health.metrics import HealthMetrics
from health.monitor import MIRROR_US, Monitor, Traffic
from health.plan import Plan
from health.probe import HealthState, Observation, Step
from health.recent import WINDOW_US, Counts
from health.settings import HealthSettings
from storage import health as rows
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.schema import mcp_servers, metadata
from storage.settings import DatabaseSettings

DOCS = 1
START = 1_795_342_503_000_000
SECOND = 1_000_000
GOOD = Observation(ok=True, step=Step.LIST, latency_us=3_000, era="modern", catalog_sha256=b"\7" * 32)
BAD = Observation(ok=False, step=Step.CONNECT, latency_us=0, reason="refused", detail="nobody listens on port 9")


class Fuse(Database):
    """A database that can be cut off."""

    cut = False

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        self._check()
        return super().reading()

    def writing(self) -> AbstractAsyncContextManager[AsyncConnection]:
        self._check()
        return super().writing()

    def _check(self) -> None:
        if self.cut:
            raise DatabaseUnavailable("database mcp_chat does not answer")


class Calls:
    """What the calls of a server say, as a test wants it."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.running = 0
        self.asked = 0

    def in_flight(self, slug: str) -> int:
        assert slug == "docs"
        return self.running

    async def recent(self, server_id: int) -> Counts:
        self.asked += 1
        return self.counts


class World:
    """A monitor with everything around it."""

    def __init__(self, db: Fuse) -> None:
        self.db = db
        self.now_us = START
        self.board = Board()
        self.registry = CollectorRegistry()
        self.calls = Calls()
        self.monitor = self.another(self.board, self.registry)

    def another(self, board: Board | None = None, registry: CollectorRegistry | None = None) -> Monitor:
        """One more monitor over the same database."""
        metrics = HealthMetrics(registry or CollectorRegistry())
        traffic = Traffic(self.calls.in_flight, self.calls.recent)
        return Monitor(
            self.db, board or Board(), metrics, traffic=traffic, clock=lambda: self.now_us, replica_id="a" * 32
        )

    async def sees(self, *observations: Observation, plan: Plan | None = None, by: Monitor | None = None) -> bool:
        soon = False
        for observation in observations:
            self.now_us += SECOND
            soon = await (by or self.monitor).observed(plan or docs(), observation, 0.01)
        return soon

    @property
    def state(self) -> HealthState:
        return self.board.state_of(DOCS).state

    async def row(self) -> rows.HealthRow | None:
        return await rows.load_one(self.db, DOCS)

    async def history(self) -> list[tuple[str, str]]:
        moves = await rows.history(self.db, DOCS)
        return [(move.from_state, move.to_state) for move in reversed(moves)]

    async def shown(self) -> Any:
        async with self.db.reading() as connection:
            return (await connection.execute(select(mcp_servers).where(mcp_servers.c.id == DOCS))).one()

    def counted(self, to_state: str) -> float | None:
        labels = {"server": "docs", "to_state": to_state}
        return self.registry.get_sample_value("mcp_gateway_server_transitions_total", labels)


async def never() -> Observation:
    raise AssertionError("nobody probes here")


def docs(**facts: object) -> Plan:
    return replace(Plan(DOCS, "docs", b"1", HealthSettings(rise=2, fall=2), never, concurrency=4), **facts)


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Fuse]:
    db = Fuse(DatabaseSettings(url=f"sqlite:///{tmp_path}/health.db"))
    async with db.writing() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(insert(mcp_servers).values(id=DOCS, name="docs", host="docs.example.com", port=443))
    yield db
    await db.close()


@pytest.fixture
async def world(db: Fuse) -> World:
    world = World(db)
    await world.monitor.watch([docs()])
    return world


async def test_a_new_server_is_unknown_on_the_board_and_not_written(world: World) -> None:
    assert world.state is HealthState.UNKNOWN
    assert await world.row() is None


async def test_an_observation_reaches_row_board_metrics_and_history(world: World) -> None:
    await world.sees(GOOD)
    row = await world.row()
    assert row is not None
    assert (row.state, row.version, row.latency_us, row.server_era) == ("up", 1, 3_000, "modern")
    assert (row.observed_us, row.catalog_sha256) == (START + SECOND, b"\7" * 32)
    assert world.state is HealthState.UP
    assert world.counted("up") == 1
    assert await world.history() == [("unknown", "up")]


async def test_a_server_goes_down_and_comes_back_and_every_step_is_history(world: World) -> None:
    await world.sees(GOOD, BAD, BAD, GOOD, GOOD)
    assert await world.history() == [
        ("unknown", "up"),
        ("up", "failing"),
        ("failing", "down"),
        ("down", "recovering"),
        ("recovering", "up"),
    ]
    last = (await rows.history(world.db, DOCS))[2]
    assert (last.reason, last.detail, last.replica_id) == ("refused", "nobody listens on port 9", "a" * 32)


async def test_a_recovering_server_is_wanted_to_be_seen_again_soon(world: World) -> None:
    assert not await world.sees(GOOD, BAD, BAD)
    assert await world.sees(GOOD)
    assert not await world.sees(GOOD)


async def test_one_line_is_logged_per_transition_and_none_without(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "health.monitor")
    await world.sees(GOOD, GOOD, BAD, BAD)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "server docs: unknown → up (answered)"),
        ("INFO", "server docs: up → failing (refused: nobody listens on port 9)"),
        ("WARNING", "server docs: failing → down (refused: nobody listens on port 9)"),
    ]


async def test_a_restarted_gateway_begins_with_what_the_database_remembers(world: World) -> None:
    await world.sees(GOOD, BAD, BAD)
    board = Board()
    await world.another(board).watch([docs()])
    health = board.state_of(DOCS)
    assert (health.state, health.reason, health.since_us) == (HealthState.DOWN, "refused", START + 3 * SECOND)


async def test_the_documented_columns_follow_a_transition_at_once(world: World) -> None:
    await world.sees(GOOD)
    assert (await world.shown()).status == "online"
    await world.sees(BAD, BAD)
    assert (await world.shown()).status == "offline"


async def test_the_documented_columns_are_otherwise_touched_once_a_minute(world: World) -> None:
    await world.sees(GOOD)
    world.calls.running = 2
    world.now_us += MIRROR_US - 2 * SECOND
    await world.sees(GOOD)
    assert ((await world.shown()).server_load, world.calls.asked) == (0.0, 1)
    await world.sees(GOOD)
    assert ((await world.shown()).server_load, world.calls.asked) == (0.5, 2)


async def test_mirroring_is_no_change_of_the_registration(world: World) -> None:
    before = (await world.shown()).updated_at
    await world.sees(GOOD)
    assert (await world.shown()).updated_at == before


async def test_the_success_rate_counts_calls_and_probes_and_the_time_is_that_of_calls(world: World) -> None:
    world.calls.counts = Counts(counted=7, successes=6, timed=10, total_us=500_000)
    await world.sees(GOOD)
    shown = await world.shown()
    assert shown.success_rate == pytest.approx(7 / 8)
    assert shown.response_time == pytest.approx(50.0)


async def test_without_calls_the_time_is_that_of_probes(world: World) -> None:
    await world.sees(GOOD)
    assert (await world.shown()).response_time == pytest.approx(3.0)


async def test_probes_older_than_five_minutes_leave_the_success_rate(world: World) -> None:
    await world.sees(BAD)
    world.now_us += WINDOW_US
    await world.sees(GOOD)
    assert (await world.shown()).success_rate == 1.0


@pytest.mark.parametrize(("running", "load"), [(0, 0.0), (1, 0.25), (9, 1.0)])
async def test_the_load_is_the_share_of_places_that_are_taken(world: World, running: int, load: float) -> None:
    world.calls.running = running
    await world.sees(GOOD)
    assert (await world.shown()).server_load == load


async def test_maintenance_begins_and_ends_with_the_plan(world: World) -> None:
    await world.sees(GOOD)
    await world.monitor.watch([docs(maintenance=True)])
    assert (world.state, (await world.shown()).status) == (HealthState.MAINTENANCE, "maintenance")
    await world.sees(BAD, BAD)
    assert world.state is HealthState.MAINTENANCE
    await world.monitor.watch([docs()])
    assert world.state is HealthState.UNKNOWN
    assert (await world.history())[1:] == [("up", "maintenance"), ("maintenance", "unknown")]


async def test_watching_again_without_a_change_writes_nothing(world: World) -> None:
    await world.sees(GOOD)
    before = await world.row()
    await world.monitor.watch([docs()])
    assert await world.row() == before


async def test_a_server_that_left_is_forgotten_and_its_late_observation_dropped(world: World) -> None:
    await world.sees(GOOD)
    await world.monitor.watch([])
    before = await world.row()
    assert not await world.sees(BAD)
    assert not world.board.entries
    assert await world.row() == before
    assert [sample for family in world.registry.collect() for sample in family.samples] == []


async def test_a_renamed_server_keeps_its_health_and_leaves_no_series_behind(world: World) -> None:
    await world.sees(GOOD)
    await world.monitor.watch([docs(slug="papers")])
    assert world.state is HealthState.UP
    servers = {sample.labels["server"] for family in world.registry.collect() for sample in family.samples}
    assert servers == {"papers"}


async def test_listeners_hear_every_observation_of_a_watched_server(world: World) -> None:
    heard: list[tuple[int, Observation]] = []
    world.monitor.listen(lambda server_id, observation: heard.append((server_id, observation)))
    await world.sees(GOOD, BAD)
    assert heard == [(DOCS, GOOD), (DOCS, BAD)]


async def test_the_planned_probe_reaches_the_board(world: World) -> None:
    world.monitor.expected(DOCS, START + 12 * SECOND)
    assert world.board.entries[DOCS].next_us == START + 12 * SECOND


async def test_without_the_database_the_board_follows_and_nothing_is_raised(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.sees(GOOD)
    world.db.cut = True
    await world.sees(BAD, BAD)
    assert world.state is HealthState.DOWN
    assert world.counted("down") == 1
    lost = [record for record in caplog.records if "kept in memory" in record.getMessage()]
    assert len(lost) == 1


async def test_transitions_missed_by_the_database_are_written_when_it_answers_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.sees(GOOD)
    world.db.cut = True
    await world.sees(BAD, BAD)
    world.db.cut = False
    await world.sees(BAD)
    assert await world.history() == [("unknown", "up"), ("up", "failing"), ("failing", "down")]
    row = await world.row()
    assert row is not None
    assert (row.state, (await world.shown()).status) == ("down", "offline")
    assert "health is written again" in caplog.text


async def test_a_gateway_that_starts_without_its_database_takes_the_row_over_once_it_answers(world: World) -> None:
    await world.sees(GOOD, BAD, BAD)
    world.db.cut = True
    board = Board()
    late = world.another(board)
    await late.watch([docs()])
    assert board.state_of(DOCS).state is HealthState.UNKNOWN
    world.db.cut = False
    await world.sees(GOOD, by=late)
    assert board.state_of(DOCS).state is HealthState.RECOVERING
    assert (await world.history())[-1] == ("down", "recovering")


async def test_of_two_writers_the_later_one_applies_its_observation_to_the_row_of_the_first(world: World) -> None:
    board = Board()
    other = world.another(board)
    await other.watch([docs()])
    await world.sees(GOOD, BAD)
    await world.sees(BAD, by=other)
    assert board.state_of(DOCS).state is HealthState.DOWN
    assert await world.history() == [("unknown", "up"), ("up", "failing"), ("failing", "down")]
    row = await world.row()
    assert row is not None
    assert row.version == 3


async def test_a_transition_that_another_writer_made_is_neither_logged_nor_counted_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    registry = CollectorRegistry()
    other = world.another(registry=registry)
    await other.watch([docs()])
    with caplog.at_level(logging.INFO, "health.monitor"):
        await world.sees(GOOD)
        await world.sees(GOOD, by=other)
    labels = {"server": "docs", "to_state": "up"}
    assert registry.get_sample_value("mcp_gateway_server_transitions_total", labels) == 0
    assert caplog.text.count("unknown → up") == 1


async def test_two_servers_that_exchange_their_names_keep_their_series(world: World) -> None:
    await world.monitor.watch([docs(), docs(server_id=2, slug="papers")])
    await world.monitor.watch([docs(slug="papers"), docs(server_id=2)])
    for slug in ("docs", "papers"):
        assert world.registry.get_sample_value("mcp_gateway_server_up", {"server": slug}) == 1


async def test_the_documented_columns_go_on_after_the_clock_was_set_back(world: World) -> None:
    await world.sees(GOOD)
    world.now_us -= 3_600 * SECOND
    world.calls.running = 2
    await world.sees(GOOD)
    assert (await world.shown()).server_load == 0.5


async def test_the_board_shows_a_server_that_is_down_even_if_writing_that_is_a_defect(world: World) -> None:
    await world.sees(GOOD, BAD)
    async with world.db.writing() as connection:
        await connection.run_sync(metadata.tables["server_health"].drop)
    with pytest.raises(DBAPIError):
        await world.sees(BAD)
    assert world.state is HealthState.DOWN
