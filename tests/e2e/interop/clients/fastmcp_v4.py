"""Drives FastMCP's client: URL STEPS ANSWER MODE. Elicitations are accepted with ANSWER."""

import asyncio
import json
import sys

from fastmcp import Client
from mcp import MCPError


async def main(url: str, steps: str, answer: str, mode: str) -> None:
    async def accept(message: str, response_type: object, params: object, context: object) -> object:
        return json.loads(answer)

    async with Client(url, mode=mode, elicitation_handler=accept) as client:
        done = [await step(client, *one) for one in json.loads(steps)]
        print(json.dumps({"version": client.session.protocol_version, "steps": done}))


async def step(client: Client, do: str, name: str = "", arguments: dict[str, object] | None = None) -> object:
    try:
        match do:
            case "tools":
                return {"names": [tool.name for tool in await client.list_tools()]}
            case "prompts":
                return {"names": [prompt.name for prompt in await client.list_prompts()]}
            case "resources":
                return {"names": [str(resource.uri) for resource in await client.list_resources()]}
            case "call":
                called = await client.call_tool(name, arguments, raise_on_error=False)
                return {"text": called.content[0].text, "is_error": called.is_error}
            case "prompt":
                return {"text": (await client.get_prompt(name, arguments)).messages[0].content.text}
            case "read":
                read = (await client.read_resource(name))[0]
                return {"names": [str(read.uri)], "text": read.text}
    except MCPError as error:
        return {"error": str(error)}


asyncio.run(main(*sys.argv[1:]))
