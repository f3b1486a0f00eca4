"""Where and when payloads are worked on."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

from storage.batch import Batch, Entry, Frame, batch_of
from storage.database import Database
from storage.preparation import BIG_BYTES, BREATH_BYTES, Preparation
from storage.records import Caller
from storage.settings import RecordingSettings
from tests.support.recording import World


class Redaction:
    """Notes who works on what."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, int]] = []

    def redact(self, text: bytes) -> bytes:
        self.seen.append((text[:8], threading.get_ident()))
        if text.startswith(b'"bad'):
            raise ValueError("no good")
        return text.replace(b"secret", b"hidden")

    def redact_text(self, text: str) -> str:
        return text.replace("secret", "hidden")


def batch(here: World, *requests: bytes) -> Batch:
    entries = [Entry(here.started(request=request), seq, 0) for seq, request in enumerate(requests, 1)]
    return batch_of([Frame(entry.seq, 0.0, entry, False, 0) for entry in entries], 0, 0)


@pytest.fixture
def here() -> World:
    caller = Caller(user_id=1, user="alice")
    return World(Database.__new__(Database), caller, caller, 1)


def data(made: Batch) -> list[bytes]:
    return [item.entry.request.data for item in made.items if item.entry.request is not None]


async def test_big_payloads_are_worked_on_in_a_thread_and_small_ones_at_once(here: World) -> None:
    redaction = Redaction()
    made = batch(here, b'"small"', b'"big' + b"x" * BIG_BYTES + b'"')
    await Preparation(RecordingSettings(), redaction).prepare(made)
    (small, first), (big, second) = redaction.seen
    assert (small, big) == (b'"small"', b'"bigxxxx')
    assert first == threading.get_ident() != second


async def test_the_event_loop_has_its_turn_between_many_small_ones(here: World) -> None:
    redaction, turns = Redaction(), list[int]()
    made = batch(here, *[b'"' + b"x" * (BREATH_BYTES // 4) + b'"'] * 40)

    async def breathe() -> None:
        while len(redaction.seen) < 40:
            turns.append(len(redaction.seen))
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(breathe())
        group.create_task(Preparation(RecordingSettings(), redaction).prepare(made))
    assert len(set(turns)) >= 8


async def test_what_is_ready_is_not_worked_on_again(here: World) -> None:
    redaction = Redaction()
    preparation, made = Preparation(RecordingSettings(), redaction), batch(here, b'"a secret"')
    await preparation.prepare(made)
    await preparation.prepare(made)
    assert (len(redaction.seen), data(made)) == (1, [b'"a hidden"'])


async def test_a_payload_that_cannot_be_redacted_is_not_kept(here: World, caplog: pytest.LogCaptureFixture) -> None:
    made = batch(here, b'"bad secret"', b'"good"')
    await Preparation(RecordingSettings(), Redaction()).prepare(made)
    assert [json.loads(text) for text in data(made)] == [{"$omitted": "unredacted", "bytes": 12}, "good"]
    assert made.items[0].entry.started.call_uid in caplog.text
    assert "bad secret" not in caplog.text


async def test_redaction_can_be_switched_off(here: World) -> None:
    redaction, made = Redaction(), batch(here, b'"a secret"')
    preparation = Preparation(RecordingSettings(redact=False), redaction)
    await preparation.prepare(made)
    assert (redaction.seen, data(made), preparation.words("secret")) == ([], [b'"a secret"'], "secret")
