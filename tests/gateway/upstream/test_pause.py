"""Clocks that stand still."""

from __future__ import annotations

import asyncio

import pytest

from gateway.upstream.pause import Deadline, Pause, Silence


class Recorded:
    """What a clock was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def stop(self) -> None:
        self.told.append("stop")

    def go(self) -> None:
        self.told.append("go")


def test_clocks_stop_at_the_first_hold_and_go_at_the_last_resume() -> None:
    pause, clock = Pause(), Recorded()
    with pause.around(clock):
        for verb in (pause.hold, pause.hold, pause.resume):
            verb()
        assert (clock.told, pause.held) == (["stop"], True)
        pause.resume()
        assert (clock.told, pause.held) == (["stop", "go"], False)
    pause.hold()
    assert clock.told == ["stop", "go"]


def test_a_clock_that_joins_late_stops_at_once_and_goes_when_it_parts() -> None:
    pause, clock = Pause(), Recorded()
    pause.hold()
    with pause.around(clock):
        assert clock.told == ["stop"]
    assert clock.told == ["stop", "go"]
    pause.part(clock)
    assert clock.told == ["stop", "go"]


async def test_silence_is_counted_anew_after_each_stop() -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10) as clock:
        await asyncio.sleep(0)
        silence = Silence(clock, 5)
        silence.stop()
        assert clock.when() is None
        silence.go()
        assert clock.when() == pytest.approx(loop.time() + 5, abs=0.1)
        Silence(clock, None).go()
        assert clock.when() is None


async def test_silence_that_is_over_cannot_be_stopped() -> None:
    async def late() -> None:
        async with asyncio.timeout(0) as clock:
            try:
                await asyncio.sleep(1)
            finally:
                Silence(clock, 5).stop()

    with pytest.raises(TimeoutError):
        await late()


async def test_a_deadline_moves_by_its_stops_as_far_as_its_allowance_goes() -> None:
    loop = asyncio.get_running_loop()
    deadline = Deadline(10, 0.05)
    begun = loop.time()
    deadline.stop()
    assert deadline.at == pytest.approx(begun + 10.05, abs=0.02)
    await asyncio.sleep(0.1)
    deadline.go()
    assert deadline.at == pytest.approx(begun + 10.05, abs=0.02)
    deadline.stop()
    assert (deadline.at, deadline.stopped) == (pytest.approx(begun + 10.05, abs=0.02), True)


async def test_a_step_that_is_under_way_feels_the_stop() -> None:
    deadline = Deadline(0.05, 10)
    loop = asyncio.get_running_loop()
    loop.call_later(0.01, deadline.stop)
    loop.call_later(0.1, deadline.go)
    begun = loop.time()
    with pytest.raises(TimeoutError):
        await deadline.meet(asyncio.Event().wait())
    assert 0.12 <= loop.time() - begun < 5


async def test_no_end_is_no_end() -> None:
    deadline = Deadline(None, 1)
    deadline.stop()
    deadline.go()
    assert deadline.at is None
    assert await deadline.meet(asyncio.sleep(0, "done")) == "done"
