"""Drives the official Python SDK, line 2: URL STEPS ANSWER MODE. Elicitations are accepted with ANSWER."""

import asyncio
import json
import sys

from mcp import Client, MCPError
from mcp_types import ElicitResult


async def main(url: str, steps: str, answer: str, mode: str) -> None:
    async def accept(context: object, params: object) -> ElicitResult:
        return ElicitResult(action="accept", content=json.loads(answer))

    async with Client(url, mode=mode, elicitation_callback=accept) as client:
        done = [await step(client, *one) for one in json.loads(steps)]
        print(json.dumps({"version": client.protocol_version, "steps": done}))


async def step(client: Client, do: str, name: str = "", arguments: dict[str, object] | None = None) -> object:
    try:
        match do:
            case "tools":
                return {"names": [tool.name for tool in (await client.list_tools()).tools]}
            case "prompts":
                return {"names": [prompt.name for prompt in (await client.list_prompts()).prompts]}
            case "resources":
                return {"names": [str(resource.uri) for resource in (await client.list_resources()).resources]}
            case "call":
                called = await client.call_tool(name, arguments)
                return {"text": called.content[0].text, "is_error": bool(called.is_error)}
            case "prompt":
                return {"text": (await client.get_prompt(name, arguments)).messages[0].content.text}
            case "read":
                read = (await client.read_resource(name)).contents[0]
                return {"names": [str(read.uri)], "text": read.text}
    except MCPError as error:
        return {"error": str(error)}


asyncio.run(main(*sys.argv[1:]))
