"""Streams on which a scripted MCP server speaks outside calls: GET of the legacy era, listens of the modern one.

streams = Streams(server)                       # an McpServer; GET is answered with an event stream from now on
stream = await streams.opened(0)                # the first that was opened; waits for it
await stream.say("notifications/tools/list_changed")
stream.close()

listens = Listens(server)                       # the same for `subscriptions/listen`
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from tests.support.mcp_http import PATIENCE, Asked, McpServer

SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


class Stream:
    """One open stream; `headers` came with its request."""

    def __init__(self, response: web.StreamResponse, request: web.Request) -> None:
        self.headers = request.headers
        self.session = request.headers.get("Mcp-Session-Id")
        self.gone = asyncio.Event()
        """Somebody has ended it."""
        self._response = response
        self._request = request
        self._over = asyncio.Event()

    async def say(self, method: str, params: Any = None, *, id: str | None = None, request: Any = None) -> None:
        """Send a notification, or a request with the id `request`."""
        message = {"jsonrpc": "2.0", "method": method}
        message |= {} if params is None else {"params": params}
        message |= {} if request is None else {"id": request}
        await self.event(json.dumps(message), id=id)

    async def event(self, data: str, *, id: str | None = None, retry: int | None = None) -> None:
        lines = [*([f"id: {id}"] if id else []), *([f"retry: {retry}"] if retry is not None else []), f"data: {data}"]
        await self._response.write("\n".join((*lines, "", "")).encode())

    async def prime(self, *, id: str, retry: int) -> None:
        """An event without data, which says when and with what to come back."""
        await self.event("", id=id, retry=retry)

    def close(self) -> None:
        """End it properly."""
        self._over.set()

    def cut(self) -> None:
        """Break the connection."""
        assert self._request.transport is not None
        self._request.transport.abort()

    async def ended(self) -> None:
        """Wait until the other side has left, or this one has closed it."""
        async with asyncio.timeout(PATIENCE):
            await self.gone.wait()

    async def hold(self) -> None:
        try:
            await self._over.wait()
        finally:
            self.gone.set()


class Streams:
    """Answers GET. While `refuse` is set, with that status; `body` is what a refusal says."""

    def __init__(self, server: McpServer) -> None:
        server.get = self._serve
        self.refuse: int | None = None
        self.all: list[Stream] = []
        self.asked = 0
        self._news = asyncio.Condition()

    @property
    def open(self) -> list[Stream]:
        return [stream for stream in self.all if not stream.gone.is_set()]

    async def opened(self, number: int = 0) -> Stream:
        """The stream that was opened as `number`, from 0; waits for it."""
        await self._until(lambda: len(self.all) > number)
        return self.all[number]

    async def requested(self, times: int) -> None:
        """Wait until GET was asked for so often."""
        await self._until(lambda: self.asked >= times)

    async def _until(self, holds: Any) -> None:
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(holds)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answered(request)
        finally:
            async with self._news:
                self._news.notify_all()

    async def _answered(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        if self.refuse is not None:
            return web.Response(status=self.refuse)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": welcome\n\n")
        stream = Stream(response, request)
        self.all.append(stream)
        async with self._news:
            self._news.notify_all()
        await stream.hold()
        return response


class Listening:
    """One `subscriptions/listen` that was asked for."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.over = asyncio.Event()

    @property
    def filter(self) -> dict[str, Any]:
        return self.asked.params["notifications"]

    async def say(self, method: str, **params: Any) -> None:
        about = {SUBSCRIPTION: self.asked.message["id"]}
        await self.asked.say({"method": method, "params": {**params, "_meta": about}})

    async def acknowledge(self, honoured: Any = None) -> None:
        notifications = self.filter if honoured is None else honoured
        await self.say("notifications/subscriptions/acknowledged", notifications=notifications)

    def close(self) -> None:
        """End it properly, with a result."""
        self.over.set()


class Listens:
    """Answers `subscriptions/listen`; `honour` says what of a filter is acknowledged, None that nothing is said."""

    def __init__(self, server: McpServer) -> None:
        server.answers["subscriptions/listen"] = self._serve
        self.all: list[Listening] = []
        self.honour: Any = lambda wanted: wanted
        self._server = server
        self._news = asyncio.Condition()

    @property
    def open(self) -> list[Listening]:
        return [listening for listening in self.all if not (listening.asked.gone.is_set() or listening.over.is_set())]

    async def opened(self, number: int = 0) -> Listening:
        """The listen that came as `number`, from 0, acknowledged if it will be; waits for it."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: len(self.all) > number)
        return self.all[number]

    async def _serve(self, asked: Asked) -> web.StreamResponse:
        listening = Listening(asked)
        if self.honour is not None:
            await listening.acknowledge(self.honour(listening.filter))
        async with self._news:
            self.all.append(listening)
            self._news.notify_all()
        await listening.over.wait()
        return await asked.end({"resultType": "complete"})
