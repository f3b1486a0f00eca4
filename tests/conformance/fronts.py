"""Two fronts of one reference server: a legacy one and a modern one, both strict about client capabilities.

    python -m tests.conformance.fronts http://127.0.0.1:PORT/mcp

prints the two URLs. The reference speaks both eras on one URL and asks clients for what they never declared; behind a
front it is a server of one era that asks for nothing undeclared. The rule: everything else passes byte for byte.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from tests.conformance.capabilities import beyond, refusal

MODERN = "2026-07-28"
VERSION, SESSION = "MCP-Protocol-Version", "Mcp-Session-Id"
RESERVED = "io.modelcontextprotocol/"
INVALID_REQUEST, METHOD_NOT_FOUND, UNSUPPORTED_VERSION = -32600, -32601, -32022
HOP_BY_HOP = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})
EVENT_END = re.compile(rb"\r?\n\r?\n")

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """One HTTP request of a client. `message` is empty where the body is no JSON object."""

    method: str
    headers: CIMultiDict[str]
    body: bytes
    message: Json

    @property
    def meta(self) -> Json:
        params = self.message.get("params")
        meta = params.get("_meta") if isinstance(params, dict) else None
        return meta if isinstance(meta, dict) else {}

    @property
    def is_modern(self) -> bool:
        return f"{RESERVED}protocolVersion" in self.meta or self.headers.get(VERSION, "") >= MODERN


class Front:
    """What both have in common: a request passes unless it is of the other era; an answer, unless it asks too much."""

    def __init__(self, upstream: str, client: aiohttp.ClientSession) -> None:
        self.upstream = upstream
        self.client = client

    def refuses(self, asked: Asked) -> Json | None:
        """The JSON-RPC error for a request of the other era."""
        raise NotImplementedError

    def declared(self, asked: Asked) -> Json:
        """The capabilities of the client that asks."""
        raise NotImplementedError

    def learn(self, asked: Asked, answer: aiohttp.ClientResponse) -> None:
        """Remember what later requests depend on."""

    async def instead(self, asked: Asked, message: Json, needed: Json) -> Json | None:
        """What the client is told in place of a message that asks too much; None: nothing."""
        return refusal(message["id"], needed)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        asked = Asked(request.method, _end_to_end(request.headers), body, _json_object(body))
        error = self.refuses(asked)
        if error is not None:
            return web.json_response({"jsonrpc": "2.0", "id": asked.message.get("id"), "error": error}, status=400)
        async with self.client.request(asked.method, self.upstream, data=body, headers=asked.headers) as answer:
            self.learn(asked, answer)
            if answer.content_type == "text/event-stream":
                return await self._stream(request, asked, answer)
            return await self._whole(asked, answer)

    async def _whole(self, asked: Asked, answer: aiohttp.ClientResponse) -> web.Response:
        body, status = await answer.read(), answer.status
        message = _json_object(body)
        needed = beyond(message, self.declared(asked))
        if needed is not None:
            body, status = json.dumps(refusal(message["id"], needed)).encode(), 400
        return web.Response(status=status, headers=_end_to_end(answer.headers), body=body)

    async def _stream(self, request: web.Request, asked: Asked, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=_end_to_end(answer.headers))
        await response.prepare(request)
        with suppress(ConnectionResetError):  # the client has gone, as it may
            async for event in _events(answer):
                await response.write(await self._passed(asked, event))
            await response.write_eof()
        return response

    async def _passed(self, asked: Asked, event: bytes) -> bytes:
        message = _json_object(_data(event))
        needed = beyond(message, self.declared(asked))
        if needed is None:
            return event
        said = await self.instead(asked, message, needed)
        return b"" if said is None else b"data: " + json.dumps(said).encode() + b"\r\n\r\n"


class LegacyFront(Front):
    """Knows nothing of 2026-07-28. Remembers what each session declared at `initialize`."""

    def __init__(self, upstream: str, client: aiohttp.ClientSession) -> None:
        super().__init__(upstream, client)
        self._sessions: dict[str, Json] = {}

    def refuses(self, asked: Asked) -> Json | None:
        if asked.is_modern and asked.message.get("method") != "initialize":
            return {"code": INVALID_REQUEST, "message": "Bad Request: Missing session ID"}
        return None

    def declared(self, asked: Asked) -> Json:
        return self._sessions.get(asked.headers.get(SESSION, ""), {})

    def learn(self, asked: Asked, answer: aiohttp.ClientResponse) -> None:
        if asked.message.get("method") == "initialize" and SESSION in answer.headers:
            self._sessions[answer.headers[SESSION]] = asked.message["params"].get("capabilities") or {}

    async def instead(self, asked: Asked, message: Json, needed: Json) -> None:
        """Nothing; the server is answered as by a client that knows no such method."""
        error = {"code": METHOD_NOT_FOUND, "message": f"The client has not declared {', '.join(needed)}"}
        kept = {name: asked.headers[name] for name in (SESSION, VERSION) if name in asked.headers}
        headers = {**kept, "Accept": "application/json, text/event-stream"}
        said = {"jsonrpc": "2.0", "id": message["id"], "error": error}
        async with self.client.post(self.upstream, json=said, headers=headers) as answer:
            await answer.read()


class ModernFront(Front):
    """Knows nothing before 2026-07-28."""

    def refuses(self, asked: Asked) -> Json | None:
        if asked.is_modern:
            return None
        data = {"supported": [MODERN], "requested": asked.headers.get(VERSION, "")}
        return {"code": UNSUPPORTED_VERSION, "message": "Unsupported protocol version", "data": data}

    def declared(self, asked: Asked) -> Json:
        declared = asked.meta.get(f"{RESERVED}clientCapabilities")
        return declared if isinstance(declared, dict) else {}


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP)


def _json_object(text: bytes) -> Json:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


async def _events(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Each event with the blank line that ends it."""
    pending = b""
    async for chunk in answer.content.iter_any():
        pending += chunk
        while (end := EVENT_END.search(pending)) is not None:
            yield pending[: end.end()]
            pending = pending[end.end() :]


def _data(event: bytes) -> bytes:
    lines = re.split(rb"\r?\n", event)
    return b"\n".join(line.removeprefix(b"data:") for line in lines if line.startswith(b"data:"))


async def _listen(front: Front, stack: AsyncExitStack) -> str:
    app = web.Application()
    app.router.add_route("*", "/mcp", front.serve)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"


async def _main(upstream: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    forever = aiohttp.ClientTimeout(total=None)
    async with AsyncExitStack() as stack:
        client = aiohttp.ClientSession(connector=connector, timeout=forever, auto_decompress=False)
        await stack.enter_async_context(client)
        urls = [await _listen(kind(upstream, client), stack) for kind in (LegacyFront, ModernFront)]
        print("fronts", *urls, flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
