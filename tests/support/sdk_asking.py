"""A server made with the official Python SDK whose tools ask the client, over HTTP or on pipes.

Run as a program it prints its URL; with `stdio` it speaks on its pipes.
"""

from __future__ import annotations

import socket
import sys
import warnings

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import SamplingMessage, TextContent
from pydantic import BaseModel

server = MCPServer("sdk-asking", version="1", log_level="ERROR")


class Who(BaseModel):
    name: str


@server.tool()
async def greet(ctx: Context) -> str:
    """Ask for a name in a form."""
    found = await ctx.elicit("Who are you?", Who)
    return f"{found.action} {found.data.name if found.action == 'accept' and found.data else '-'}"


@server.tool()
async def visit(ctx: Context) -> str:
    """Send the user to a page."""
    return (await ctx.elicit_url("Sign in", "https://example.com/in?x=1&y=%20", "e1")).action


@server.tool()
async def think(ctx: Context) -> str:
    """Ask the client's model."""
    question = SamplingMessage(role="user", content=TextContent(type="text", text="2+2?"))
    found = await ctx.session.create_message([question], max_tokens=9, related_request_id=ctx.request_id)
    return f"{found.model}: {found.content.text}"


@server.tool()
async def roots(ctx: Context) -> list[str]:
    """The client's roots, asked for without naming the call."""
    return [str(root.uri) for root in (await ctx.session.list_roots()).roots]


def main() -> None:
    warnings.simplefilter("ignore")
    if sys.argv[1:] == ["stdio"]:
        return server.run("stdio")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
        config = uvicorn.Config(server.streamable_http_app(), log_level="error", timeout_graceful_shutdown=1)
        return uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
