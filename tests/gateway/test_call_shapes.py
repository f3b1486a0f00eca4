"""Recorded calls as JSON."""

from __future__ import annotations

import json

import pytest

from gateway.call_shapes import Side, brief, json_text, request_of, response_of, whole, with_payloads
from storage.call_details import CallDetail, chat_of, find
from storage.call_filters import CallFilter
from storage.calls import page
from tests.support.engines import Engines, made
from tests.support.recording import RESPONSE, World, running, world


@pytest.fixture
async def here(engines: Engines) -> World:
    async with made(engines["sqlite"], migrated=True) as db:
        yield await world(db)


async def recorded(here: World, *, settings: dict[str, object] | None = None, **changes: object) -> CallDetail:
    async with running(here.db, **(settings or {})) as writer:
        call = await here.record(writer, **changes)
    found = await find(here.db, call.call_uid)
    assert found is not None
    return found


async def test_exact_bytes_are_told_where_they_are_kept(here: World) -> None:
    call = await recorded(here, request=b'{"a": 1.10, "b":\n"\\u00e9"}', settings={"exact": "always"})
    assert request_of(call) == Side(b'{"a": 1.10, "b":\n"\\u00e9"}', 26)
    assert b'"json":{"a": 1.10, "b":"\\u00e9"}' in json_text(with_payloads(call))


async def test_the_json_column_is_told_otherwise(here: World) -> None:
    call = await recorded(here)
    assert response_of(call) == Side(RESPONSE, len(RESPONSE))
    assert json.loads(json_text(with_payloads(call)))["response"]["complete"] is True


async def test_what_was_cut_says_how_much_is_missing(here: World) -> None:
    settings = {"payload_bytes": 100, "inline_bytes": 1_024}
    call = await recorded(here, request=b'{"a":"%s"}' % (b"x" * 500), settings=settings)
    side = request_of(call)
    assert (side.missing, side.total) == (408, 508)
    told = json.loads(json_text(with_payloads(call)))["request"]
    assert (told["bytes"], told["complete"], len(told["text"])) == (508, False, 100)


async def test_what_was_not_kept_says_why(here: World) -> None:
    settings = {"payload_bytes": 0}
    call = await recorded(here, settings=settings)
    assert request_of(call).omitted == "size"
    told = json.loads(json_text(with_payloads(call)))["request"]
    assert told == {"bytes": request_of(call).total, "complete": False, "omitted": "size"}


async def test_a_payload_that_merely_speaks_of_omissions_is_a_payload(here: World) -> None:
    call = await recorded(here, request=b'{"$omitted":{"deep":1}}', settings={"exact": "never"})
    assert request_of(call).text == b'{"$omitted":{"deep":1}}'


async def test_a_call_without_an_answer_has_none(here: World) -> None:
    call = await recorded(here, end={"response": None})
    assert response_of(call) is None
    assert json.loads(json_text(with_payloads(call)))["response"] is None


async def test_everything_is_one_line_of_json(here: World) -> None:
    call = await recorded(here)
    [row] = (await page(here.db, CallFilter(), limit=1)).rows
    text = json_text(whole(call, await chat_of(here.db, row), [row]))
    told = json.loads(text)
    assert b"\n" not in text
    assert told["rounds"] == [brief(row)]
    assert told["chat"]["kind"] == "mcp"
    assert told["started_at"].endswith("+00:00")
