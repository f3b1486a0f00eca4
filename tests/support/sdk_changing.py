"""A server made with the official Python SDK whose tools and resources change when it is told.

Run as a program it prints its URL.
"""

from __future__ import annotations

import socket

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context

server = MCPServer("sdk-changing", version="1", log_level="ERROR")


@server.resource("note://one")
def note() -> str:
    """A note."""
    return "one"


@server.tool()
async def grow(name: str, ctx: Context) -> str:
    """Offer one more tool, and say so."""
    server.add_tool(lambda: name, name=name)
    await ctx.notify_tools_changed()
    return "grown"


@server.tool()
async def touch(uri: str, ctx: Context) -> str:
    """Say that a resource has changed."""
    await ctx.notify_resource_updated(uri)
    return "touched"


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
        config = uvicorn.Config(server.streamable_http_app(), log_level="error", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
