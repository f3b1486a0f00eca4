"""The server that benchmarks call: the least that a modern MCP server can do, over HTTP."""

from __future__ import annotations

import asyncio
import sys

import msgspec
import uvloop
from aiohttp import web

DISCOVERED = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
TOOLS = {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}
FRESH = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}


async def serve(request: web.Request) -> web.Response:
    message = msgspec.json.decode(await request.read())
    result = {"server/discover": DISCOVERED, "tools/list": TOOLS}.get(message["method"])
    if result is None:
        result = {"content": [{"type": "text", "text": message["params"]["arguments"]["text"]}]}
    body = {"jsonrpc": "2.0", "id": message["id"], "result": {**FRESH, **result}}
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")


async def main() -> None:
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/mcp", serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1])).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
