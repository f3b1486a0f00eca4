"""When payloads are made ready."""

from __future__ import annotations

import asyncio

from storage.batch import Batch, Entry, Frame, batch_of
from storage.database import Database
from storage.payloads import kept
from storage.preparation import BREATH_BYTES, Preparation
from storage.records import Caller
from storage.settings import RecordingSettings
from tests.support.recording import World


def batch(*requests: bytes) -> Batch:
    caller = Caller(user_id=1, user="alice")
    here = World(Database.__new__(Database), caller, caller, 1)
    entries = [Entry(here.started(), kept(text, 1_000_000), seq, 0) for seq, text in enumerate(requests, 1)]
    return batch_of([Frame(entry.seq, 0.0, entry, False, 0) for entry in entries], 0, 0)


async def test_the_event_loop_has_its_turn_between_many_small_ones() -> None:
    made, turns = batch(*[b'"' + b"x" * (BREATH_BYTES // 4) + b'"'] * 40), list[int]()

    def ready() -> int:
        return sum(item.entry.request is not None for item in made.items)

    async def breathe() -> None:
        while (done := ready()) < 40:
            turns.append(done)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(breathe())
        group.create_task(Preparation(RecordingSettings()).prepare(made))
    assert len(set(turns)) >= 8


async def test_what_is_ready_is_not_worked_on_again() -> None:
    preparation, made = Preparation(RecordingSettings()), batch(b'"a"')
    await preparation.prepare(made)
    first = made.items[0].entry.request
    await preparation.prepare(made)
    assert made.items[0].entry.request is first is not None
