"""Servers that no one here wrote offer behind the gateway what they offer alone, and answer the same."""

from __future__ import annotations

from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import CreateMessageRequestParams, CreateMessageResult, TextContent

from tests.e2e.interop.servers import SERVERS, Server, Surroundings
from tests.support.absence import absent
from tests.support.process import Served


@pytest.fixture(params=SERVERS, ids=lambda server: server.slug)
def server(request: pytest.FixtureRequest, surroundings: Surroundings) -> Server:
    if not request.param.runs_in(surroundings):
        absent(f"Node.js for {request.param.slug}: {surroundings.missing}")
    return request.param


def directly(spec: dict[str, Any]) -> Any:
    """Where the SDK's client reaches the server without the gateway."""
    return spec["url"] if "url" in spec else stdio_client(StdioServerParameters(**spec))


async def definitions(where: Any, mode: str, **able: Any) -> dict[str, dict[str, Any]]:
    """Every tool by name, with all that is said of it; `able` are the client's callbacks."""
    async with Client(where, mode=mode, **able) as client:
        return {tool.name: tool.model_dump(exclude={"name"}) for tool in (await client.list_tools()).tools}


async def answer(url: str, mode: str, tool: str, arguments: Any) -> tuple[str, bool]:
    async with Client(url, mode=mode) as client:
        called = await client.call_tool(tool, arguments)
    return called.content[0].text, bool(called.is_error)


async def test_its_tools_are_described_as_the_server_describes_them(
    server: Server, surroundings: Surroundings, gateway: Served
) -> None:
    own = await definitions(directly(server.spec(surroundings)), "legacy")
    assert server.tool in own
    assert await definitions(gateway.door(server.slug), "legacy") == own
    aggregate = await definitions(gateway.url, "legacy")
    assert {name: aggregate[f"{server.slug}__{name}"] for name in own} == own


async def model(context: Any, params: CreateMessageRequestParams) -> CreateMessageResult:
    return CreateMessageResult(role="assistant", model="none", content=TextContent(type="text", text="sampled"))


async def test_a_client_is_offered_what_the_server_offers_to_clients_with_its_capabilities(
    surroundings: Surroundings, gateway: Served
) -> None:
    if surroundings.node is None:
        absent(f"Node.js for everything: {surroundings.missing}")
    [everything] = [server for server in SERVERS if server.slug == "everything"]
    own = await definitions(directly(everything.spec(surroundings)), "legacy", sampling_callback=model)
    assert "trigger-sampling-request" in own
    assert await definitions(gateway.door("everything"), "legacy", sampling_callback=model) == own
    async with Client(gateway.url, mode="legacy", sampling_callback=model) as client:
        asked = {"prompt": "say something", "maxTokens": 10}
        called = await client.call_tool("everything__trigger-sampling-request", asked)
    assert "sampled" in called.content[0].text


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_it_answers_calls_of_both_eras_through_both_doors(
    server: Server, mode: str, surroundings: Surroundings, gateway: Served
) -> None:
    arguments = server.arguments(surroundings)
    for url, tool in ((gateway.url, f"{server.slug}__{server.tool}"), (gateway.door(server.slug), server.tool)):
        text, is_error = await answer(url, mode, tool, arguments)
        assert server.answer in text
        assert not is_error


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_progress_reaches_the_client_in_order(mode: str, surroundings: Surroundings, gateway: Served) -> None:
    if surroundings.node is None:
        absent(f"Node.js for everything: {surroundings.missing}")
    seen: list[tuple[float, float | None]] = []

    async def on_progress(progress: float, total: float | None, _: str | None) -> None:
        seen.append((progress, total))

    async with Client(gateway.url, mode=mode) as client:
        tool, arguments = "everything__trigger-long-running-operation", {"duration": 1, "steps": 4}
        called = await client.call_tool(tool, arguments, progress_callback=on_progress)
    assert "completed" in called.content[0].text
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
