import asyncio

import pytest

from gateway.errors import GatewayError, Kind
from gateway.sealing import Sealer
from gateway.sessions import LIFETIME, RING_FRAMES, Sessions, Stream
from gateway.sink import Answer
from storage.records import Caller
from storage.tasks import Tasks
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


class Reader:
    """A sink that keeps what it is given; `gate` makes it slow."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.answers: list[Answer] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, frame: bytes) -> None:
        await self.gate.wait()
        self.frames.append(frame)

    async def finish(self, answer: Answer) -> None:
        self.answers.append(answer)


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


def open_one(sessions, caller=ALICE, endpoint="time"):
    return sessions.open(caller, endpoint, "2025-11-25", b'{"roots":{}}', b'{"name":"c","version":"1"}')


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
    reading = asyncio.get_running_loop().create_task(stream.relay(Reader()))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    go.set()
    later = Reader()
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


@pytest.mark.trap(18)
async def test_a_slow_reader_makes_its_writer_wait_and_memory_stay_bounded(sessions):
    stream = Stream(lambda count: None)
    reader = Reader()
    reader.gate.clear()
    loop = asyncio.get_running_loop()
    reading = loop.create_task(stream.relay(reader))
    await asyncio.sleep(0)
    sent = 0

    async def write() -> None:
        nonlocal sent
        for number in range(3 * RING_FRAMES):
            await stream.send(b"%d" % number)
            sent += 1
        await stream.finish(Answer(b"end"))

    writing = loop.create_task(write())
    for _ in range(4 * RING_FRAMES):
        await asyncio.sleep(0)
    assert sent <= RING_FRAMES + 1
    reader.gate.set()
    async with asyncio.timeout(5):
        await asyncio.gather(reading, writing)
    assert reader.frames == [b"%d" % number for number in range(3 * RING_FRAMES)]
    assert reader.answers == [Answer(b"end")]


@pytest.mark.trap(18)
async def test_without_a_reader_the_oldest_frames_are_dropped_and_counted():
    dropped = []
    stream = Stream(dropped.append)
    for number in range(RING_FRAMES + 10):
        await stream.send(b"%d" % number)
    await stream.finish(Answer(b"end"))
    reader = Reader()
    await stream.relay(reader)
    assert len(dropped) == 10
    assert reader.frames[0] == b"10"
    assert len(reader.frames) == RING_FRAMES


async def test_the_newest_standing_stream_wins_and_the_older_one_ends(sessions):
    session = sessions.find(open_one(sessions), ALICE, "time")
    older, reader = session.stand(), Reader()
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
    reader = Reader()
    async with asyncio.timeout(5):
        await stream.relay(reader)
    assert reader.answers == [Answer(b"lost")]


async def test_the_session_that_is_being_used_is_never_the_one_that_makes_room(tasks, clock):
    sessions = make_sessions(tasks, clock, most=1)
    busy = sessions.find(open_one(sessions), ALICE, "time")
    busy.begin(b"1", lambda stream: asyncio.Event().wait(), lost)
    token = open_one(sessions)
    assert sessions.find(token, ALICE, "time") is sessions.find(token, ALICE, "time")
