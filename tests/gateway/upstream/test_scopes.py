"""Who shares a line with whom, and what becomes of lines that fail to open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import cast

import pytest

from gateway.errors import GatewayError, Kind
from gateway.protocol.versions import Era
from gateway.upstream.asking import Asker
from gateway.upstream.eras import Eras
from gateway.upstream.line import Line
from gateway.upstream.scopes import ENDED_AT_ONCE, HOUSE, Isolation, Pool, ScopeKeys, session_key
from gateway.upstream.server_requests import PingOnly
from gateway.upstream.surroundings import Surroundings
from gateway.upstream.values import Forward, Scope, ScopeKey
from storage.tasks import Tasks
from tests.support.upstreams import ALICE, Counted, call, terms
from tests.support.waiting import until

ONE, OTHER = ScopeKey("one"), ScopeKey("other")
CALL = call("echo")


class FakeLine:
    """A line that lives until it is ended."""

    era = Era.LEGACY

    def __init__(self) -> None:
        self.life = self
        self.ended = False
        self.ends = 0

    async def end(self) -> None:
        self.ended = True
        self.ends += 1


class SlowLine(FakeLine):
    """A line that takes until `over` to end; `ending` counts those that are at it."""

    def __init__(self, ending: list[FakeLine], over: asyncio.Event) -> None:
        super().__init__()
        self._ending = ending
        self._over = over

    async def end(self) -> None:
        self._ending.append(self)
        await self._over.wait()
        await super().end()


class Openings:
    """Opens lines when the test says so."""

    def __init__(self) -> None:
        self.lines: list[FakeLine] = []
        self.error: GatewayError | None = None
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, key: ScopeKey, call: Forward) -> Line:
        await self.go.wait()
        if self.error is not None:
            raise self.error
        self.lines.append(FakeLine())
        return cast(Line, self.lines[-1])


@pytest.fixture
def openings() -> Openings:
    return Openings()


@pytest.fixture
def events() -> Counted:
    return Counted()


@pytest.fixture
async def around(events: Counted) -> AsyncIterator[Surroundings]:
    tasks, clock = Tasks("test"), count(1.0)
    asker = Asker(count(1), PingOnly())
    yield Surroundings(terms(command="x"), Eras(None, None), asker, tasks, events, lambda: next(clock))
    await tasks.close()


@pytest.fixture
def pool(openings: Openings, around: Surroundings) -> Pool:
    return Pool(openings, around, most=2, brief=frozenset({HOUSE}))


@pytest.mark.trap(5)
@pytest.mark.parametrize(
    ("isolation", "scope", "key"),
    [
        ("auto", Scope("s", 1), "session:s"),
        ("auto", Scope(None, 1), "user:1"),
        ("session", Scope("s", 1), "session:s"),
        ("session", Scope(None, 1), "call:1"),
        ("caller", Scope("s", 1), "user:1"),
        ("caller", Scope(None, 1), "user:1"),
        ("shared", Scope("s", 1), "shared:"),
        ("call", Scope("s", 1), "call:1"),
    ],
)
def test_a_policy_gives_a_call_its_scope(isolation: Isolation, scope: Scope, key: str) -> None:
    assert ScopeKeys(isolation).of(call("echo", scope=scope)) == key


def test_no_two_calls_share_a_scope_of_their_own() -> None:
    keys = ScopeKeys("call")
    assert keys.of(CALL) != keys.of(CALL)


def test_a_shared_scope_does_not_spell_out_the_credentials_that_tell_it_apart() -> None:
    key = ScopeKeys("shared").of(call("echo", headers={"Authorization": "Bearer hunter2"}))
    assert "hunter2" not in key
    assert key != ScopeKeys("shared").of(CALL)


async def test_a_line_that_fails_to_open_is_tried_again_by_the_next(pool: Pool, openings: Openings) -> None:
    openings.error = GatewayError(Kind.SERVER_CLOSED, "refused")
    with pytest.raises(GatewayError, match="refused"):
        await pool.take(ONE, CALL)
    assert len(pool) == 0
    openings.error = None
    assert (await pool.take(ONE, CALL)).line is openings.lines[0]


async def test_a_line_that_ended_by_itself_is_replaced_and_ended_once(
    pool: Pool, openings: Openings, events: Counted
) -> None:
    first = await pool.take(ONE, CALL)
    openings.lines[0].ended = True
    second = await pool.take(ONE, CALL)
    first.release()
    assert second.line is openings.lines[1]
    await pool.close()
    assert [line.ends for line in openings.lines] == [1, 1]
    assert (events["opened"], events["ended"]) == (2, 2)


async def test_ending_a_scope_that_is_being_opened_leaves_nothing_behind(pool: Pool, openings: Openings) -> None:
    openings.go.clear()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(pool.take(ONE, CALL))
        await asyncio.sleep(0)
        group.create_task(pool.end(ONE))
        await asyncio.sleep(0)
        openings.go.set()
    assert ([line.ends for line in openings.lines], len(pool)) == ([1], 0)


async def test_a_brief_scope_ends_with_its_last_user(pool: Pool, openings: Openings) -> None:
    one, two = await pool.take(HOUSE, CALL), await pool.take(HOUSE, CALL)
    one.release()
    assert len(pool) == 1
    two.release()
    await pool.close()
    assert [line.ends for line in openings.lines] == [1]


async def test_a_full_pool_refuses_callers_but_not_the_house(pool: Pool, openings: Openings) -> None:
    for key in (ONE, OTHER):
        await pool.take(key, CALL)
    with pytest.raises(GatewayError) as caught:
        await pool.take(session_key("third"), CALL)
    assert caught.value.kind is Kind.BUSY
    await pool.take(HOUSE, CALL)
    await pool.take(ONE, CALL)
    openings.lines[0].ended = True
    await pool.take(session_key("third"), CALL)


async def test_only_idle_lines_are_swept(pool: Pool, openings: Openings) -> None:
    busy, idle = await pool.take(ONE, CALL), await pool.take(OTHER, CALL)
    idle.release()
    await pool.sweep(before=0.0)
    assert len(pool) == 2
    await pool.sweep(before=1_000.0)
    await until(lambda: [line.ends for line in openings.lines] == [0, 1])
    busy.release()
    await pool.sweep(before=1_000.0, keep=frozenset({ONE}))
    assert openings.lines[0].ends == 0


async def test_a_closed_pool_opens_nothing(pool: Pool, openings: Openings) -> None:
    await pool.take(ONE, CALL)
    await pool.close()
    with pytest.raises(GatewayError) as caught:
        await pool.take(ONE, CALL)
    assert (caught.value.kind, len(openings.lines)) == (Kind.DRAINING, 1)


def test_the_users_of_a_scope_are_told_by_their_ids() -> None:
    assert ScopeKeys("auto").of(CALL) == f"user:{ALICE.user_id}"


async def test_lines_that_were_idle_together_are_ended_in_turns(around: Surroundings) -> None:
    ending, over = list[FakeLine](), asyncio.Event()

    async def opened(key: ScopeKey, call: Forward) -> Line:
        return cast(Line, SlowLine(ending, over))

    pool = Pool(opened, around)
    for number in range(3 * ENDED_AT_ONCE):
        (await pool.take(ScopeKey(f"user:{number}"), CALL)).release()
    await pool.sweep(before=10_000.0)
    await until(lambda: len(ending) == ENDED_AT_ONCE)
    over.set()
    await until(lambda: len(ending) == 3 * ENDED_AT_ONCE and all(line.ended for line in ending))
    assert len(pool) == 0
