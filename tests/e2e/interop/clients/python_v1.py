"""Drives the official Python SDK, line 1: URL STEPS ANSWER. Elicitations are accepted with ANSWER."""

import asyncio
import json
import sys

from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitResult


async def main(url: str, steps: str, answer: str) -> None:
    async def accept(context: object, params: object) -> ElicitResult:
        return ElicitResult(action="accept", content=json.loads(answer))

    async with (
        streamable_http_client(url) as (read, write, _),
        ClientSession(read, write, elicitation_callback=accept) as session,
    ):
        initialized = await session.initialize()
        done = [await step(session, *one) for one in json.loads(steps)]
        print(json.dumps({"version": initialized.protocolVersion, "steps": done}))


async def step(session: ClientSession, do: str, name: str = "", arguments: dict[str, object] | None = None) -> object:
    try:
        match do:
            case "tools":
                return {"names": [tool.name for tool in (await session.list_tools()).tools]}
            case "prompts":
                return {"names": [prompt.name for prompt in (await session.list_prompts()).prompts]}
            case "resources":
                return {"names": [str(resource.uri) for resource in (await session.list_resources()).resources]}
            case "call":
                called = await session.call_tool(name, arguments)
                return {"text": called.content[0].text, "is_error": bool(called.isError)}
            case "prompt":
                return {"text": (await session.get_prompt(name, arguments)).messages[0].content.text}
            case "read":
                read = (await session.read_resource(name)).contents[0]
                return {"names": [str(read.uri)], "text": read.text}
    except McpError as error:
        return {"error": str(error)}


asyncio.run(main(*sys.argv[1:]))
