"""Each check ends in a reason, and none can hold up the others."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from gateway.http.readiness import (
    PATIENCE_SECONDS,
    SHOWN_NAMES,
    DatabaseCheck,
    Reason,
    configuration_check,
    draining_check,
    names_check,
    records_check,
)
from gateway.routing import Selection, shelf, table
from storage.errors import DatabaseUnavailable, SchemaOutdated
from tests.gateway.test_routing import offering, server


@dataclass
class Waiting:
    """A backlog."""

    is_full: bool = False
    pending: int = 0
    trouble: str | None = None


async def test_a_database_that_hangs_is_told_before_an_orchestrator_gives_up() -> None:
    async def verify() -> None:
        await asyncio.Future()

    reason = await DatabaseCheck(verify, patience=0.02)()
    assert (reason.detail, reason.ready, reason.degraded) == ("no answer within 0.02 s", True, True)
    assert PATIENCE_SECONDS < 1


async def test_an_unreachable_database_and_an_old_schema_say_what_to_do() -> None:
    for error in (
        DatabaseUnavailable("mcp_chat does not answer"),
        SchemaOutdated("run mcp-gateway db upgrade"),
    ):

        async def verify(error: Exception = error) -> None:
            raise error

        assert await DatabaseCheck(verify)() == Reason("database", False, str(error), warning=True)


async def test_a_good_database_is_ready() -> None:
    async def verify() -> None:
        return None

    assert (await DatabaseCheck(verify)()).ready


async def test_however_many_ask_the_database_is_asked_once() -> None:
    asked = 0

    async def verify() -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)

    check = DatabaseCheck(verify)
    reasons = await asyncio.gather(*(check() for _ in range(100)))
    assert all(reason.ok for reason in reasons)
    assert asked == 1


async def test_a_refused_reload_is_a_warning_that_leaves_the_gateway_ready() -> None:
    reason = await configuration_check(lambda: "config.yaml:7: unknown key 'sevrers'")()
    assert (reason.ok, reason.warning, reason.ready) == (False, True, True)
    assert "config.yaml:7" in reason.detail
    assert (await configuration_check(lambda: None)()).ok


async def test_what_equal_names_hide_is_a_warning_that_names_who_has_them_and_is_bounded() -> None:
    definitions = [b'{"name":"t%02d"}' % number for number in range(SHOWN_NAMES + 5)]
    shelves = [
        shelf(server(1, "one"), offering(tools=definitions)),
        shelf(server(2, "two"), offering(tools=definitions)),
    ]
    built = table(shelves, [Selection("groups/some", prefixed=False)])
    reason = await names_check(lambda: built)()
    assert (reason.ok, reason.warning, reason.ready) == (False, True, True)
    assert reason.detail.startswith(
        "25 hidden by equal names: tool 't00' of two, since one has it (/groups/some/mcp); "
    )
    assert reason.detail.endswith("; and 5 more")
    assert "t20" not in reason.detail
    assert (await names_check(lambda: table(shelves))()).ok


async def test_full_records_and_draining_take_the_gateway_out_of_service() -> None:
    assert not (await records_check(Waiting(is_full=True, trouble="it is away"))()).ready
    assert not (await draining_check(lambda: True)()).ready
    assert (await records_check(Waiting())()).ok
    assert (await draining_check(lambda: False)()).ready


async def test_records_that_wait_for_the_database_are_a_warning_that_leaves_the_gateway_ready() -> None:
    reason = await records_check(Waiting(pending=3, trouble="the database does not answer"))()
    assert (reason.ready, reason.degraded) == (True, True)
    assert reason.detail == "3 records wait: the database does not answer"
