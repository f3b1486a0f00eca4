import asyncio
import gc
import logging

import pytest

from storage.tasks import Tasks


@pytest.mark.trap(67)
async def test_a_task_that_nobody_else_refers_to_runs_to_its_end():
    tasks, go, done = Tasks("test"), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await go.wait()
        done.set()

    tasks.spawn(work(), "work")
    await asyncio.sleep(0)
    gc.collect()
    go.set()
    async with asyncio.timeout(5):
        await done.wait()


@pytest.mark.trap(67)
async def test_close_awaits_every_task_and_what_it_does_at_its_end():
    tasks, ended = Tasks("test"), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    tasks.spawn(work(), "work")
    await asyncio.sleep(0)
    await tasks.close()
    assert ended == [True]
    assert len(tasks) == 0


async def test_close_gives_tasks_their_grace_before_it_cancels():
    tasks, go = Tasks("test"), asyncio.Event()

    async def work() -> str:
        await go.wait()
        return "finished"

    task = tasks.spawn(work(), "work")
    asyncio.get_running_loop().call_soon(go.set)
    await tasks.close(grace=5)
    assert task.result() == "finished"


@pytest.mark.trap(67)
async def test_a_failure_is_logged_once_with_its_owner_and_leaves_the_others_alone(caplog):
    tasks, go = Tasks("prober"), asyncio.Event()

    async def fail() -> None:
        raise ValueError("no such thing")

    other = tasks.spawn(go.wait(), "other")
    failing = tasks.spawn(fail(), "failing")
    with caplog.at_level(logging.ERROR):
        await asyncio.wait([failing])
        await asyncio.sleep(0)
    assert [record.message for record in caplog.records] == ["background task prober:failing failed"]
    assert not other.done()
    await tasks.close()


async def test_a_cancelled_task_is_no_failure(caplog):
    tasks = Tasks("test")
    tasks.spawn(asyncio.Event().wait(), "waiting")
    await tasks.close()
    assert not caplog.records
