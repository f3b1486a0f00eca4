"""What of a call may leave memory, and where it is worked on."""

from __future__ import annotations

import threading

import pytest

from storage.database import Database
from storage.keeping import BIG_BYTES, Keeping
from storage.payloads import Kept, Omission
from storage.records import Caller, Outcome
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


@pytest.fixture
def here() -> World:
    caller = Caller(user_id=1, user="alice")
    return World(Database.__new__(Database), caller, caller, 1)


async def kept(here: World, request: bytes, **settings: object) -> Kept:
    return (await Keeping(RecordingSettings(**settings), Redaction()).opening(here.started(request=request)))[1]


async def test_big_payloads_are_worked_on_in_a_thread_and_small_ones_at_once(here: World) -> None:
    redaction = Redaction()
    keeping = Keeping(RecordingSettings(), redaction)
    for request in (b'"small"', b'"big' + b"x" * BIG_BYTES + b'"'):
        await keeping.opening(here.started(request=request))
    (small, first), (big, second) = redaction.seen
    assert (small, big) == (b'"small"', b'"bigxxxx')
    assert first == threading.get_ident() != second


@pytest.mark.trap(58)
async def test_no_part_of_a_record_keeps_a_secret(here: World) -> None:
    keeping = Keeping(RecordingSettings(), Redaction())
    call = here.started(request=b'"a secret"', target="the secret")
    started, request = await keeping.opening(call)
    end = here.finished(call, response=b'"my secret"', outcome=Outcome.TOOL_ERROR, error_message="no secret")
    finished, response = await keeping.ending(end, started)
    assert (started.request, request.text, started.target) == (b"", b'"a hidden"', "the hidden")
    assert response is not None
    assert (finished.response, response.text, finished.error_message) == (None, b'"my hidden"', "no hidden")


async def test_the_cap_cuts_the_text_and_neither_its_size_nor_its_hash(here: World) -> None:
    whole, cut = await kept(here, b'"0123456789"'), await kept(here, b'"0123456789"', payload_bytes=4)
    assert (cut.text, cut.total_bytes, cut.sha256) == (b'"012', 12, whole.sha256)


async def test_a_payload_that_cannot_be_redacted_is_not_kept(here: World, caplog: pytest.LogCaptureFixture) -> None:
    call = here.started(request=b'"bad secret"')
    _, request = await Keeping(RecordingSettings(), Redaction()).opening(call)
    assert request == Kept(b"", 12, b"", Omission.UNREDACTED)
    assert call.call_uid in caplog.text
    assert "bad secret" not in caplog.text


async def test_redaction_can_be_switched_off(here: World) -> None:
    assert (await kept(here, b'"a secret"', redact=False)).text == b'"a secret"'
