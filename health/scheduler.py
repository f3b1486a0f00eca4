"""The schedule: which server is probed at which moment, and by whom nobody is probed twice at once.

Which question: when does the next probe of this server run? Touches the clock, the event loop and the probes. The rule:
whatever a probe does, the schedule goes on: it may hang, raise or be cancelled, and each of these is an observation or
nothing, but never the end of a job.

APScheduler says when; whether a probe starts, and how it ends, is decided here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from health.plan import Plan, changes, first_delay, next_slot, urgent_delay
from health.probe import Observation, Step
from storage.tasks import Tasks

log = logging.getLogger(__name__)

_LENIENCE = 1.1
"""A probe keeps its own time and knows what it waited for, so it gets the first word; this is for one that forgets."""

_CLOCK_CHECK = 5.0
"""Seconds between two looks for turns that a clock set back has moved out of reach."""

_JOB_DEFAULTS = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}


class Watcher(Protocol):
    """Who is told; `health.monitor.Monitor` is the real one."""

    async def observed(self, plan: Plan, observation: Observation, seconds: float) -> bool:
        """A probe ended after `seconds`; whether another one should follow soon."""

    def expected(self, server_id: int, next_us: int | None) -> None:
        """The next probe is due at `next_us`, microseconds since the Unix epoch; None: no probe is planned."""


class Scheduler:
    """Probes every planned server at its interval, and sooner when evidence asks for it."""

    def __init__(self, watcher: Watcher, clock_check: float = _CLOCK_CHECK) -> None:
        self._watcher = watcher
        self._clock_check = clock_check
        self._clock_timer: asyncio.TimerHandle | None = None
        self._tasks = Tasks("probes")
        self._running: dict[asyncio.Task[None], int] = {}
        self._watches: dict[int, _Watch] = {}
        self._jobs = AsyncIOScheduler(jobstores={"default": MemoryJobStore()}, job_defaults=_JOB_DEFAULTS, timezone=UTC)

    def __repr__(self) -> str:
        return f"<Scheduler: {len(self._watches)} servers, {len(self._running)} probes running>"

    def start(self) -> None:
        """Begin, in the running event loop."""
        self._jobs.start()
        self._check_clock()

    def set(self, plans: Iterable[Plan]) -> None:
        """Probe these servers from now on, and no others. New servers and those with a new target are probed within
        seconds; a server whose target is the same keeps its turn.
        """
        plans = tuple(plans)
        found = changes({server_id: watch.plan for server_id, watch in self._watches.items()}, plans)
        for server_id in found.removed:
            self._drop(server_id)
        fresh = (*found.added, *found.retargeted)
        for plan in fresh:
            self._add(plan, first_delay(plan.server_id, len(fresh), plan.settings.interval))
        for plan in plans:
            if (watch := self._watches.get(plan.server_id)) is not None:
                watch.plan = plan
        for plan in found.retimed:
            self._retime(self._watches[plan.server_id])

    def urge(self, server_id: int) -> None:
        """Bring the server's next probe forward; a server without a plan is left alone."""
        if (watch := self._watches.get(server_id)) is None:
            return
        soon = _now() + timedelta(seconds=urgent_delay(asyncio.get_running_loop().time(), watch.begun))
        if watch.job.next_run_time > soon:
            watch.job.modify(next_run_time=soon)
            self._announce(server_id, watch)

    def evidence(self, server_id: int, *, failed: bool) -> None:
        """A call to the server ended. Failures in a row urge a probe; they never change the server's state."""
        if (watch := self._watches.get(server_id)) is None:
            return
        watch.failures = watch.failures + 1 if failed else 0
        if watch.failures >= watch.plan.settings.urgent_after:
            watch.failures = 0
            self.urge(server_id)

    async def close(self, grace: float = 5.0) -> None:
        """Stop: no probe starts any more, running ones are cancelled and get `grace` seconds to close what they
        opened.
        """
        if self._clock_timer is not None:
            self._clock_timer.cancel()
        if self._jobs.running:
            self._jobs.shutdown(wait=False)
        self._watches.clear()
        for task in self._running:
            task.cancel()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=grace)
            for task in late:
                log.warning("%s did not stop within %g s", task.get_name(), grace)
        await asyncio.sleep(0)  # APScheduler ends in a callback of its own

    def _add(self, plan: Plan, delay: float) -> None:
        self._drop(plan.server_id)
        job = self._jobs.add_job(
            self._fire,
            _Turn(plan.server_id, plan.settings.interval),
            args=[plan.server_id],
            name=plan.slug,
            next_run_time=_now() + timedelta(seconds=delay),
        )
        watch = self._watches[plan.server_id] = _Watch(plan, job)
        self._announce(plan.server_id, watch)

    def _drop(self, server_id: int) -> None:
        """Forget the server and cancel its probe, which may still need a moment to end."""
        if (watch := self._watches.pop(server_id, None)) is None:
            return
        watch.job.remove()
        self._watcher.expected(server_id, None)
        if watch.task is not None:
            watch.task.cancel()

    def _check_clock(self) -> None:
        """APScheduler goes by the time of day: set back by an hour, it would let an hour pass without a probe. No turn
        is ever two intervals away (`health.plan.next_slot`) but for that.
        """
        now = _now()
        for watch in self._watches.values():
            if watch.job.next_run_time > now + timedelta(seconds=2 * watch.plan.settings.interval):
                log.warning("the clock was set back: %s is probed at another time", watch.plan.slug)
                self._retime(watch)
        self._clock_timer = asyncio.get_running_loop().call_later(self._clock_check, self._check_clock)

    def _retime(self, watch: _Watch) -> None:
        watch.job.reschedule(_Turn(watch.plan.server_id, watch.plan.settings.interval))
        self._announce(watch.plan.server_id, watch)

    async def _fire(self, server_id: int) -> None:
        watch = self._watches.get(server_id)
        if watch is None or watch.busy:
            return
        watch.begun = asyncio.get_running_loop().time()
        closing = tuple(task for task, of in self._running.items() if of == server_id)
        watch.task = self._tasks.spawn(self._run(watch, closing), watch.plan.slug)
        self._running[watch.task] = server_id
        watch.task.add_done_callback(self._running.pop)
        self._announce(server_id, watch)

    async def _run(self, watch: _Watch, closing: tuple[asyncio.Task[None], ...]) -> None:
        """Probe once, after probes of a former plan have closed what they opened."""
        if closing:
            await asyncio.wait(closing)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        observation = await _observe(watch.plan)
        if self._watches.get(watch.plan.server_id) is not watch:
            return  # the answer of a target that we have left
        if await self._watcher.observed(watch.plan, observation, loop.time() - begun):
            self.urge(watch.plan.server_id)

    def _announce(self, server_id: int, watch: _Watch) -> None:
        self._watcher.expected(server_id, round(watch.job.next_run_time.timestamp() * 1_000_000))


@dataclass(slots=True)
class _Watch:
    """One planned server: its job, its last probe and when that began, and failed calls in a row."""

    plan: Plan
    job: Any
    task: asyncio.Task[None] | None = None
    begun: float | None = None
    failures: int = 0

    @property
    def busy(self) -> bool:
        return self.task is not None and not self.task.done()


class _Turn(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Fires when the server's turn in the interval comes (`health.plan.next_slot`)."""

    def __init__(self, server_id: int, interval: float) -> None:
        self._server_id = server_id
        self._interval = interval

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        previous = None if previous_fire_time is None else previous_fire_time.timestamp()
        return datetime.fromtimestamp(next_slot(self._server_id, self._interval, now.timestamp(), previous), UTC)


async def _observe(plan: Plan) -> Observation:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    try:
        async with asyncio.timeout(plan.settings.timeout * _LENIENCE):
            return await plan.probe()
    except TimeoutError:
        reason, detail = "timeout", f"no result within {plan.settings.timeout:g} s"
    except Exception as error:  # the job must live on, whatever the probe got wrong
        log.exception("the probe of %s failed by itself", plan.slug)
        reason, detail = "internal", f"the probe failed by itself: {type(error).__name__}"
    latency_us = round((loop.time() - begun) * 1_000_000)
    return Observation(ok=False, step=Step.CONNECT, latency_us=latency_us, reason=reason, detail=detail)


def _now() -> datetime:
    return datetime.now(UTC)
