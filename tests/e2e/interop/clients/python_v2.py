"""Drives the official Python SDK, line 2: URL TOOL ARGUMENTS MODE."""

import asyncio
import json
import sys

from mcp import Client


async def main(url: str, tool: str, arguments: str, mode: str) -> None:
    async with Client(url, mode=mode) as client:
        listed = await client.list_tools()
        called = await client.call_tool(tool, json.loads(arguments))
        report = {
            "version": client.protocol_version,
            "tools": [one.name for one in listed.tools],
            "text": called.content[0].text,
            "is_error": bool(called.is_error),
        }
    print(json.dumps(report))


asyncio.run(main(*sys.argv[1:]))
