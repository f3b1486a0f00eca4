"""What a newcomer types against a running gateway, each command as a process of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support.process import Served

TIME = "time__get_current_time"
PATIENCE = 30


async def gateway_says(gateway: Served, *words: str, code: int = 0) -> str:
    """What `mcp-gateway <words>` prints in the gateway's folder."""
    command = [sys.executable, "-m", "gateway", *words]
    child = await asyncio.create_subprocess_exec(
        *command, cwd=gateway.config.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE):
        said, complained = await child.communicate()
    assert child.returncode == code, complained.decode()
    return (said or complained).decode()


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_call_prints_the_tools_answer(gateway: Served, era: str) -> None:
    words = ["call", TIME, "--url", gateway.url, "--era", era, "--input", '{"timezone":"Asia/Shanghai"}']
    assert json.loads(await gateway_says(gateway, *words))["timezone"] == "Asia/Shanghai"


async def test_call_goes_through_a_servers_own_door(gateway: Served) -> None:
    words = ["call", "get_current_time", "--url", gateway.door("time"), "--input", '{"timezone":"Asia/Shanghai"}']
    assert json.loads(await gateway_says(gateway, *words))["timezone"] == "Asia/Shanghai"


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_call_offers_the_nearest_names_for_an_unknown_tool(gateway: Served, era: str) -> None:
    said = await gateway_says(gateway, "call", "time__get_curent_time", "--url", gateway.url, "--era", era, code=1)
    assert said.startswith(f"mcp-gateway: no tool time__get_curent_time; did you mean {TIME}")


async def test_call_fails_with_the_tools_own_words(gateway: Served) -> None:
    words = ["call", TIME, "--url", gateway.url, "--input", '{"timezone":"Nowhere/Land"}']
    assert "Nowhere/Land" in await gateway_says(gateway, *words, code=1)


async def test_servers_shows_state_protocol_and_tools(gateway: Served) -> None:
    servers: list[dict[str, Any]] = json.loads(await gateway_says(gateway, "servers", "--json"))
    known = {server["slug"]: server for server in servers}
    for slug in ("time", "git"):
        assert (known[slug]["state"], known[slug]["protocol_version"]) == ("up", "2026-07-28")
        assert known[slug]["latency_ms"] > 0
    assert TIME in known["time"]["tools"]


async def test_calls_shows_the_row_of_a_call(gateway: Served) -> None:
    for era in ("modern", "legacy"):
        words = ["call", TIME, "--url", gateway.url, "--era", era, "--input", '{"timezone":"Europe/Berlin"}']
        await gateway_says(gateway, *words)
        row = json.loads(await gateway_says(gateway, "calls", "--server", "time", "--limit", "1", "--json"))
        assert (row["tool"], row["outcome"], row["client_name"]) == ("get_current_time", "ok", "mcp-gateway-call")
        assert row["client_era"] == era
