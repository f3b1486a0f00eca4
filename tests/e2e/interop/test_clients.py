"""Clients that no one here wrote list and call through both doors."""

from __future__ import annotations

import pytest

from tests.support.absence import absent
from tests.support.cache import Unavailable
from tests.support.clients import CLIENTS, Client, Report, Step
from tests.support.process import Served

SHANGHAI = {"timezone": "Asia/Shanghai"}
NOWHERE = {"timezone": "Nowhere/Land"}


async def drive(client: Client, url: str, *steps: Step, answer: dict[str, str] | None = None) -> Report:
    try:
        return await client.drive(url, *steps, answer=answer)
    except Unavailable as error:
        absent(f"{client.name}: {error}")


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
class TestEveryClient:
    async def test_lists_and_calls_through_the_aggregate_door(self, client: Client, gateway: Served) -> None:
        report = await drive(client, gateway.url, ["tools"], ["call", "time__get_current_time", SHANGHAI])
        listed, called = report.steps
        assert {"time__get_current_time", "time__convert_time", "git__git_status"} <= set(listed.names)
        assert '"timezone": "Asia/Shanghai"' in called.text
        assert (report.version, called.is_error) == (client.version, False)

    async def test_lists_and_calls_through_a_servers_own_door(self, client: Client, gateway: Served) -> None:
        report = await drive(client, gateway.door("time"), ["tools"], ["call", "get_current_time", SHANGHAI])
        listed, called = report.steps
        assert listed.names == ["get_current_time", "convert_time"]
        assert '"timezone": "Asia/Shanghai"' in called.text
        assert (report.version, called.is_error) == (client.version, False)

    async def test_is_told_when_the_tool_fails(self, client: Client, gateway: Served) -> None:
        report = await drive(client, gateway.url, ["call", "time__get_current_time", NOWHERE])
        assert report.steps[0].is_error
        assert "Nowhere/Land" in report.steps[0].text
