import time

from storage import client_sessions

DAY = 86_400


async def test_an_end_is_remembered_until_the_id_expires(database):
    soon, late = time.time() - 1, time.time() + DAY
    await client_sessions.end(database, "a" * 32, 1, late)
    await client_sessions.end(database, "b" * 32, 1, soon)
    found = await client_sessions.ended(database)
    assert list(found) == ["a" * 32]
    assert abs(found["a" * 32] - late) < 0.001


async def test_an_end_can_be_told_twice(database):
    for _ in range(2):
        await client_sessions.end(database, "c" * 32, 1, time.time() + DAY)
    assert list(await client_sessions.ended(database)) == ["c" * 32]
