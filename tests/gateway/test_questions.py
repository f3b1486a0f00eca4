"""Questions go out once, under ids of ours, and each gets one answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gateway import questions
from gateway.errors import GatewayError, Kind
from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.questions import MOST_OPEN, Questions
from storage.tasks import Tasks


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    owned = Tasks("test")
    yield owned
    await owned.close()


class Reader:
    """A stream whose frames a test reads."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def send(self, frame: bytes) -> None:
        self.frames.put_nowait(msgspec.json.decode(frame))

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            return await self.frames.get()


def response(id: str, body: bytes = b'{"action":"accept"}') -> Message:
    return Message(MessageKind.RESULT, jsonrpc.text(id), body=Raw(body))


async def test_the_answer_of_the_client_is_what_the_asker_gets(tasks: Tasks) -> None:
    asked, reader = Questions("a"), Reader()
    asking = tasks.spawn(asked.ask(reader, "elicitation/create", Raw(b'{"message":"who?","n":1.10}')), "ask")
    frame = await reader.next()
    assert (frame["method"], frame["params"]) == ("elicitation/create", {"message": "who?", "n": 1.10})
    assert asked.answered(response(frame["id"], b'{"action":"accept","content":{"n":1.10}}'))
    answer = await asking
    assert answer.body == Raw(b'{"action":"accept","content":{"n":1.10}}')
    assert len(asked) == 0


async def test_an_error_of_the_client_is_an_answer_as_well(tasks: Tasks) -> None:
    asked, reader = Questions("a"), Reader()
    asking = tasks.spawn(asked.ask(reader, "sampling/createMessage", None), "ask")
    frame = await reader.next()
    assert asked.answered(
        Message(MessageKind.ERROR, jsonrpc.text(frame["id"]), body=Raw(b'{"code":-1,"message":"no"}'))
    )
    request = Message(MessageKind.REQUEST, Raw(b'"s-7"'), "sampling/createMessage")
    reply = questions.reply(request, await asking)
    assert reply == b'{"jsonrpc":"2.0","id":"s-7","error":{"code":-1,"message":"no"}}'


async def test_an_answer_to_nothing_and_a_second_answer_are_ignored(tasks: Tasks) -> None:
    asked, reader = Questions("a"), Reader()
    assert not asked.answered(response("a-1"))
    asking = tasks.spawn(asked.ask(reader, "roots/list", None), "ask")
    frame = await reader.next()
    assert asked.answered(response(frame["id"], b"{}"))
    assert not asked.answered(response(frame["id"], b'{"roots":[]}'))
    assert (await asking).body == Raw(b"{}")
    assert not asked.answered(response(frame["id"]))


async def test_a_question_that_nobody_waits_for_is_called_off(tasks: Tasks) -> None:
    asked, reader = Questions("a"), Reader()
    asking = tasks.spawn(asked.ask(reader, "elicitation/create", None), "ask")
    frame = await reader.next()
    asking.cancel()
    called_off = await reader.next()
    assert called_off["method"] == "notifications/cancelled"
    assert called_off["params"]["requestId"] == frame["id"]
    assert len(asked) == 0


async def test_progress_of_the_client_carries_the_token_that_the_server_gave(tasks: Tasks) -> None:
    asked, reader = Questions("a"), Reader()
    told: asyncio.Queue[Raw] = asyncio.Queue()

    async def tell(params: Raw) -> None:
        told.put_nowait(params)

    params = Raw(b'{"_meta":{"progressToken":7,"x":1},"message":"?"}')
    asking = tasks.spawn(asked.ask(reader, "elicitation/create", params, tell), "ask")
    frame = await reader.next()
    ours = frame["params"]["_meta"]["progressToken"]
    assert ours != 7
    assert frame["params"]["_meta"]["x"] == 1
    await asked.progressed(Raw(b'{"progressToken":"other","progress":1}'))
    await asked.progressed(Raw(msgspec.json.encode({"progressToken": ours, "progress": 2})))
    assert msgspec.json.decode(told.get_nowait()) == {"progressToken": 7, "progress": 2}
    assert told.empty()
    asked.answered(response(frame["id"]))
    await asking


async def test_a_client_has_a_bounded_number_of_questions_before_it(tasks: Tasks) -> None:
    asked, reader = Questions("a"), Reader()
    asking = [tasks.spawn(asked.ask(reader, "ping", None), "ask") for _ in range(MOST_OPEN)]
    frames = [await reader.next() for _ in asking]
    with pytest.raises(GatewayError) as refused:
        await asked.ask(reader, "ping", None)
    assert refused.value.kind is Kind.BUSY
    assert len({frame["id"] for frame in frames}) == MOST_OPEN
    for frame in frames:
        asked.answered(response(frame["id"]))
    await asyncio.gather(*asking)
