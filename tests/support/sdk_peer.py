"""A server made with the official Python SDK, over HTTP and for both eras.

Run as a program, with a port or without, it prints its URL.
"""

from __future__ import annotations

import asyncio
import socket
import sys

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context

server = MCPServer("sdk-peer", version="1", instructions="Add and count.", log_level="ERROR")
cancelled: list[str] = []


@server.tool()
def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    return a + b


@server.tool()
async def walk(steps: int, ctx: Context) -> str:
    """Report progress at each step."""
    for step in range(steps):
        await ctx.report_progress(step + 1, steps)
    return "arrived"


@server.tool()
async def wait(name: str, ctx: Context) -> str:
    """Wait for ever; remember being stopped."""
    await ctx.report_progress(1, 2)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        cancelled.append(name)
        raise
    return ""


@server.tool()
def stopped() -> list[str]:
    """The names of the waits that were stopped."""
    return cancelled


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    with socket.create_server(("127.0.0.1", port)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
        config = uvicorn.Config(server.streamable_http_app(), log_level="error", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
