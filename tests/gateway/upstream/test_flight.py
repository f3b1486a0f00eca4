"""One piece of work that many wait for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.errors import GatewayError, Kind
from gateway.upstream.flight import Flight, first_good
from storage.tasks import Tasks


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    tasks = Tasks("test")
    yield tasks
    await tasks.close()


class Work:
    """Ends when it is told to."""

    def __init__(self) -> None:
        self.runs = 0
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> str:
        self.runs += 1
        return await self.end


async def test_a_waiter_who_leaves_takes_nobody_along(tasks: Tasks) -> None:
    work = Work()
    flight = Flight(tasks, work, "work")
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        impatient, patient = group.create_task(flight.join()), group.create_task(flight.join())
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.sleep(0)
        work.end.set_result("done")
    assert (patient.result(), impatient.cancelled(), work.runs) == ("done", True, 1)


async def test_a_failure_reaches_every_waiter_and_no_log(tasks: Tasks, caplog: pytest.LogCaptureFixture) -> None:
    work = Work()
    flight = Flight(tasks, work, "work")
    work.end.set_exception(GatewayError(Kind.SERVER_CLOSED, "gone"))
    for _ in range(2):
        with pytest.raises(GatewayError, match="gone"):
            await flight.join()
    assert caplog.records == []


async def test_whoever_waits_for_stopped_work_hears_of_it(tasks: Tasks) -> None:
    flight = Flight(tasks, Work(), "work")
    assert not await flight.landed(0)
    flight.stop()
    with pytest.raises(GatewayError) as caught:
        await flight.join()
    assert caught.value.kind is Kind.DRAINING


async def test_the_first_success_wins_and_stops_the_others(tasks: Tasks) -> None:
    slow, failing, good = Work(), Work(), Work()
    flights = [Flight(tasks, work, "work") for work in (slow, failing, good)]
    failing.end.set_exception(GatewayError(Kind.SERVER_CLOSED, "gone"))
    good.end.set_result("good")
    async with asyncio.timeout(5):
        assert await first_good(*flights) == "good"
        assert await flights[0].landed(5)
    assert slow.end.cancelled()


async def test_when_all_fail_the_last_failure_is_told(tasks: Tasks) -> None:
    first, last = Work(), Work()
    flights = [Flight(tasks, work, "work") for work in (first, last)]
    first.end.set_exception(GatewayError(Kind.SERVER_CLOSED, "first"))
    assert await flights[0].landed(5)
    last.end.set_exception(GatewayError(Kind.SERVER_CLOSED, "last"))
    async with asyncio.timeout(5):
        with pytest.raises(GatewayError, match="last"):
            await first_good(*flights)


async def test_of_two_successes_at_once_the_first_named_counts(tasks: Tasks) -> None:
    first, second = Work(), Work()
    flights = [Flight(tasks, work, "work") for work in (first, second)]
    second.end.set_result("second")
    first.end.set_result("first")
    assert await flights[0].landed(5)
    assert await flights[1].landed(5)
    assert await first_good(*flights) == "first"
