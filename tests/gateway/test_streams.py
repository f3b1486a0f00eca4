"""Streams of sessions: their numbers, their bounds, and clients that lose them and come back."""

import asyncio

import pytest

from gateway.archive import Archive
from gateway.errors import GatewayError, Kind
from gateway.sink import Answer
from gateway.streams import RING_BYTES, RING_FRAMES, Stream
from tests.support.readers import Follower, Plain
from tests.support.waiting import until


@pytest.fixture
def archive():
    return Archive(lambda: 0.0, lambda size: b"\x01" * size)


@pytest.fixture
def dropped():
    return []


@pytest.fixture
def make(archive, dropped):
    folder = archive.folder()
    return lambda **more: Stream(folder, **{"primed": True, "on_dropped": dropped.append, **more})


def start(work):
    return asyncio.get_running_loop().create_task(within(work))


async def within(work):
    async with asyncio.timeout(20):
        return await work


async def hang_up(task):
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


async def test_events_are_numbered_from_one_and_the_answer_is_the_last(make):
    stream, reader = make(), Follower()
    await stream.send(b"a")
    await stream.send(b"b")
    await stream.finish(Answer(b"done"))
    await within(stream.relay(reader))
    assert (reader.first, reader.frames, reader.answers) == (0, [b"a", b"b"], [b"done"])
    assert reader.ids == ["01010101-1.1", "01010101-1.2", "01010101-1.3"]


@pytest.mark.parametrize(
    ("after", "frames", "answers"),
    [(0, [b"a", b"b"], [b"done"]), (1, [b"b"], [b"done"]), (2, [], [b"done"]), (3, [], [None])],
)
async def test_a_client_that_comes_back_gets_what_follows_the_event_that_it_names(make, after, frames, answers):
    stream = make()
    for frame in (b"a", b"b"):
        await stream.send(frame)
    await stream.finish(Answer(b"done"))
    await within(stream.relay(Follower()))
    again = Follower()
    await within(stream.relay(again, after))
    assert (again.first, again.frames, again.answers) == (after, frames, answers)


async def test_a_client_that_lost_the_connection_goes_on_live_from_where_it_was(make):
    stream, lost, back = make(), Follower(), Follower()
    reading = start(stream.relay(lost))
    await stream.send(b"a")
    await until(lambda: lost.frames)
    await hang_up(reading)
    await stream.send(b"b")
    reading = start(stream.relay(back, 0))
    await until(lambda: back.frames == [b"a", b"b"])
    await stream.send(b"c")
    await stream.finish(Answer(b"done"))
    await reading
    assert (back.frames, back.answers) == ([b"a", b"b", b"c"], [b"done"])
    assert back.ids[0] == lost.ids[0]


async def test_an_answer_that_broke_off_is_given_again(make):
    class Breaking(Follower):
        async def conclude(self, number, answer):
            raise GatewayError(Kind.ABANDONED, "the client stopped reading its stream")

    stream, back = make(), Follower()
    await stream.send(b"a")
    await stream.finish(Answer(b"done"))
    breaking = Breaking()
    with pytest.raises(GatewayError):
        await within(stream.relay(breaking))
    await within(stream.relay(back, 1))
    assert back.answers == [b"done"]


async def test_the_newest_of_two_readers_wins_and_gets_what_the_older_did_not_take(make):
    stream, older, newer = make(), Follower(), Follower()
    older.gate.clear()
    first = start(stream.relay(older))
    await stream.send(b"a")
    await settle()
    second = start(stream.relay(newer))
    await until(lambda: newer.frames == [b"a"])
    older.gate.set()
    await first
    await stream.finish(Answer(b"done"))
    await second
    assert (older.answers, newer.answers) == ([None], [b"done"])


async def test_a_pause_sends_a_client_away_that_knows_how_to_come_back(make):
    stream, reader, back = make(), Follower(), Follower()
    await stream.send(b"a")
    reading = start(stream.relay(reader))
    await until(lambda: reader.frames)
    stream.pause(1_500)
    await reading
    assert reader.parted == [(reader.ids[0], 1_500)]
    assert reader.answers == []
    reading = start(stream.relay(back, 1))
    await settle()
    assert not reading.done()
    await stream.finish(Answer(b"done"))
    await reading
    assert back.answers == [b"done"]


@pytest.mark.parametrize(
    ("primed", "reader"), [(False, Follower()), (True, Follower(takes_stream=False)), (True, Plain())]
)
async def test_a_pause_leaves_any_other_client_waiting(make, primed, reader):
    stream = make(primed=primed)
    reading = start(stream.relay(reader))
    await settle()
    stream.pause(1)
    await settle()
    assert not reading.done()
    await stream.finish(Answer(b"done"))
    await reading
    assert getattr(reader, "parted", []) == []


async def test_a_pause_that_is_over_sends_nobody_away(make):
    stream, reader = make(), Follower()
    stream.pause(1)
    await stream.send(b"a")
    await stream.finish(Answer(b"done"))
    await within(stream.relay(reader))
    assert (reader.parted, reader.answers) == ([], [b"done"])


async def test_a_stream_whose_client_never_saw_an_id_is_not_kept(make, archive):
    stream = make()
    await stream.send(b"a")
    await stream.finish(Answer(b"done"))
    await within(stream.relay(Plain()))
    assert len(archive) == 0


async def test_an_ended_stream_is_kept_once_its_client_saw_an_id(make, archive):
    stream = make()
    await stream.send(b"a")
    reading = start(stream.relay(Follower()))
    await settle()
    assert len(archive) == 0
    await stream.finish(Answer(b"done"))
    await reading
    assert (len(archive), archive.size) == (1, 5)


@pytest.mark.point(19)
async def test_nothing_comes_after_the_answer(make):
    stream, reader = make(), Follower()
    await stream.finish(Answer(b"first"))
    await stream.finish(Answer(b"second"))
    await stream.send(b"late")
    await within(stream.relay(reader))
    assert (reader.frames, reader.answers) == ([], [b"first"])


@pytest.mark.trap(18)
async def test_a_slow_reader_makes_its_writer_wait_and_memory_stay_bounded(make):
    stream, reader = make(), Follower()
    reader.gate.clear()
    reading = start(stream.relay(reader))
    await settle()
    sent = 0

    async def write() -> None:
        nonlocal sent
        for number in range(3 * RING_FRAMES):
            await stream.send(b"%d" % number)
            sent += 1
        await stream.finish(Answer(b"end"))

    writing = start(write())
    for _ in range(4 * RING_FRAMES):
        await asyncio.sleep(0)
    assert sent <= RING_FRAMES + 1
    reader.gate.set()
    await asyncio.gather(reading, writing)
    assert reader.frames == [b"%d" % number for number in range(3 * RING_FRAMES)]
    assert reader.answers == [b"end"]


@pytest.mark.trap(18)
async def test_a_writer_that_waits_goes_on_when_its_reader_leaves(make, dropped):
    stream, reader = make(), Follower()
    reader.gate.clear()
    reading = start(stream.relay(reader))
    await settle()
    for number in range(RING_FRAMES):
        await stream.send(b"%d" % number)
    writing = start(stream.send(b"one more"))
    await settle()
    assert not writing.done()
    await hang_up(reading)
    await writing
    assert sum(dropped) == 1


@pytest.mark.trap(18)
@pytest.mark.parametrize("frame", [b"x", b"x" * (RING_BYTES // 10)])
async def test_without_a_reader_the_oldest_frames_are_dropped_and_counted(make, dropped, frame):
    stream, reader = make(), Follower()
    for _ in range(RING_FRAMES + 10):
        await stream.send(frame)
    assert stream.size <= RING_BYTES
    await stream.finish(Answer(b"end"))
    await within(stream.relay(reader))
    assert sum(dropped) == RING_FRAMES + 10 - len(reader.frames)
    assert reader.ids[0].endswith(f".{sum(dropped) + 1}")


@pytest.mark.trap(18)
async def test_what_was_read_makes_room_without_a_word_and_cannot_be_had_again(make, dropped):
    stream, reader, back = make(), Follower(), Follower()
    reading = start(stream.relay(reader))
    for number in range(2 * RING_FRAMES):
        await stream.send(b"%d" % number)
        await until(lambda number=number: len(reader.frames) > number)
    await stream.finish(Answer(b"end"))
    await reading
    assert dropped == []
    await within(stream.relay(back, 0))
    assert back.frames == [b"%d" % number for number in range(RING_FRAMES, 2 * RING_FRAMES)]
    assert back.answers == [b"end"]


async def test_what_was_said_to_nobody_makes_room_for_what_is_newer(make, dropped):
    stream, reader = make(standing=True), Follower()
    for number in range(RING_FRAMES + 1):
        stream.put(b"%d" % number)
    reading = start(stream.relay(reader))
    await until(lambda: len(reader.frames) == RING_FRAMES)
    assert (reader.frames[0], sum(dropped)) == (b"1", 1)
    stream.dismiss()
    await reading
    assert reader.answers == [None]
