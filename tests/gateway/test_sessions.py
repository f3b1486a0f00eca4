import asyncio
import gc

import pytest

from gateway.archive import KEPT_SECONDS
from gateway.errors import HTTP_STATUS, GatewayError, Kind
from gateway.sealing import Sealer
from gateway.sessions import LIFETIME, Session, Sessions
from gateway.sink import Answer
from gateway.streams import Stream
from storage.records import Caller
from storage.tasks import Tasks
from tests.support.readers import Follower, Plain
from tests.support.waiting import until

ALICE = Caller(user_id=7, user="alice")
BOB = Caller(user_id=8, user="bob")
KEY = b"k" * 32


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0
        self._count = 0

    def entropy(self, size: int) -> bytes:
        self._count += 1
        return self._count.to_bytes(size, "big")


@pytest.fixture
async def tasks():
    tasks = Tasks("test")
    yield tasks
    await tasks.close()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sessions(tasks, clock):
    return make_sessions(tasks, clock)


def make_sessions(tasks, clock, most=100, keys=(KEY,)):
    return Sessions(
        Sealer(keys, "session"),
        tasks,
        now=lambda: clock.now,
        entropy=clock.entropy,
        on_opened=lambda: None,
        on_dropped=lambda count: None,
        most=most,
    )


def lost(task):
    return Answer(b"lost")


def open_one(sessions, caller=ALICE, endpoint="time", version="2025-11-25"):
    return sessions.open(caller, endpoint, version, b'{"roots":{}}', b'{"name":"c","version":"1"}')


async def test_a_session_comes_back_from_its_id_with_what_initialize_agreed(sessions):
    session = sessions.find(open_one(sessions), ALICE, "time")
    assert session.facts.version == "2025-11-25"
    assert bytes(session.facts.capabilities) == b'{"roots":{}}'
    assert bytes(session.facts.client_info) == b'{"name":"c","version":"1"}'


async def test_initialize_keeps_nothing_in_memory(sessions):
    for _ in range(1_000):
        open_one(sessions)
    assert len(sessions) == 0


@pytest.mark.trap(4)
async def test_a_session_survives_a_restart_of_the_gateway(sessions, tasks, clock):
    token = open_one(sessions)
    assert make_sessions(tasks, clock).find(token, ALICE, "time").facts.version == "2025-11-25"


@pytest.mark.point(61)
async def test_a_session_survives_the_rotation_of_its_key_until_the_key_leaves(sessions, tasks, clock):
    token = open_one(sessions)
    rotated = make_sessions(tasks, clock, keys=(b"n" * 32, KEY))
    assert rotated.find(token, ALICE, "time").facts.version == "2025-11-25"
    assert make_sessions(tasks, clock, keys=(b"n" * 32,)).find(open_one(rotated), ALICE, "time")
    with pytest.raises(GatewayError):
        make_sessions(tasks, clock, keys=(b"n" * 32,)).find(token, ALICE, "time")


@pytest.mark.point(39)
async def test_every_wrong_session_is_answered_alike(sessions, tasks, clock):
    token = open_one(sessions)
    ended = open_one(sessions)
    sessions.end(sessions.find(ended, ALICE, "time"))
    forged = make_sessions(tasks, clock, keys=(b"x" * 32,))
    attempts = [(token, BOB, "time"), (token, ALICE, "git"), (ended, ALICE, "time"), ("nonsense", ALICE, "time")]
    attempts += [
        (open_one(forged), ALICE, "time"),
        ("", ALICE, "time"),
        ("é" * 50, ALICE, "time"),
        ("A" * 9_000, ALICE, "time"),
    ]
    answers = set()
    for wrong in attempts:
        with pytest.raises(GatewayError) as caught:
            sessions.find(*wrong)
        answers.add((caught.value.kind, caught.value.message))
    assert answers == {(Kind.SESSION_UNKNOWN, "Session not found: initialize again")}


@pytest.mark.point(39)
async def test_an_expired_session_is_unknown(sessions, clock):
    token = open_one(sessions)
    clock.now += LIFETIME + 1
    with pytest.raises(GatewayError):
        sessions.find(token, ALICE, "time")


async def test_endings_are_remembered_over_a_restart_when_they_are_restored(sessions, tasks, clock):
    token = open_one(sessions)
    session = sessions.find(token, ALICE, "time")
    sessions.end(session)
    reborn = make_sessions(tasks, clock)
    reborn.restore({session.facts.sid: session.facts.expires})
    with pytest.raises(GatewayError):
        reborn.find(token, ALICE, "time")


@pytest.mark.trap(1)
async def test_a_thousand_abandoned_sessions_return_to_nothing_after_their_time(sessions, clock):
    for _ in range(100):
        sessions.find(open_one(sessions), ALICE, "time")
    clock.now += 1_801
    assert len(sessions.sweep(1_800)) == 100
    assert len(sessions) == 0


@pytest.mark.trap(1)
async def test_no_more_sessions_are_kept_than_the_limit_and_busy_ones_stay(tasks, clock):
    sessions = make_sessions(tasks, clock, most=10)
    busy = sessions.find(open_one(sessions), ALICE, "time")
    busy.begin(b"1", lambda stream: asyncio.Event().wait(), lost)
    for _ in range(50):
        sessions.find(open_one(sessions), ALICE, "time")
    assert len(sessions) == 10
    clock.now += 10_000
    assert busy not in sessions.sweep(1_800)


async def test_capabilities_too_long_for_a_header_are_refused(sessions):
    with pytest.raises(GatewayError) as caught:
        sessions.open(ALICE, "time", "2025-11-25", b'{"x":"' + b"y" * 9_000 + b'"}', b"{}")
    assert caught.value.kind is Kind.INVALID_PARAMS


async def test_an_exchange_outlives_the_reader_that_began_it(sessions):
    session = sessions.find(open_one(sessions), ALICE, "time")
    go = asyncio.Event()

    async def work(stream: Stream) -> None:
        await go.wait()
        await stream.finish(Answer(b"done"))

    stream = session.begin(b"1", work, lost)
    reading = asyncio.get_running_loop().create_task(stream.relay(Plain()))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    go.set()
    later = Plain()
    await stream.relay(later)
    assert later.answers == [Answer(b"done")]


async def test_a_running_id_is_refused_a_second_time_and_free_after_its_end(sessions):
    session = sessions.find(open_one(sessions), ALICE, "time")
    go = asyncio.Event()
    session.begin(b"1", lambda stream: go.wait(), lost)
    with pytest.raises(GatewayError) as caught:
        session.begin(b"1", lambda stream: go.wait(), lost)
    assert caught.value.kind is Kind.INVALID_REQUEST
    go.set()
    await until(lambda: not session.busy)
    session.begin(b"1", lambda stream: go.wait(), lost)


@pytest.mark.point(14)
@pytest.mark.trap(31)
async def test_the_ids_1_and_string_1_are_two_exchanges(sessions):
    session = sessions.find(open_one(sessions), ALICE, "time")
    session.begin(b"1", lambda stream: asyncio.Event().wait(), lost)
    session.begin(b'"1"', lambda stream: asyncio.Event().wait(), lost)


@pytest.mark.parametrize(("stop", "kind"), [("cancel", Kind.CANCELLED), ("end", Kind.ABANDONED)])
async def test_the_reason_of_a_stop_reaches_the_exchange(sessions, stop, kind):
    session = sessions.find(open_one(sessions), ALICE, "time")
    heard: list[object] = []

    async def work(stream: Stream) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            heard.extend(error.args)
            raise

    session.begin(b"1", work, lost)
    await asyncio.sleep(0)
    session.cancel(b"2")
    session.cancel(b"1") if stop == "cancel" else sessions.end(session)
    await until(lambda: not session.busy)
    assert heard == [kind]


async def test_the_newest_standing_stream_wins_and_the_older_one_ends(sessions):
    session = sessions.find(open_one(sessions), ALICE, "time")
    older, reader = session.stand(), Plain()
    reading = asyncio.get_running_loop().create_task(older.relay(reader))
    await asyncio.sleep(0)
    newer = session.stand()
    async with asyncio.timeout(5):
        await reading
    assert reader.answers == [Answer(None)]
    session.leave(older)
    assert session.busy
    session.leave(newer)
    assert not session.busy


@pytest.mark.trap(28)
async def test_an_exchange_that_is_stopped_before_its_first_step_still_ends_its_stream(sessions):
    session = sessions.find(open_one(sessions), ALICE, "time")
    stream = session.begin(b"1", lambda stream: asyncio.Event().wait(), lost)
    session.cancel(b"1")
    reader = Plain()
    async with asyncio.timeout(5):
        await stream.relay(reader)
    assert reader.answers == [Answer(b"lost")]


async def test_the_session_that_is_being_used_is_never_the_one_that_makes_room(tasks, clock):
    sessions = make_sessions(tasks, clock, most=1)
    busy = sessions.find(open_one(sessions), ALICE, "time")
    busy.begin(b"1", lambda stream: asyncio.Event().wait(), lost)
    token = open_one(sessions)
    assert sessions.find(token, ALICE, "time") is sessions.find(token, ALICE, "time")


async def reading(stream, reader, after=None):
    """A task that reads; it has begun."""
    task = asyncio.get_running_loop().create_task(stream.relay(reader, after))
    await asyncio.sleep(0)
    return task


async def hang_up(task):
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def answered(sessions, session, body, frames=(b"frame",)):
    """The reader of an exchange that streamed and ended."""

    async def work(stream: Stream) -> None:
        for frame in frames:
            await stream.send(frame)
        await stream.finish(Answer(body))

    reader = Follower()
    async with asyncio.timeout(5):
        await session.begin(b"1", work, lost).relay(reader)
        await until(lambda: not session.busy)
    return reader


@pytest.mark.parametrize("version", ["2025-03-26", "2025-06-18", "2025-11-25"])
async def test_every_revision_has_event_ids_and_the_newest_alone_is_primed(sessions, version):
    session = sessions.find(open_one(sessions, version=version), ALICE, "time")
    reader = await answered(sessions, session, b"done")
    assert len(set(reader.ids)) == 2
    assert reader.first == (0 if version == "2025-11-25" else None)


async def test_event_ids_are_unique_in_the_session_over_all_its_streams_and_lives(sessions, clock):
    token = open_one(sessions)
    ids = []
    for _ in range(3):
        session = sessions.find(token, ALICE, "time")
        for body in (b"a", b"b"):
            ids += (await answered(sessions, session, body)).ids
        session.say(b"news")
        reader = Follower()
        stream = session.stand()
        await hang_up(await reading(stream, reader))
        session.leave(stream)
        ids += reader.ids
        clock.now += 2_000
        sessions.sweep(1_800)
    assert len(ids) == len(set(ids)) == 15


async def test_an_event_id_means_nothing_to_another_session(sessions):
    session, other = (sessions.find(open_one(sessions), ALICE, "time") for _ in range(2))
    reader = await answered(sessions, session, b"done")
    assert session.resume(reader.ids[0])[1] == 1
    with pytest.raises(GatewayError) as caught:
        other.resume(reader.ids[0])
    assert caught.value.kind is Kind.INVALID_REQUEST


@pytest.mark.parametrize(
    "wrong", ["nonsense", "{name}", "{name}.", "{name}.x", "{name}.9", "{name}.-1", "{name}.²", "."]
)
async def test_an_id_that_names_no_event_is_refused_and_not_as_a_lost_session(sessions, wrong):
    session = sessions.find(open_one(sessions), ALICE, "time")
    reader = await answered(sessions, session, b"done")
    with pytest.raises(GatewayError) as caught:
        session.resume(wrong.format(name=reader.ids[0].partition(".")[0]))
    assert HTTP_STATUS[caught.value.kind] == 400
    assert not session.stands


async def test_an_ended_stream_is_kept_for_its_time_and_its_standing_one_begins_anew(sessions, clock):
    session = sessions.find(open_one(sessions), ALICE, "time")
    reader, listener = await answered(sessions, session, b"done"), Follower()
    session.say(b"news")
    stream = session.stand()
    await hang_up(await reading(stream, listener))
    session.leave(stream)
    clock.now += KEPT_SECONDS - 1
    sessions.sweep(1_800)
    stream, after = session.resume(reader.ids[0])
    again = Follower()
    await stream.relay(again, after)
    assert again.answers == [b"done"]
    clock.now += KEPT_SECONDS + 1
    sessions.sweep(1_800)
    with pytest.raises(GatewayError):
        session.resume(reader.ids[0])
    stream, after = session.resume(listener.ids[0])
    session.say(b"more")
    later = Follower()
    await hang_up(await reading(stream, later, after))
    assert later.frames == [b"more"]


async def test_what_nobody_has_read_waits_for_the_next_get_and_what_was_read_for_whoever_asks(sessions):
    session = sessions.find(open_one(sessions), ALICE, "time")
    session.say(b"before")
    readers = [Follower() for _ in range(4)]
    for reader in readers[:2]:
        stream = session.stand()
        task = await reading(stream, reader)
        session.say(b"while")
        await until(lambda reader=reader: reader.frames[-1:] == [b"while"])
        await hang_up(task)
        session.leave(stream)
        session.say(b"after")
    assert readers[0].frames == [b"before", b"while"]
    assert readers[1].frames == [b"after", b"while"]
    stream, after = session.resume(readers[0].ids[0])
    await hang_up(await reading(stream, readers[2], after))
    session.leave(stream)
    assert readers[2].frames == [b"while", b"after", b"while", b"after"]
    stream = session.stand()
    await hang_up(await reading(stream, readers[3]))
    assert readers[3].frames == []


async def test_a_session_stands_while_the_newest_of_its_gets_is_read(sessions):
    session = sessions.find(open_one(sessions), ALICE, "time")
    first = session.stand()
    second = session.stand()
    session.leave(first)
    assert session.stands
    session.leave(second)
    assert not session.stands


@pytest.mark.trap(1)
async def test_a_thousand_sessions_with_streams_leave_nothing_behind(tasks, clock):
    sessions = make_sessions(tasks, clock, most=2_000)
    before = census()
    for _ in range(1_000):
        session = sessions.find(open_one(sessions), ALICE, "time")
        await answered(sessions, session, b"done")
        session.say(b"news")
    held = []
    for _ in range(500):
        session = sessions.find(open_one(sessions), ALICE, "time")
        stream = session.stand()
        held.append((session, stream, await reading(stream, Follower())))
    assert census() >= before + 3 * 1_000 + 2 * 500
    for session, stream, task in held:
        await hang_up(task)
        session.leave(stream)
    del held, session, stream, task
    await asyncio.sleep(0)  # the loop lets go of the last task
    clock.now += 1_801
    assert len(sessions.sweep(1_800)) == 1_500
    assert census() == before


async def test_a_session_that_was_busy_for_long_is_not_forgotten_the_moment_it_is_idle(sessions, clock):
    session = sessions.find(open_one(sessions), ALICE, "time")
    stream = session.stand()
    clock.now += 10_000
    session.leave(stream)
    assert sessions.sweep(1_800) == []


async def test_the_end_of_a_session_keeps_nothing_of_its_streams(sessions):
    token = open_one(sessions)
    session = sessions.find(token, ALICE, "time")
    reader = await answered(sessions, session, b"done")
    sessions.end(session)
    with pytest.raises(GatewayError):
        session.resume(reader.ids[0])


def census():
    gc.collect()
    return sum(isinstance(one, Stream | Session) for one in gc.get_objects())
