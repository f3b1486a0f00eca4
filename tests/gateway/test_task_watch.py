"""What a modern server tells of tasks reaches the client whose tasks they are, over real sockets and pipes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from msgspec import Raw

from gateway.protocol.meta import SUBSCRIPTION_ID
from gateway.protocol.params import Params
from gateway.protocol.versions import Era
from gateway.request import Request
from gateway.routing import table
from gateway.sealing import Sealer
from gateway.subscriptions import Listen
from gateway.task_ids import TaskIds
from gateway.task_watch import TaskWatch
from gateway.upstream.connection import client_session
from gateway.upstream.server import Upstream
from storage.records import Caller
from storage.tasks import Tasks
from tests.gateway.upstream.test_watch import pipe_server, serve_listens
from tests.support.audience import Heard
from tests.support.doors import shelf_of
from tests.support.mcp_http import McpServer
from tests.support.streams import Listens
from tests.support.upstreams import MODERN_CLIENT, terms

OWN = {"t": "mine"}


def listening() -> tuple[Listen, TaskWatch]:
    endpoint = table([shelf_of(1, "time", Era.MODERN)]).endpoint("time")
    caller = Caller(user_id=1, user="local")
    request = Request(endpoint, caller, Raw(b'"L"'), "subscriptions/listen", Params(), MODERN_CLIENT, {})
    listen = Listen(request.id, "time", frozenset())
    route = endpoint.whole()
    assert route is not None
    names = TaskIds(Sealer([b"k" * 32], "task")).names(endpoint.holder(1, known=True), 1)
    return listen, TaskWatch(request, replace(route, tasks=names), OWN, listen)


@asynccontextmanager
async def running(watch: TaskWatch, upstream: Upstream) -> AsyncIterator[asyncio.Task[None]]:
    tasks = Tasks("test")
    try:
        async with asyncio.timeout(10):
            task = tasks.spawn(watch.run(upstream), "watch")
            await watch.settled()
            yield task
    finally:
        await tasks.close()


async def next_of(listen: Listen) -> dict[str, Any]:
    return dict(json.loads(await anext(listen.frames())))


@pytest.mark.point(36)
async def test_over_http_the_client_listens_as_itself_and_leaves_when_it_has_gone() -> None:
    async with McpServer(modern=True) as server, client_session() as http:
        listens, upstream = Listens(server), Upstream(terms(url=server.url), http)
        listen, watch = listening()
        async with running(watch, upstream) as task:
            assert watch.honoured == ("mine",)
            opened = await listens.opened()
            assert opened.filter == {"taskIds": ["t"]}
            about = opened.asked.params["_meta"]
            assert about["io.modelcontextprotocol/clientCapabilities"] == {"elicitation": {}}
            await opened.say("notifications/tasks", taskId="t", status="working")
            told = {"taskId": "mine", "status": "working", "_meta": {SUBSCRIPTION_ID: "L"}}
            assert (await next_of(listen))["params"] == told
            task.cancel()
            await opened.asked.gone.wait()
        await upstream.close()


async def test_over_pipes_other_calls_hear_nothing_of_it_and_a_cancellation_ends_it() -> None:
    async with client_session() as http, pipe_server(http, Heard(), modern=True) as (server, upstream):
        asked = serve_listens(server)
        listen, watch = listening()
        async with running(watch, upstream) as task:
            child = await server.child()
            about = {SUBSCRIPTION_ID: asked[0]["id"]}
            await child.say({"method": "notifications/tasks", "params": {"taskId": "t", "_meta": about}})
            assert (await next_of(listen))["params"]["_meta"] == {SUBSCRIPTION_ID: "L"}
            await child.say({"method": "notifications/cancelled", "params": {"requestId": asked[0]["id"]}})
            await task
        assert [frame async for frame in listen.frames()] == []


async def test_a_server_that_refuses_tells_of_nothing() -> None:
    async with McpServer(modern=True) as server, client_session() as http:
        upstream = Upstream(terms(url=server.url), http)
        _, watch = listening()
        async with running(watch, upstream) as task:
            assert watch.honoured == ()
            await task
        await upstream.close()


async def test_a_server_that_is_not_there_tells_of_nothing(unused_tcp_port: int) -> None:
    async with client_session() as http:
        upstream = Upstream(terms(url=f"http://127.0.0.1:{unused_tcp_port}/mcp"), http)
        _, watch = listening()
        async with running(watch, upstream) as task:
            assert watch.honoured == ()
            await task
        await upstream.close()


async def test_what_a_server_agrees_to_when_the_client_was_answered_already_is_not_told() -> None:
    async with McpServer(modern=True) as server, client_session() as http:
        listens, upstream = Listens(server), Upstream(terms(url=server.url), http)
        listens.honour = None
        listen, watch = listening()
        tasks = Tasks("test")
        async with asyncio.timeout(10):
            task = tasks.spawn(watch.run(upstream), "watch")
            opened = await listens.opened()
            await watch.settled(0.01)
            await opened.acknowledge()
            await opened.say("notifications/tasks", taskId="t", status="working")
            await task
            await opened.asked.gone.wait()
        assert (watch.honoured, listen.size) == ((), 0)
        await upstream.close()
        await tasks.close()
