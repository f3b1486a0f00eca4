"""Clients of sessions that lose a stream and come back for it, over real sockets."""

import asyncio
import hashlib
import json
from contextlib import asynccontextmanager

import pytest

from gateway.access import KeyRing
from gateway.errors import GatewayError, Kind
from gateway.routing import AGGREGATE
from storage.records import Caller, Outcome
from tests.support.doors import LEGACY, LOCAL, house
from tests.support.waiting import until

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "time__now", "arguments": {}}}
LOG = b'{"level":"info","data":"%d"}'


@asynccontextmanager
async def talking(version=LEGACY):
    """A house whose server says one log message and then what the test makes it say; the session's id."""
    async with house() as h:
        h.servers["time"].behaviour = lambda call, relay: relay.notify("notifications/message", LOG % 1)
        yield h, await h.initialize(version=version)


def versioned(version):
    return {"MCP-Protocol-Version": version}


async def call(h, session, version=LEGACY):
    return await h.legacy(CALL, session=session, headers=versioned(version))


async def get(h, session, last=None, version=LEGACY):
    headers = {"Mcp-Session-Id": session, "Accept": "text/event-stream", **versioned(version)}
    return await h.client.get("/mcp", headers=headers | ({} if last is None else {"Last-Event-ID": last}))


async def event(answer):
    """The fields of the next event, comments left out."""
    while True:
        async with asyncio.timeout(20):
            block = (await answer.content.readuntil(b"\n\n")).decode()
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if fields:
            return fields


def named(method):
    return b'{"jsonrpc":"2.0","method":"%s"}' % method.encode()


def method(event):
    return json.loads(event["data"])["method"]


async def initialize(h, headers):
    params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
    return (await h.legacy(message, headers=headers)).headers["Mcp-Session-Id"]


def end(h):
    h.servers["time"].relays[-1].result(b'{"content":[]}')


@pytest.mark.point(41)
async def test_a_stream_of_the_newest_revision_begins_with_an_id_and_every_event_has_its_own():
    async with talking() as (h, session):
        answer = await call(h, session)
        primer, first = await event(answer), await event(answer)
        end(h)
        last = await event(answer)
        assert primer["data"] == ""
        assert "event" not in primer
        stream = primer["id"].partition(".")[0]
        assert [one["id"] for one in (primer, first, last)] == [f"{stream}.{number}" for number in range(3)]
        assert json.loads(last["data"])["id"] == 1
        assert await answer.content.read() == b""


@pytest.mark.parametrize("version", ["2025-03-26", "2025-06-18"])
async def test_older_revisions_get_ids_and_never_an_event_without_data(version):
    async with talking(version) as (h, session):
        answer = await call(h, session, version)
        first = await event(answer)
        end(h)
        last = await event(answer)
        assert [one["id"].partition(".")[2] for one in (first, last)] == ["1", "2"]
        assert all(json.loads(one["data"]) for one in (first, last))
        standing = await get(h, session, version=version)
        h.sessions.find(session, LOCAL, AGGREGATE).say(named("x"))
        assert "x" in (await event(standing))["data"]


async def test_who_has_no_session_gets_no_ids():
    async with talking() as (h, _):
        modern = await h.modern("tools/call", CALL["params"], meta={"io.modelcontextprotocol/logLevel": "debug"})
        alone = await h.legacy(CALL)
        for answer in (modern, alone):
            assert "id" not in await event(answer)


async def test_an_answer_that_comes_first_is_plain_json():
    async with talking() as (h, session):
        h.servers["time"].behaviour = lambda call, relay: relay.result(b'{"content":[]}')
        answer = await call(h, session)
        assert answer.content_type == "application/json"
        assert json.loads(await answer.text())["id"] == 1


@pytest.mark.point(41)
async def test_a_client_whose_connection_died_gets_the_rest_and_the_answer_with_get():
    async with talking() as (h, session):
        answer = await call(h, session)
        await event(answer)
        first = await event(answer)
        answer.close()
        relay = h.servers["time"].relays[0]
        relay.notify("notifications/message", LOG % 2)
        back = await get(h, session, first["id"])
        assert (back.status, back.content_type) == (200, "text/event-stream")
        assert (await event(back))["id"] == first["id"]
        assert '"data":"2"' in (await event(back))["data"]
        relay.notify("notifications/message", LOG % 3)
        assert '"data":"3"' in (await event(back))["data"]
        end(h)
        assert json.loads((await event(back))["data"])["result"] == {"content": []}
        assert await back.content.read() == b""
        assert [record.outcome for record in h.memory.closed] == [Outcome.OK]
        assert not relay.left_early


async def test_an_answer_that_nobody_was_there_to_read_waits_for_its_client():
    async with talking() as (h, session):
        answer = await call(h, session)
        first = await event(answer)
        answer.close()
        end(h)
        await h.memory.any_closed.wait()
        for _ in range(2):  # it may be lost again on the way
            back = await get(h, session, first["id"])
            assert (await event(back))["data"] == ""
            assert '"data":"1"' in (await event(back))["data"]
            assert json.loads((await event(back))["data"])["id"] == 1


@pytest.mark.point(41)
async def test_a_stream_that_is_resumed_leaves_the_standing_one_alone():
    async with talking() as (h, session):
        standing = await get(h, session)
        await event(standing)
        answer = await call(h, session)
        first = await event(answer)
        answer.close()
        back = await get(h, session, first["id"])
        h.sessions.find(session, LOCAL, AGGREGATE).say(named("news"))
        assert "news" in (await event(standing))["data"]
        end(h)
        assert "news" not in await back.text()


async def test_a_reader_that_comes_back_ends_the_one_that_was_thought_dead():
    async with talking() as (h, session):
        answer = await call(h, session)
        first = await event(answer)
        back = await get(h, session, first["id"])
        await answer.read()
        end(h)
        assert '"result"' in await back.text()


async def test_what_was_said_between_two_gets_is_read_at_the_second_and_once_more_by_whoever_asks():
    async with talking() as (h, session):
        inside = h.sessions.find(session, LOCAL, AGGREGATE)
        standing = await get(h, session)
        primer = await event(standing)
        assert primer["data"] == ""
        inside.say(named("one"))
        assert method(await event(standing)) == "one"
        standing.close()
        await until(lambda: not inside.stands)
        inside.say(named("two"))
        for last, methods in ((None, ["two"]), (primer["id"], ["one", "two"]), (None, [])):
            again = await get(h, session, last)
            await event(again)
            assert [method(await event(again)) for _ in methods] == methods
            again.close()
            await until(lambda: not inside.stands)


async def test_an_id_that_names_nothing_is_refused_without_ending_the_session():
    async with talking() as (h, session):
        answer = await get(h, session, "0badc0de-1.1")
        assert answer.status == 400
        error = json.loads(await answer.text())["error"]
        assert error["code"] == -32600
        assert "Last-Event-ID" in error["message"]
        assert h.memory.refusals == ["event_unknown"]
        assert (await h.legacy({"jsonrpc": "2.0", "id": 2, "method": "ping"}, session=session)).status == 200


async def test_a_standing_stream_of_before_a_restart_begins_anew():
    async with talking() as (h, session):
        again = await get(h, session, "get-0badc0de.7")
        assert again.status == 200
        assert (await event(again))["data"] == ""


@pytest.mark.point(41)
async def test_only_the_session_and_the_user_whose_stream_it_was_get_it_again():
    keys = {user: Caller(user_id=number, user=user) for number, user in enumerate(("alice", "bob"), 1)}
    ring = KeyRing({hashlib.sha256(user.encode()).hexdigest(): caller for user, caller in keys.items()})
    async with house(keys=ring) as h:
        h.servers["time"].behaviour = lambda call, relay: relay.notify("notifications/message", LOG % 1)
        alice, bob = ({"Authorization": f"Bearer {user}"} for user in keys)
        hers, his = [await initialize(h, who) for who in (alice, bob)]
        answer = await h.legacy(CALL, session=hers, headers=alice)
        last = (await event(answer))["id"]

        async def status(session, who, path="/mcp"):
            headers = {"Mcp-Session-Id": session, "Accept": "text/event-stream", "Last-Event-ID": last, **who}
            return (await h.client.get(path, headers=headers)).status

        assert await status(hers, bob) == 404
        assert await status(his, bob) == 400
        assert await status(await initialize(h, alice), alice) == 400
        assert await status(hers, alice, "/servers/time/mcp") == 404
        assert await status(hers, alice) == 200


async def test_a_server_that_sends_us_away_sends_the_client_away_too():
    async with talking() as (h, session):
        answer = await call(h, session)
        primer, first = await event(answer), await event(answer)
        h.servers["time"].calls[0].on_pause(1_234)
        parting = await event(answer)
        assert (parting["id"], parting["retry"], parting["data"]) == (first["id"], "1234", "")
        assert await answer.content.read() == b""
        back = await get(h, session, parting["id"])
        await event(back)
        end(h)
        assert json.loads((await event(back))["data"])["id"] == 1
        assert primer["id"] != first["id"]


async def test_a_server_that_sends_us_away_at_once_has_the_client_primed_first():
    async with house() as h:
        h.servers["time"].behaviour = lambda call, relay: call.on_pause(500)
        session = await h.initialize()
        answer = await call(h, session)
        primer, parting = await event(answer), await event(answer)
        assert primer == {"id": parting["id"], "data": ""}
        assert parting["retry"] == "500"
        assert await answer.content.read() == b""
        back = await get(h, session, parting["id"])
        end(h)
        await event(back)
        assert json.loads((await event(back))["data"])["id"] == 1


@pytest.mark.parametrize(
    ("version", "accept"), [("2025-06-18", "application/json, text/event-stream"), (LEGACY, "application/json")]
)
async def test_a_client_that_cannot_be_sent_away_waits_for_its_answer(version, accept):
    async with house() as h:

        def behave(call, relay):
            call.on_pause(1)
            relay.result(b'{"content":[]}')

        h.servers["time"].behaviour = behave
        session = await h.initialize(version=version)
        answer = await h.legacy(CALL, session=session, headers={**versioned(version), "Accept": accept})
        assert '"result"' in await answer.text()


async def test_a_call_that_fails_while_its_client_is_away_tells_it_when_it_comes_back():
    async with talking() as (h, session):
        answer = await call(h, session)
        first = await event(answer)
        h.servers["time"].calls[0].on_pause(10)
        await answer.read()
        h.servers["time"].relays[0].fail(GatewayError(Kind.TIMEOUT, "too late"))
        await h.memory.any_closed.wait()
        assert '"isError":true' in await (await get(h, session, first["id"])).text()
