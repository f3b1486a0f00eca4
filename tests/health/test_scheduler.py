"""The schedule with real timers: intervals of hundredths of a second, and probes that misbehave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest

from health.plan import Plan
from health.probe import Observation, Probe, Step
from health.scheduler import Scheduler
from health.settings import HealthSettings

GOOD = Observation(ok=True, step=Step.LIST, latency_us=1)
HOUR = 3600.0


class Ledger:
    """A watcher that writes everything down and can be waited for."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Observation]] = []
        self.next: dict[int, float | None] = {}
        self.soon = False
        self._written = asyncio.Event()

    async def observed(self, plan: Plan, observation: Observation, seconds: float) -> bool:
        assert seconds >= 0
        self.seen.append((plan.slug, observation))
        self._written.set()
        return self.soon

    def expected(self, server_id: int, next_us: int | None) -> None:
        self.next[server_id] = None if next_us is None else next_us / 1e6 - time.time()

    def count(self, slug: str) -> int:
        return sum(name == slug for name, _ in self.seen)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not true():
                self._written.clear()
                await self._written.wait()


class Target:
    """A server to probe: counts how many probes are inside it, and holds them until it is let go."""

    def __init__(self, *, held: bool = False) -> None:
        self.inside = self.most = self.begun = self.cancelled = 0
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        if not held:
            self.open.set()

    async def probe(self) -> Observation:
        self.begun += 1
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.entered.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.inside -= 1
        return GOOD


def plan(server_id: int, probe: Probe, *, interval: float = 0.02, timeout: float = 5.0, **facts: object) -> Plan:
    settings = HealthSettings().model_copy(update={"interval": interval, "timeout": timeout})
    return Plan(server_id, f"s{server_id}", settings=settings, probe=probe, **{"revision": b"1"} | facts)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
async def scheduler(ledger: Ledger) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(ledger)
    scheduler.start()
    yield scheduler
    await scheduler.close()


async def test_every_server_is_probed_again_and_again(scheduler: Scheduler, ledger: Ledger) -> None:
    scheduler.set([plan(1, Target().probe), plan(2, Target().probe)])
    await ledger.until(lambda: min(ledger.count("s1"), ledger.count("s2")) >= 3)
    assert all(observation is GOOD for _, observation in ledger.seen)


async def test_a_probe_that_hangs_ends_as_a_timeout_and_the_next_one_runs(scheduler: Scheduler, ledger: Ledger) -> None:
    target = Target(held=True)
    scheduler.set([plan(1, target.probe, timeout=0.02)])
    await ledger.until(lambda: ledger.count("s1") >= 2)
    _, observation = ledger.seen[0]
    assert (observation.ok, observation.reason) == (False, "timeout")
    assert observation.detail == "no result within 0.02 s"
    assert observation.latency_us >= 19_000
    assert target.cancelled >= 2


async def test_a_probe_that_keeps_its_own_time_has_the_first_word(scheduler: Scheduler, ledger: Ledger) -> None:
    async def punctual() -> Observation:
        try:
            async with asyncio.timeout(0.2):
                return await asyncio.Future()
        except TimeoutError:
            return Observation(ok=False, step=Step.LIST, latency_us=1, reason="timeout", detail="tools/list")

    scheduler.set([plan(1, punctual, timeout=0.2)])
    await ledger.until(lambda: ledger.count("s1") == 1)
    assert ledger.seen[0][1].detail == "tools/list"


async def test_a_probe_that_raises_is_an_observation_and_the_job_lives_on(
    scheduler: Scheduler, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> Observation:
        raise ZeroDivisionError("Authorization: Bearer hunter2")

    scheduler.set([plan(1, broken)])
    await ledger.until(lambda: ledger.count("s1") >= 2)
    _, observation = ledger.seen[0]
    assert (observation.ok, observation.reason) == (False, "internal")
    assert observation.detail == "the probe failed by itself: ZeroDivisionError"
    assert "the probe of s1 failed by itself" in caplog.text


async def test_a_server_is_never_probed_twice_at_once(scheduler: Scheduler, ledger: Ledger) -> None:
    slow, quick = Target(held=True), Target()
    scheduler.set([plan(1, slow.probe), plan(2, quick.probe)])
    await ledger.until(lambda: slow.begun == 1 and ledger.count("s2") >= 5)
    scheduler.urge(1)
    await ledger.until(lambda: ledger.count("s2") >= 10)
    assert (slow.begun, slow.inside) == (1, 1)
    slow.open.set()
    await ledger.until(lambda: ledger.count("s1") >= 2)
    assert slow.most == 1


async def test_the_probe_of_a_server_that_left_is_cancelled_and_counts_no_more(
    scheduler: Scheduler, ledger: Ledger
) -> None:
    left, stays = Target(held=True), Target()
    scheduler.set([plan(1, left.probe), plan(2, stays.probe)])
    await left.entered.wait()
    scheduler.set([plan(2, stays.probe)])
    await ledger.until(lambda: left.cancelled == 1 and ledger.count("s2") >= 3)
    assert ledger.count("s1") == 0
    assert ledger.next[1] is None


async def test_a_server_under_maintenance_is_not_probed(scheduler: Scheduler, ledger: Ledger) -> None:
    paused, other = Target(), Target()
    scheduler.set([plan(1, paused.probe, maintenance=True), plan(2, other.probe)])
    await ledger.until(lambda: ledger.count("s2") >= 3)
    assert paused.begun == 0


async def test_a_server_that_comes_back_waits_until_its_former_probe_has_ended(
    scheduler: Scheduler, ledger: Ledger
) -> None:
    closing, closed = asyncio.Event(), asyncio.Event()
    inside = most = 0

    async def probe() -> Observation:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        try:
            if not closed.is_set():
                await asyncio.Future()
        finally:
            closing.set()
            await closed.wait()
            inside -= 1
        return GOOD

    other = Target()
    scheduler.set([plan(1, probe), plan(2, other.probe)])
    await ledger.until(lambda: inside == 1 and ledger.count("s2") >= 1)
    scheduler.set([plan(2, other.probe)])
    await closing.wait()
    scheduler.set([plan(1, probe), plan(2, other.probe)])
    seen = ledger.count("s2")
    await ledger.until(lambda: ledger.count("s2") >= seen + 5)
    assert (inside, ledger.count("s1")) == (1, 0)
    closed.set()
    await ledger.until(lambda: ledger.count("s1") >= 1)
    assert most == 1


async def test_a_new_target_is_probed_at_once_but_only_after_the_old_probe_has_ended(
    scheduler: Scheduler, ledger: Ledger
) -> None:
    order: list[str] = []
    entered = asyncio.Event()

    async def old() -> Observation:
        entered.set()
        try:
            return await asyncio.Future()
        finally:
            await asyncio.sleep(0)
            order.append("old closed")

    async def new() -> Observation:
        order.append("new begun")
        return GOOD

    scheduler.set([plan(1, old, interval=HOUR)])
    await entered.wait()
    scheduler.set([plan(1, new, interval=HOUR, revision=b"2")])
    await ledger.until(lambda: ledger.count("s1") == 1)
    assert order == ["old closed", "new begun"]


async def test_the_newest_probe_is_used_even_when_nothing_else_changed(scheduler: Scheduler, ledger: Ledger) -> None:
    first, second = Target(), Target()
    scheduler.set([plan(1, first.probe)])
    await ledger.until(lambda: first.begun >= 1)
    scheduler.set([plan(1, second.probe)])
    await ledger.until(lambda: second.begun >= 1)


async def test_a_shorter_interval_takes_effect_without_waiting_for_the_longer_one(
    scheduler: Scheduler, ledger: Ledger
) -> None:
    target = Target()
    scheduler.set([plan(1, target.probe, interval=HOUR)])
    await ledger.until(lambda: ledger.count("s1") == 1)
    scheduler.set([plan(1, target.probe)])
    await ledger.until(lambda: ledger.count("s1") >= 3)


async def test_the_watcher_hears_when_the_next_probe_is_due(scheduler: Scheduler, ledger: Ledger) -> None:
    scheduler.set([plan(1, Target().probe, interval=HOUR)])
    assert ledger.next[1] == pytest.approx(0, abs=0.5)
    await ledger.until(lambda: ledger.count("s1") == 1)
    assert HOUR / 2 - 1 <= ledger.next[1] <= HOUR * 1.5


async def test_urging_brings_the_next_probe_forward_but_keeps_a_second_between_two(
    scheduler: Scheduler, ledger: Ledger
) -> None:
    moments: list[float] = []

    async def probe() -> Observation:
        moments.append(asyncio.get_running_loop().time())
        return GOOD

    scheduler.set([plan(1, probe, interval=HOUR)])
    await ledger.until(lambda: ledger.count("s1") == 1)
    for _ in range(20):
        scheduler.urge(1)
    await ledger.until(lambda: ledger.count("s1") == 2)
    assert moments[1] - moments[0] >= 0.99
    assert ledger.next[1] > HOUR / 4


async def test_urging_never_puts_a_probe_off(scheduler: Scheduler, ledger: Ledger) -> None:
    target = Target()
    scheduler.set([plan(1, target.probe)])
    await ledger.until(lambda: ledger.count("s1") >= 1)
    before = ledger.count("s1")
    for _ in range(50):
        scheduler.urge(1)
    await ledger.until(lambda: ledger.count("s1") >= before + 3)


async def test_a_verdict_that_is_awaited_brings_the_next_probe_forward(scheduler: Scheduler, ledger: Ledger) -> None:
    ledger.soon = True
    scheduler.set([plan(1, Target().probe, interval=HOUR)])
    await ledger.until(lambda: ledger.count("s1") == 1)
    await asyncio.sleep(0)
    assert ledger.next[1] <= 1.0


async def test_failed_calls_in_a_row_urge_a_probe_and_a_good_one_starts_the_count_again(
    scheduler: Scheduler, ledger: Ledger
) -> None:
    scheduler.set([plan(1, Target().probe, interval=HOUR)])
    await ledger.until(lambda: ledger.count("s1") == 1)
    for failed in (True, True, False, True, True):
        scheduler.evidence(1, failed=failed)
    assert ledger.next[1] > HOUR / 4
    scheduler.evidence(1, failed=True)
    assert ledger.next[1] <= 1.0
    assert ledger.count("s1") == 1


async def test_evidence_about_a_server_without_a_plan_is_ignored(scheduler: Scheduler, ledger: Ledger) -> None:
    scheduler.evidence(9, failed=True)
    scheduler.urge(9)
    assert ledger.next == {}


async def test_closing_cancels_running_probes_and_waits_until_they_closed_what_they_opened(ledger: Ledger) -> None:
    scheduler, target = Scheduler(ledger), Target(held=True)
    scheduler.start()
    scheduler.set([plan(1, target.probe)])
    await target.entered.wait()
    await scheduler.close()
    assert (target.inside, target.cancelled) == (0, 1)
    assert ledger.seen == []
    await scheduler.close()


async def test_closing_ends_within_its_grace_although_a_probe_will_not_stop(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    entered, release, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def stubborn() -> Observation:
        entered.set()
        try:
            await release.wait()
        except asyncio.CancelledError:
            await release.wait()
        ended.set()
        return GOOD

    scheduler = Scheduler(ledger)
    scheduler.start()
    scheduler.set([plan(1, stubborn)])
    await entered.wait()
    async with asyncio.timeout(2):
        await scheduler.close(grace=0.05)
    assert "probes:s1 did not stop within 0.05 s" in caplog.text
    release.set()
    await ended.wait()


async def test_a_blocked_loop_is_followed_by_one_probe_and_not_by_all_that_were_missed(
    scheduler: Scheduler, ledger: Ledger
) -> None:
    target = Target()
    scheduler.set([plan(1, target.probe, interval=0.1)])
    await ledger.until(lambda: ledger.count("s1") >= 1)
    before = ledger.count("s1")
    _block(0.5)
    await ledger.until(lambda: ledger.count("s1") > before)
    assert ledger.count("s1") == before + 1


def _block(seconds: float) -> None:
    time.sleep(seconds)


async def test_a_clock_that_was_set_back_by_an_hour_keeps_no_server_from_its_probe(ledger: Ledger) -> None:
    """For the schedule it is the same whether the clock goes back or the turn goes forward."""
    scheduler = Scheduler(ledger, clock_check=0.02)
    scheduler.start()
    try:
        scheduler.set([plan(1, Target().probe, interval=0.5)])
        await ledger.until(lambda: ledger.count("s1") == 1)
        job = scheduler._watches[1].job
        job.modify(next_run_time=job.next_run_time + timedelta(hours=1))
        await ledger.until(lambda: ledger.count("s1") >= 2)
    finally:
        await scheduler.close()


async def test_turns_stay_as_they_are_while_the_clock_goes_its_way(ledger: Ledger) -> None:
    scheduler = Scheduler(ledger, clock_check=0.01)
    scheduler.start()
    try:
        scheduler.set([plan(1, Target().probe, interval=HOUR), plan(2, Target().probe, interval=0.05)])
        await ledger.until(lambda: ledger.count("s1") == 1)
        turn = scheduler._watches[1].job.next_run_time
        await ledger.until(lambda: ledger.count("s2") >= 4)
        assert scheduler._watches[1].job.next_run_time == turn
    finally:
        await scheduler.close()
