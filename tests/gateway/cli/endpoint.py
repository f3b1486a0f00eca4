"""An MCP endpoint that says what a test tells it to say, over a real socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer


@dataclass(frozen=True)
class Seen:
    """One HTTP request that arrived; `text` is its body as it was sent."""

    verb: str
    headers: Mapping[str, str]
    text: str

    @property
    def message(self) -> dict[str, Any]:
        return json.loads(self.text)


@dataclass(frozen=True)
class Stream:
    """An answer in SSE: the messages in order, the response last; `{id}` is the request's."""

    messages: tuple[dict[str, Any], ...]


Answer = web.StreamResponse | Stream | dict[str, Any]


@dataclass
class Endpoint:
    """`answers` maps a method (or DELETE) to what is answered: an HTTP response, a stream, or a result or error."""

    answers: dict[str, Callable[[dict[str, Any]], Answer]]
    seen: list[Seen] = field(default_factory=list)
    url: str = ""

    def called(self, method: str) -> list[Seen]:
        return [one for one in self.seen if one.text and one.message.get("method") == method]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        one = Seen(request.method, request.headers.copy(), await request.text())
        self.seen.append(one)
        message = one.message if one.text else {}
        if request.method == "POST" and not {"id", "method"} <= message.keys():
            return web.Response(status=202)
        answer = self.answers[message.get("method", request.method)](message)
        if isinstance(answer, web.StreamResponse):
            return answer
        if isinstance(answer, Stream):
            frames = (json.dumps({"jsonrpc": "2.0", **part}) for part in answer.messages)
            return web.Response(
                text="".join(f"data: {frame}\n\n" for frame in frames), content_type="text/event-stream"
            )
        return web.json_response({"jsonrpc": "2.0", "id": message["id"], **answer})


@asynccontextmanager
async def serving(**answers: Callable[[dict[str, Any]], Answer]) -> AsyncIterator[Endpoint]:
    """The endpoint under a URL; keywords are methods with `__` for `/`."""
    endpoint = Endpoint({name.replace("__", "/"): answer for name, answer in answers.items()})
    application = web.Application()
    application.router.add_route("*", "/mcp", endpoint.handle)
    async with TestServer(application) as server:
        endpoint.url = str(server.make_url("/mcp"))
        yield endpoint


def text(*blocks: str, **more: Any) -> dict[str, Any]:
    """A `tools/call` result of text blocks."""
    return {"result": {"content": [{"type": "text", "text": block} for block in blocks], **more}}
