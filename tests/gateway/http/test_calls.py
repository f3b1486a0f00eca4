"""The door to the records, on a whole gateway."""

import asyncio
import hashlib
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest

from storage.tasks import Tasks
from tests.support.blinking import away
from tests.support.gateway import running_gateway
from tests.support.mcp_http import McpServer
from tests.support.waiting import until

PATIENCE = 20
CALLS = "/api/calls"


def key(name, **more):
    return {"name": name, "user": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), **more}


def bearer(name):
    return {"Authorization": f"Bearer {name}"}


@asynccontextmanager
async def demo(folder, **more):
    async with (
        McpServer(modern=True) as server,
        running_gateway({"servers": {"demo": {"url": server.url}}, **more}, folder) as gateway,
    ):
        yield gateway


@pytest.fixture
async def gateway(tmp_path):
    async with demo(tmp_path) as gateway:
        yield gateway


@pytest.fixture
async def guarded(tmp_path):
    keys = [key("alice"), key("bob"), key("root", admin=True)]
    async with demo(tmp_path, auth={"keys": keys}) as gateway:
        yield gateway


async def get(gateway, path=CALLS, **headers):
    answer = await gateway.client.get(gateway.root + path, headers=headers)
    return answer.status, json.loads(await answer.text())


async def uids(gateway, path=CALLS, **headers):
    status, told = await get(gateway, path, **headers)
    assert status == 200, told
    return [call["call_uid"] for call in told["calls"]]


async def test_pages_lead_to_the_first_call(gateway):
    for n in range(5):
        await gateway.call("demo__echo", {"n": n})
    rows = await gateway.rows()
    seen, query = [], "?limit=2"
    while query:
        _, told = await get(gateway, CALLS + query)
        seen.append([call["call_uid"] for call in told["calls"]])
        query = told["next"] and f"?limit=2&before={told['next']}"
    assert [len(page) for page in seen] == [2, 2, 1]
    assert [uid for page in seen for uid in page] == [row["call_uid"] for row in rows][::-1]


async def test_filters_choose_and_a_search_says_where_to_go_on(gateway):
    await gateway.call("demo__echo")
    await gateway.call("demo__count")
    await gateway.rows()
    for query, expected in [
        ("tool=echo", 1),
        ("tool=demo__count", 1),
        ("server=demo&outcome=ok", 2),
        ("outcome=timeout", 0),
        ("min_ms=60000", 0),
        ("error=nothing", 0),
        ("since=1h", 2),
        ("until=2001-01-01T00:00Z", 0),
        ("user=local", 2),
    ]:
        _, told = await get(gateway, f"{CALLS}?{query}")
        assert (len(told["calls"]), told["next"]) == (expected, None), query


async def test_one_call_is_told_whole(gateway):
    await gateway.call("demo__echo", {"price": 1})
    [row] = await gateway.rows()
    answer = await gateway.client.get(f"{gateway.root}{CALLS}/{row['call_uid']}/")
    told = json.loads(await answer.text())
    assert answer.headers["Cache-Control"] == "no-store"
    assert told["request"]["json"] == {"name": "echo", "arguments": {"price": 1}}
    assert told["response"]["complete"]
    assert told["chat"]["kind"] == "mcp"
    assert [one["call_uid"] for one in told["rounds"]] == [row["call_uid"]]


async def test_callers_see_their_own_calls_and_an_admin_sees_all(guarded):
    for name in ("alice", "bob"):
        await guarded.call("demo__echo", headers=bearer(name))
    theirs = {row["call_uid"] for row in await guarded.rows()}
    by = {name: set(await uids(guarded, **bearer(name))) for name in ("alice", "bob", "root")}
    assert by["alice"] | by["bob"] == theirs == by["root"]
    assert len(by["alice"]) == len(by["bob"]) == 1
    assert await uids(guarded, f"{CALLS}?user=bob", **bearer("root")) == list(by["bob"])
    [bobs] = by["bob"]
    assert (await get(guarded, f"{CALLS}/{bobs}", **bearer("root")))[0] == 200
    status, told = await get(guarded, f"{CALLS}/{bobs}", **bearer("alice"))
    unknown = await get(guarded, f"{CALLS}/{'0' * 32}", **bearer("alice"))
    assert (status, told["error"]["code"]) == (404, "unknown_call")
    assert json.dumps(unknown[1]).replace("0" * 32, "?") == json.dumps(told).replace(bobs, "?")
    status, told = await get(guarded, f"{CALLS}?user=bob", **bearer("alice"))
    assert (status, told["error"]["param"]) == (400, "user")


async def test_a_chat_of_somebody_elses_shows_nothing(guarded):
    await guarded.call("demo__echo", headers=bearer("bob"))
    [row] = await guarded.rows()
    assert await uids(guarded, f"{CALLS}?session={row['session_id']}", **bearer("alice")) == []
    assert len(await uids(guarded, f"{CALLS}?session={row['session_id']}", **bearer("bob"))) == 1


@pytest.mark.parametrize("path", [CALLS, f"{CALLS}/{'0' * 32}", f"{CALLS}?follow=true"])
async def test_nobody_gets_in_without_a_key(guarded, path):
    for headers in ({}, bearer("nobody")):
        answer = await guarded.client.get(guarded.root + path, headers=headers)
        assert answer.status == 401
        assert "WWW-Authenticate" in answer.headers


async def test_a_gateway_that_anybody_reaches_shows_calls_to_nobody_without_a_key(tmp_path):
    async with demo(tmp_path, listen={"host": "0.0.0.0", "port": 0, "unauthenticated": True}) as gateway:
        root = gateway.root.replace("0.0.0.0", "127.0.0.1")
        answer = await gateway.client.get(root + CALLS)
        assert answer.status == 401
        assert "add auth.keys" in (await answer.json())["error"]["message"]


@pytest.mark.parametrize(
    ("query", "param", "words"),
    [
        ("serverr=demo", "serverr", "serverr: is not known here; did you mean server?"),
        ("server=dmeo", "server", "server: 'dmeo' is not known; did you mean demo?"),
        ("limit=0", "limit", "limit: '0' is no number from 1 to 500"),
        ("limit=1&limit=2", "limit", "limit: is given twice; leave one out"),
        ("follow=yes", "follow", "follow: 'yes' is neither true nor false"),
        ("follow=true&until=1h", "until", "until: excludes follow, which goes on with what is to come; leave one out"),
        ("since=2026-01-31T08:30", "since", "since: '2026-01-31T08:30' names no zone; write 2026-01-31T08:30Z, or "),
        ("before=x", "before", "before: 'x' is no place in a list of calls; take the one that was told at the end of "),
        ("tool=a%00", "tool", "tool: 'a\\x00' holds characters that no record has"),
    ],
)
async def test_a_question_that_makes_no_sense_is_told_where_and_why(gateway, query, param, words):
    status, told = await get(gateway, f"{CALLS}?{query}")
    assert (status, told["error"]["param"], told["error"]["code"]) == (400, param, "invalid_request")
    assert told["error"]["message"].startswith(words)


async def test_a_uid_that_is_none_a_method_and_a_medium_are_refused(gateway):
    status, told = await get(gateway, f"{CALLS}/12")
    assert (status, told["error"]["param"]) == (400, "uid")
    answer = await gateway.client.post(gateway.root + CALLS)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, OPTIONS")
    assert (await get(gateway, CALLS, Accept="text/html"))[0] == 406
    assert (await get(gateway, f"{CALLS}?follow=true", Accept="text/html"))[0] == 406


@pytest.mark.trap(59)
async def test_a_page_of_a_rebound_name_reads_nothing(gateway):
    answer = await gateway.client.get(gateway.root + CALLS, headers={"Host": "evil.example"})
    assert answer.status == 421


async def test_a_database_that_is_away_is_told_without_its_address(gateway):
    with away():
        status, told = await get(gateway)
    assert (status, told["error"]["message"]) == (503, "the records cannot be read now; ask again")


async def test_many_readers_leave_the_writer_its_connections(tmp_path):
    async with demo(tmp_path, database={"url": f"sqlite:///{tmp_path}/x.db", "pool_size": 10}) as gateway:
        await gateway.call("demo__echo")
        await gateway.rows()
        busiest = 0

        async def read(n):
            nonlocal busiest
            status, _ = await get(gateway, f"{CALLS}?error=x&limit={n % 9 + 1}")
            return status

        async def look():
            nonlocal busiest
            while True:
                busiest = max(busiest, gateway.inside.database.busy)
                await asyncio.sleep(0)

        looking = Tasks("looking")
        looking.spawn(look(), "how many connections are in use")
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            readers = [group.create_task(read(n)) for n in range(100)]
            callers = [group.create_task(gateway.call("demo__echo", {"n": n})) for n in range(20)]
        await looking.close()
        assert {reader.result() for reader in readers} == {200}
        assert all("result" in caller.result() for caller in callers)
        assert len(await gateway.rows()) == 21
        assert busiest < 6


class TestFollowing:
    @pytest.mark.parametrize("media", ["application/x-ndjson", "text/event-stream"])
    async def test_tells_the_newest_calls_and_then_those_that_end(self, gateway, media):
        await gateway.call("demo__echo")
        await gateway.call("demo__count")
        rows = await gateway.rows()
        async with asyncio.timeout(PATIENCE), following(gateway, "&limit=2", Accept=media) as read:
            assert [(await read())["tool"] for _ in rows] == ["echo", "count"]
            await gateway.call("demo__echo", {"n": 3})
            assert (await read())["call_uid"] == (await gateway.rows())[-1]["call_uid"]

    async def test_tells_a_caller_no_call_of_another(self, guarded):
        async with asyncio.timeout(PATIENCE), following(guarded, **bearer("alice")) as read:
            for name in ("bob", "alice"):
                await guarded.call("demo__echo", headers=bearer(name))
            assert (await read())["user"] == "alice"

    @pytest.mark.trap(72)
    async def test_ends_when_the_gateway_does(self, tmp_path):
        async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as client:
            async with demo(tmp_path) as gateway:
                await gateway.call("demo__echo")
                await gateway.rows()
                answer = await client.get(f"{gateway.root}{CALLS}?follow=true")
                await answer.content.readline()
            assert await answer.read() == b""

    async def test_survives_a_database_that_is_away_and_tells_what_ended_meanwhile(self, gateway):
        async with asyncio.timeout(PATIENCE), following(gateway) as read:
            with away():
                await gateway.call("demo__echo")
                await gateway.until(lambda: gateway.inside.writer.trouble)
            assert (await read())["tool"] == "echo"

    async def test_ends_when_its_key_is_taken_away(self, guarded):
        async with asyncio.timeout(PATIENCE):
            answer = await guarded.client.get(f"{guarded.root}{CALLS}?follow=true", headers=bearer("alice"))
            whole = json.loads(guarded.file.read_text())
            guarded.write({**whole, "auth": {"keys": [key("bob")]}})
            assert (await answer.read()).strip() == b""

    async def test_is_for_so_many_at_once_and_a_place_is_free_again_once_left(self, gateway):
        async with asyncio.timeout(PATIENCE):
            await gateway.call("demo__echo")
            await gateway.rows()
            answers = [await gateway.client.get(f"{gateway.root}{CALLS}?follow=true") for _ in range(32)]
            for answer in answers:
                await answer.content.readline()
            status, told = await get(gateway, f"{CALLS}?follow=true")
            assert (status, told["error"]["message"][:34]) == (503, "32 clients follow calls already; a")
            answers[0].close()

            async def admitted():
                answer = await gateway.client.get(f"{gateway.root}{CALLS}?follow=true")
                answers.append(answer)
                return answer.status == 200

            await until(admitted)
            for answer in answers:
                answer.close()


@asynccontextmanager
async def following(gateway, query="", **headers):
    """Reads a stream, a call at a time; ready once it follows."""
    async with gateway.client.get(f"{gateway.root}{CALLS}?follow=true{query}", headers=headers) as answer:
        assert answer.status == 200

        async def read():
            while True:
                line = (await answer.content.readline()).removeprefix(b"data: ").strip()
                if line.startswith(b"{"):
                    return json.loads(line)

        yield read
