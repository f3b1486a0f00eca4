"""Clients that no one here wrote list and call through both doors."""

from __future__ import annotations

import pytest

from tests.support.absence import absent
from tests.support.cache import Unavailable
from tests.support.clients import CLIENTS, Client, Report
from tests.support.process import Served

SHANGHAI = {"timezone": "Asia/Shanghai"}
NOWHERE = {"timezone": "Nowhere/Land"}


async def drive(client: Client, url: str, tool: str, arguments: dict[str, str]) -> Report:
    try:
        return await client.drive(url, tool, arguments)
    except Unavailable as error:
        absent(f"{client.name}: {error}")


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
class TestEveryClient:
    async def test_lists_and_calls_through_the_aggregate_door(self, client: Client, gateway: Served) -> None:
        report = await drive(client, gateway.url, "time__get_current_time", SHANGHAI)
        assert {"time__get_current_time", "time__convert_time", "git__git_status"} <= set(report.tools)
        assert '"timezone": "Asia/Shanghai"' in report.text
        assert (report.version, report.is_error) == (client.version, False)

    async def test_lists_and_calls_through_a_servers_own_door(self, client: Client, gateway: Served) -> None:
        report = await drive(client, gateway.door("time"), "get_current_time", SHANGHAI)
        assert report.tools == ["get_current_time", "convert_time"]
        assert '"timezone": "Asia/Shanghai"' in report.text
        assert (report.version, report.is_error) == (client.version, False)

    async def test_is_told_when_the_tool_fails(self, client: Client, gateway: Served) -> None:
        report = await drive(client, gateway.url, "time__get_current_time", NOWHERE)
        assert report.is_error
        assert "Nowhere/Land" in report.text
