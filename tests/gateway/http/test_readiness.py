"""Each check ends in a reason, and none can hold up the others."""

from __future__ import annotations

import asyncio

from gateway.http.readiness import (
    SHOWN_NAMES,
    DatabaseCheck,
    Readiness,
    Reason,
    configuration_check,
    draining_check,
    names_check,
    records_check,
)
from gateway.routing import Selection, shelf, table
from storage.errors import DatabaseUnavailable, SchemaOutdated
from tests.gateway.test_routing import offering, server


async def fine() -> Reason:
    return Reason("fine", True, "well")


async def stuck() -> Reason:
    return await asyncio.Future()


async def test_a_check_that_hangs_is_a_reason_and_the_others_are_told() -> None:
    reasons = await Readiness({"stuck": stuck, "fine": fine}, patience=0.02).reasons()
    assert reasons == [Reason("stuck", False, "no answer within 0.02 s"), Reason("fine", True, "well")]


async def test_an_unreachable_database_and_an_old_schema_say_what_to_do() -> None:
    for error in (
        DatabaseUnavailable("mcp_chat does not answer"),
        SchemaOutdated("run mcp-gateway db upgrade"),
    ):

        async def verify(error: Exception = error) -> None:
            raise error

        assert await DatabaseCheck(verify)() == Reason("database", False, str(error))


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
    assert not (await records_check(lambda: True)()).ready
    assert not (await draining_check(lambda: True)()).ready
    assert (await records_check(lambda: False)()).ready
    assert (await draining_check(lambda: False)()).ready
