"""Drives the official Python SDK, line 1: URL TOOL ARGUMENTS."""

import asyncio
import json
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client


async def main(url: str, tool: str, arguments: str) -> None:
    async with streamable_http_client(url) as (read, write, _), ClientSession(read, write) as session:
        initialized = await session.initialize()
        listed = await session.list_tools()
        called = await session.call_tool(tool, json.loads(arguments))
        report = {
            "version": initialized.protocolVersion,
            "tools": [one.name for one in listed.tools],
            "text": called.content[0].text,
            "is_error": bool(called.isError),
        }
    print(json.dumps(report))


asyncio.run(main(*sys.argv[1:]))
