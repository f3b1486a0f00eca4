"""Drives FastMCP's client: URL TOOL ARGUMENTS MODE."""

import asyncio
import json
import sys

from fastmcp import Client


async def main(url: str, tool: str, arguments: str, mode: str) -> None:
    async with Client(url, mode=mode) as client:
        tools = await client.list_tools()
        called = await client.call_tool(tool, json.loads(arguments), raise_on_error=False)
        report = {
            "version": client.session.protocol_version,
            "tools": [one.name for one in tools],
            "text": called.content[0].text,
            "is_error": called.is_error,
        }
    print(json.dumps(report))


asyncio.run(main(*sys.argv[1:]))
