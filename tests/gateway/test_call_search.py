"""What people ask for when they look for calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert

from gateway.call_search import Asked, Mistake, number, place, uid, wanted
from storage.call_filters import CallFilter
from storage.calls import Cursor
from storage.database import Database
from storage.schema import mcp_servers
from tests.support.engines import Engines, made
from tests.support.recording import World, world

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
UID = "019ab3c41f2e7abc8def0123456789ab"


@pytest.fixture
async def here(engines: Engines) -> World:
    async with made(engines["sqlite"], migrated=True) as db:
        here = await world(db)
        async with db.writing() as connection:
            await connection.execute(insert(mcp_servers).values(name="Old one", host="h", port=1))
        yield here


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, {}),
        ({"server": "time"}, {"server": "time"}),
        ({"server": "Time"}, {"server": "time"}),
        ({"server": "Old one"}, {"server": "Old one"}),
        ({"tool": "convert"}, {"tool": "convert"}),
        ({"tool": "time__convert"}, {"server": "time", "tool": "convert"}),
        ({"tool": "other__convert"}, {"tool": "other__convert"}),
        ({"server": "time", "tool": "time__convert"}, {"server": "time", "tool": "time__convert"}),
        ({"outcome": "in_progress"}, {"outcome": "in_progress"}),
        ({"user": "ALICE"}, {"user": "alice"}),
        ({"session": "12"}, {"session": 12}),
        ({"session": "0123456789ABCDEF-0123456789abcdef"}, {"session": "0123456789abcdef" * 2}),
        ({"trace": "4BF92F3577B34DA6A3CE929D0E0E4736"}, {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}),
        (
            {"trace": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
            {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"},
        ),
        ({"operation": UID}, {"operation_uid": UID}),
        ({"min_ms": "0.5"}, {"min_ms": 0.5}),
        ({"error": "no way"}, {"error": "no way"}),
        ({"since": "2h", "until": "2026-11-22T11:00Z"}, {"since": NOW - timedelta(hours=2)}),
    ],
)
async def test_words_mean_calls(here: World, asked: dict[str, str], expected: dict[str, object]) -> None:
    if "until" in asked:
        expected = {**expected, "until": NOW - timedelta(hours=1)}
    assert await wanted(here.db, Asked(**asked), NOW) == CallFilter(**expected)


@pytest.mark.parametrize(
    ("param", "text", "complaint"),
    [
        ("server", "tmie", "'tmie' is not known; did you mean time?"),
        ("server", "zzz", "'zzz' is not known; there is Old one, time"),
        ("outcome", "timeuot", "'timeuot' is not known; did you mean timeout?"),
        ("user", "alcie", "'alcie' is not known; did you mean alice?"),
        ("session", "x", "'x' is no chat session; write its number or its public UUID"),
        ("session", str(2**63), f"'{2**63}' is no chat session; write its number or its public UUID"),
        ("trace", "12", "'12' is no trace; write its id of 32 hexadecimal digits, or a whole traceparent"),
        ("operation", "12", "'12' is no uid; it has 32 hexadecimal digits"),
        ("operation", "f" * 32, f"'{'f' * 32}' is no operation; its uid is that of its first call"),
        ("min_ms", "fast", "'fast' is no number of milliseconds; write 250, or 0.5"),
        ("min_ms", "nan", "'nan' is no number of milliseconds; write 250, or 0.5"),
        ("min_ms", "-1", "'-1' is no number of milliseconds; write 250, or 0.5"),
        ("min_ms", "1e300", "'1e300' is no number of milliseconds; write 250, or 0.5"),
        ("error", "", "1 to 200 characters are searched for"),
        ("error", "x" * 201, "1 to 200 characters are searched for"),
        ("since", "10 min", "'10 min' is no time; did you mean 10m?"),
        ("tool", "a\0b", "'a\\x00b' holds characters that no record has"),
        ("user", "\udce9", "'\\udce9' holds characters that no record has"),
    ],
)
async def test_words_that_mean_nothing_are_a_mistake(here: World, param: str, text: str, complaint: str) -> None:
    with pytest.raises(Mistake) as caught:
        await wanted(here.db, Asked(**{param: text}), NOW)
    assert (caught.value.param, caught.value.message) == (param, complaint)


async def test_whoever_sees_his_own_calls_alone_asks_for_no_other_users(here: World) -> None:
    own = CallFilter(user_id=here.alice.user_id)
    assert await wanted(here.db, Asked(), NOW, own=here.alice) == own
    assert await wanted(here.db, Asked(user="Alice"), NOW, own=here.alice) == own
    for other in ("bob", "nobody"):
        with pytest.raises(Mistake, match="your key is alice's and shows that user's calls"):
            await wanted(here.db, Asked(user=other), NOW, own=here.alice)


async def test_a_time_from_elsewhere_names_its_zone(here: World) -> None:
    with pytest.raises(Mistake, match="names no zone; write 2026-01-31T08:30Z"):
        await wanted(here.db, Asked(since="2026-01-31T08:30"), NOW, zoned=True)
    found = await wanted(here.db, Asked(since="2026-01-31T08:30+02:00", until="1d"), NOW, zoned=True)
    assert (found.since, found.until) == (datetime(2026, 1, 31, 6, 30, tzinfo=UTC), NOW - timedelta(days=1))


def test_numbers_places_and_uids_are_read_or_refused() -> None:
    assert number("limit", "500", 500) == 500
    for text in ("0", "501", "-1", "1.5", "", "²", "9" * 400):
        with pytest.raises(Mistake, match="is no number from 1 to 500"):
            number("limit", text, 500)
    here = Cursor(NOW, 7)
    assert (place("before", here.token), place("before", None)) == (here, None)
    with pytest.raises(Mistake, match="take the one that was told at the end of the page before"):
        place("before", "nowhere")
    assert uid("uid", UID.upper()) == UID


async def test_nothing_is_read_where_no_name_is_asked_for(engines: Engines) -> None:
    db = Database(await _settings(engines))
    await db.close()
    assert await wanted(db, Asked(outcome="ok"), NOW) == CallFilter(outcome="ok")


async def _settings(engines: Engines):
    async with made(engines["sqlite"]) as db:
        return db._settings
