"""What is kept of streams that nobody reads: how long, how many, and how much."""

import pytest

from gateway.archive import ARCHIVE_BYTES, FOLDER_BYTES, FOLDER_STREAMS, KEPT_SECONDS, Archive
from gateway.sink import Answer
from gateway.streams import Stream
from tests.support.readers import Follower


class Clock:
    now = 1_000.0


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def archive(clock):
    count = iter(range(1, 1_000_000))
    return Archive(lambda: clock.now, lambda size: next(count).to_bytes(size, "big"))


async def ended(folder, body=b"done"):
    """A stream that ended, and the id of its first event."""
    stream, reader = Stream(folder, primed=True, on_dropped=lambda count: None), Follower()
    await stream.send(b"{}")
    await stream.finish(Answer(body))
    await stream.relay(reader)
    return stream, reader.ids[0]


async def test_a_stream_is_kept_for_its_time_and_then_nothing_is_left_of_it(archive, clock):
    folder = archive.folder()
    stream, first = await ended(folder)
    clock.now += KEPT_SECONDS - 1
    archive.sweep()
    assert folder.find(first) == (stream, 1)
    clock.now += 1
    archive.sweep()
    assert folder.find(first) is None
    assert (len(archive), archive.size, len(folder), stream.size) == (0, 0, 0, 0)


async def test_the_time_begins_anew_when_a_reader_leaves(archive, clock):
    folder = archive.folder()
    stream, first = await ended(folder)
    clock.now += KEPT_SECONDS - 1
    await stream.relay(Follower(), 0)
    clock.now += KEPT_SECONDS - 1
    archive.sweep()
    assert folder.find(first) == (stream, 1)


@pytest.mark.trap(1)
async def test_a_session_keeps_so_many_streams_and_its_newest(archive):
    folder = archive.folder()
    ids = [(await ended(folder))[1] for _ in range(FOLDER_STREAMS + 5)]
    assert [folder.find(one) is not None for one in ids] == [False] * 5 + [True] * FOLDER_STREAMS
    assert len(archive) == len(folder) == FOLDER_STREAMS


@pytest.mark.trap(1)
async def test_a_session_keeps_so_many_bytes_and_other_sessions_are_not_touched(archive):
    folder, other = archive.folder(), archive.folder()
    _, elsewhere = await ended(other)
    body = b"x" * (FOLDER_BYTES // 4)
    ids = [(await ended(folder, body))[1] for _ in range(8)]
    assert [folder.find(one) is not None for one in ids] == [False] * 5 + [True] * 3
    assert archive.size <= FOLDER_BYTES + 100
    assert other.find(elsewhere) is not None


@pytest.mark.trap(1)
async def test_a_worker_keeps_so_many_bytes_and_the_oldest_go_first(archive):
    body = b"x" * (FOLDER_BYTES - 100)
    folders = [archive.folder() for _ in range(ARCHIVE_BYTES // FOLDER_BYTES + 2)]
    ids = [(await ended(folder, body))[1] for folder in folders]
    assert archive.size <= ARCHIVE_BYTES
    found = [folder.find(one) is not None for folder, one in zip(folders, ids, strict=True)]
    assert found == sorted(found)
    assert found.count(False) == 2


@pytest.mark.trap(1)
async def test_what_grows_while_it_is_kept_is_counted(archive):
    folder = archive.folder()
    standing = Stream(folder, primed=True, on_dropped=lambda count: None, standing=True)
    for _ in range(3):
        standing.put(b"x" * 10)
    assert (len(archive), archive.size) == (1, 30)


async def test_a_folder_that_is_closed_keeps_nothing_and_gives_back_what_it_held(archive):
    folder = archive.folder()
    _, first = await ended(folder)
    Stream(folder, primed=True, on_dropped=lambda count: None, standing=True).put(b"news")
    folder.close()
    assert (len(archive), archive.size, folder.find(first)) == (0, 0, None)
    _, late = await ended(folder)
    assert (len(archive), folder.find(late)) == (0, None)
