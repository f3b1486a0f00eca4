"""A server made with the official Python SDK that keeps its events and has its clients come back for them.

Run as a program it prints its URL.
"""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.streamable_http import EventMessage, EventStore
from mcp_types import JSONRPCMessage

RETRY_MS = 300
server = MCPServer("sdk-poller", version="1", log_level="ERROR")


class Events(EventStore):
    """Everything that was ever said; ids count."""

    def __init__(self) -> None:
        self._said: list[tuple[str, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        self._said.append((stream_id, message))
        return str(len(self._said))

    async def replay_events_after(self, last_event_id, send_callback):
        stream_id = self._said[int(last_event_id) - 1][0]
        for number, (stream, message) in enumerate(self._said[int(last_event_id) :], int(last_event_id) + 1):
            if stream == stream_id and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream_id


@server.tool()
async def doze(ctx: Context, times: int = 1) -> str:
    """Send the client away, `times` over, and answer when it is back."""
    for time in range(times):
        await ctx.report_progress(time + 1, times)
        await asyncio.sleep(RETRY_MS / 1_000)  # the SDK loses its own first event when it closes sooner
        await ctx.close_sse_stream()
        await asyncio.sleep(2 * RETRY_MS / 1_000)
    return "awake"


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
        app = server.streamable_http_app(event_store=Events(), retry_interval=RETRY_MS)
        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
