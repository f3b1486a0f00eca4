"""Each check ends in a reason, and none can hold up the others."""

from __future__ import annotations

import asyncio

from gateway.http.readiness import (
    DatabaseCheck,
    Readiness,
    Reason,
    configuration_check,
    draining_check,
    records_check,
)
from storage.errors import DatabaseUnavailable, SchemaOutdated


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


async def test_full_records_and_draining_take_the_gateway_out_of_service() -> None:
    assert not (await records_check(lambda: True)()).ready
    assert not (await draining_check(lambda: True)()).ready
    assert (await records_check(lambda: False)()).ready
    assert (await draining_check(lambda: False)()).ready
