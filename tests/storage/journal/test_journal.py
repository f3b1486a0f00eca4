"""A journal takes frames, keeps its promises of room, and gives everything back."""

from __future__ import annotations

import os
import random
import resource
import signal
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from storage.errors import JournalFailed, JournalFull, JournalUnusable
from storage.journal import bodies
from storage.journal.bodies import Ended, Opened
from storage.journal.folder import Abandoned, abandoned
from storage.journal.frames import Frame, Type
from storage.journal.journal import END_BYTES, Journal, bare
from tests.storage.journal.support import Disk, ended, journal, opened


def everything(of: Journal) -> list[Opened | Ended]:
    found, after = [], 0
    while frames := of.read(after, 10_000):
        for frame in frames:
            is_end = frame.type is Type.FINISHED
            found.append(bodies.ended(frame.body) if is_end else bodies.opened(frame.body))
        after = frames[-1].number
    return found


def filled(here: Journal, size: int) -> list[Opened]:
    """As many calls as it takes."""
    calls = list[Opened]()
    with suppress(JournalFull):
        while True:
            call = opened(size)
            here.started(call)
            calls.append(call)
    return calls


def test_frames_come_back_in_order_over_many_segments(tmp_path: Path) -> None:
    here, calls = journal(tmp_path), [opened(2_000) for _ in range(60)]
    told = [*(here.started(call) for call in calls), *(here.finished(ended(call, 3_000)) for call in calls)]
    assert told == list(range(1, 121))
    assert everything(here) == [*calls, *(ended(call, 3_000) for call in calls)]
    assert len(list(here.path.glob("*.seg"))) > 3


def test_its_folder_and_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    here = journal(tmp_path / "records")
    paths = [here.path.parent, here.path, *here.path.iterdir()]
    assert [stat.S_IMODE(path.stat().st_mode) for path in paths] == [0o700, 0o700, *[0o600] * (len(paths) - 2)]


def test_a_large_frame_has_a_segment_of_its_size(tmp_path: Path) -> None:
    here, call = journal(tmp_path), opened(300_000)
    here.started(call)
    here.finished(ended(call, 400_000))
    assert everything(here) == [call, ended(call, 400_000)]


class TestRoom:
    def test_a_full_journal_refuses_new_calls_and_takes_every_end(self, tmp_path: Path) -> None:
        here = journal(tmp_path)
        calls = filled(here, 900)
        with pytest.raises(JournalFull, match=r"recording\.journal\.bytes"):
            here.started(opened(900))
        assert len(calls) > 50
        for call in calls:
            here.finished(ended(call, 900, error_message="é" * 9_000))
        ends = [part for part in everything(here) if isinstance(part, Ended)]
        assert [end.finished.call_uid for end in ends] == [call.started.call_uid for call in calls]
        assert here.size <= 1 << 20

    def test_whatever_is_begun_can_be_ended(self, tmp_path: Path) -> None:
        luck = random.Random(7)
        for number in range(8):
            here, under_way, done = journal(tmp_path / str(number)), list[Opened](), 0
            for _ in range(600):
                if under_way and luck.random() < 0.45:
                    call = under_way.pop(luck.randrange(len(under_way)))
                    here.finished(ended(call, luck.choice((10, 5_000, 70_000))))
                    done += 1
                    continue
                try:
                    call = opened(luck.choice((10, 2_000, 40_000)))
                    here.started(call)
                    under_way.append(call)
                except JournalFull:
                    pass
            for call in under_way:
                here.finished(ended(call, 70_000))
            ends = [part for part in everything(here) if isinstance(part, Ended)]
            assert len(ends) == done + len(under_way)
            here.close()

    def test_what_is_in_the_database_makes_room_in_its_time(self, tmp_path: Path) -> None:
        clock = [0.0]
        here = journal(tmp_path, keep_committed=600, now=lambda: clock[0])
        for _ in range(100):
            call = opened(1_000)
            here.started(call)
            here.finished(ended(call, 1_000))
        files, here_now = len(list(here.path.glob("*.seg"))), here.last
        here.applied(here_now)
        assert len(list(here.path.glob("*.seg"))) == files
        clock[0] = 601.0
        here.applied(here_now)
        assert len(list(here.path.glob("*.seg"))) < files

    def test_room_that_is_needed_is_made_before_its_time(self, tmp_path: Path) -> None:
        here = journal(tmp_path, keep_committed=600)
        for _ in range(2_000):
            call = opened(1_000)
            here.started(call)
            here.applied(here.finished(ended(call, 1_000)))
        assert here.size <= 1 << 20

    def test_a_call_that_stays_open_is_carried_over(self, tmp_path: Path) -> None:
        here, long = journal(tmp_path, keep_committed=0), opened(5_000)
        here.started(long)
        for _ in range(500):
            call = opened(1_000)
            here.started(call)
            here.applied(here.finished(ended(call, 1_000)))
        here.finished(ended(long))
        assert len(list(here.path.glob("*.seg"))) <= 3
        found = everything(here)
        assert long in found
        assert found[-1] == ended(long)


class TestADisk:
    @pytest.mark.trap(56)
    @pytest.mark.parametrize("left", [0, 1, 17, 30, 300])
    def test_that_takes_half_a_frame_has_none_of_it(self, tmp_path: Path, left: int) -> None:
        disk = Disk()
        here, first = journal(tmp_path, write=disk), opened()
        here.started(first)
        disk.left = left
        with pytest.raises(JournalFailed, match="takes no frames: No space left"):
            here.started(opened())
        assert here.trouble is not None
        disk.left = None
        second = opened()
        here.started(second)
        assert here.trouble is None
        assert everything(here) == [first, second]

    @pytest.mark.trap(56)
    def test_without_room_for_another_segment_refuses_calls_and_takes_their_ends(self, tmp_path: Path) -> None:
        here = journal(tmp_path, bytes=1 << 30)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((1 << 16) - 1, before[1]))  # a segment would be larger
        try:
            calls = filled(here, 1_000)
            with pytest.raises(JournalFull, match="there is no room for the journal"):
                here.started(opened(1_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        for call in calls:
            here.finished(ended(call, 9_000))
        assert len(everything(here)) == 2 * len(calls) > 0

    def test_that_does_not_keep_what_it_took_has_the_frame_in_another_place(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here, calls = journal(tmp_path, fsync="call"), [opened() for _ in range(3)]
        here.started(calls[0])
        fails = [OSError(5, "Input/output error")]
        real = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", lambda file: _raise(fails.pop()) if fails else real(file))
        here.started(calls[1])
        assert not fails
        here.started(calls[2])
        here.finished(ended(calls[0]))
        assert everything(here) == [*calls, ended(calls[0])]
        fails += [OSError(5, "Input/output error") for _ in here.path.iterdir()]
        with pytest.raises(JournalFailed, match="Input/output error"):
            here.started(opened())

    @pytest.mark.trap(56)
    @pytest.mark.parametrize("segment_bytes", [1 << 16, 1 << 24])
    def test_that_was_full_takes_calls_again_once_they_are_in_the_database(
        self, tmp_path: Path, segment_bytes: int
    ) -> None:
        here = journal(tmp_path, bytes=1 << 20, segment_bytes=segment_bytes)
        for _ in range(5):
            calls = filled(here, 1_000)
            for call in calls:
                here.finished(ended(call, 9_000))
            here.applied(here.last)
            assert len(calls) > 50
        assert here.size <= 1 << 20

    def test_that_cannot_be_used_is_named_with_what_to_do(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(JournalUnusable, match=r"cannot be journalled in .*file.*recording\.journal\.path"):
            journal(tmp_path / "file")


def _raise(error: OSError) -> None:
    raise error


PROGRAM = """
import sys
from contextlib import suppress
from pathlib import Path
from tests.storage.journal.support import ended, journal, opened

here = journal(Path(sys.argv[1]), bytes=1 << 28, fsync="off")
while True:
    call = opened(500)
    number = here.started(call)
    print(number, flush=True)
    print(here.finished(ended(call)), flush=True)
"""


@pytest.mark.trap(49)
def test_a_process_that_is_killed_leaves_all_that_was_taken(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    told = [int(child.stdout.readline()) for _ in range(3_000)][-1]
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    [found] = abandoned(tmp_path)
    numbers, after = list[int](), 0
    while frames := found.read(after, 100_000):
        numbers += [frame.number for frame in frames]
        after = frames[-1].number
    found.remove()
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= told
    assert found.damaged == 0
    assert list(tmp_path.iterdir()) == []


def test_an_end_without_its_payload_fits_into_what_is_set_aside(tmp_path: Path) -> None:
    long = ended(opened(), 9_000, error_message="\U0001f600" * 9_000, reason="r" * 9_000)
    assert len(bodies.encode(bare(long))) < END_BYTES - 64


def test_one_that_cannot_be_read_keeps_none_back_and_is_taken_once_it_can(tmp_path: Path) -> None:
    for _ in range(2):
        here = journal(tmp_path)
        here.started(opened())
        here.close()
    first, second = sorted(tmp_path.glob("?" * 16))
    unreadable = first / "ffffffffffffffff.seg"
    unreadable.mkdir()
    for _ in range(2):
        found = list(abandoned(tmp_path))
        assert [each.path for each in found] == [second]
        found[0].release()
    unreadable.rmdir()
    assert [each.path for each in abandoned(tmp_path)] == [first, second]


def test_damage_where_a_reading_stops_is_told_once(tmp_path: Path) -> None:
    here = journal(tmp_path)
    calls = [opened(500) for _ in range(3)]
    for call in calls:
        here.started(call)
    here.close()
    segment = min(here.path.glob("*.seg"))
    text = segment.read_bytes()
    segment.write_bytes(text.replace(b"q" * 500, b"Q" * 500, 2).replace(b"Q" * 500, b"q" * 500, 1))
    (left,) = abandoned(tmp_path)
    first = left.read(0, 1)
    second = left.read(first[-1].number, 1)
    assert [frame.number for frame in (*first, *second)] == [1, 3]
    assert left.damaged == 1


@pytest.mark.parametrize("where", ["header", "last frame"])
def test_damage_in_an_earlier_segment_costs_its_own_frame_alone_and_is_counted(tmp_path: Path, where: str) -> None:
    here, calls = journal(tmp_path), [opened(20_000) for _ in range(9)]
    for call in calls:
        here.started(call)
    first, here_last = min(here.path.glob("*.seg")), here._segments[0].end
    here.close()
    text = bytearray(first.read_bytes())
    text[5 if where == "header" else here_last - 10] ^= 1
    first.write_bytes(text)
    (found,) = abandoned(tmp_path)
    numbers = [frame.number for frame in frames_of(found)]
    found.release()
    lost = 0 if where == "header" else 1
    assert (len(numbers), found.damaged) == (9 - lost, 1)
    assert len(list(found.path.glob("quarantine/*"))) == 1


def frames_of(found: Abandoned) -> list[Frame]:
    frames = list[Frame]()
    while some := found.read(frames[-1].number if frames else 0, 30_000):
        frames += some
    return frames


def test_every_cut_of_the_last_frame_costs_that_one_alone(tmp_path: Path) -> None:
    here, calls = journal(tmp_path), [opened(40) for _ in range(3)]
    for call in calls:
        here.started(call)
    segment, end, last = min(here.path.glob("*.seg")), here._segments[0].end, here._open[calls[-1].started.call_uid]
    here.close()
    whole = segment.read_bytes()
    for cut in range(last.at, end):
        if not whole[cut:end].strip(b"\0"):
            continue  # nothing is missing
        segment.write_bytes(whole[:cut] + bytes(len(whole) - cut))
        (found,) = abandoned(tmp_path)
        assert [frame.number for frame in frames_of(found)] == [1, 2]
        assert found.damaged == 0
        found.release()
