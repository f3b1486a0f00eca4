"""Places and queue in front of one server."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import GatewayError, Kind
from gateway.upstream.gate import Gate, Place


def soon(seconds: float = 5.0) -> float:
    return asyncio.get_running_loop().time() + seconds


async def queued(gate: Gate, number: int) -> None:
    """Let the tasks that were just made run until they wait."""
    await asyncio.sleep(0)
    assert gate.waiting == number


async def test_a_full_queue_refuses_at_once_in_words_that_name_the_server() -> None:
    gate = Gate("docs", 1, 0)
    await gate.enter(soon())
    with pytest.raises(GatewayError, match="docs is busy: 1 calls are running") as caught:
        await gate.enter(soon())
    assert (caught.value.kind, caught.value.reason, caught.value.unsent) == (Kind.BUSY, "queue_full", True)


async def test_waiting_calls_enter_in_order_as_places_come_free() -> None:
    gate, order = Gate("docs", 1, 3), []
    await gate.enter(soon())

    async def visit(number: int) -> None:
        await gate.enter(soon())
        order.append(number)
        gate.leave()

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(visit(number))
            await queued(gate, number + 1)
        gate.leave()
    assert order == [0, 1, 2]
    assert (gate.inside, gate.waiting) == (0, 0)


async def test_a_place_can_be_lent_and_those_inside_are_one_too_many_until_one_leaves() -> None:
    gate = Gate("docs", 1, 0)
    place = Place(gate)
    await gate.enter(soon())
    for _ in range(3):
        place.stop()
        place.go()
    await gate.enter(soon())
    assert gate.inside == 2
    for _ in range(2):
        with pytest.raises(GatewayError):
            await gate.enter(soon())
        gate.leave()
    await gate.enter(soon())
    with pytest.raises(GatewayError):
        await gate.enter(soon())


@pytest.mark.point(17)
@pytest.mark.trap(28)
async def test_a_call_that_is_cancelled_in_the_queue_leaves_no_gap() -> None:
    gate = Gate("docs", 1, 1)
    await gate.enter(soon())
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(gate.enter(soon()))
        await queued(gate, 1)
        waiting.cancel()
    gate.leave()
    await gate.enter(soon())
    assert (gate.inside, gate.waiting) == (1, 0)


async def test_waiting_ends_at_the_deadline() -> None:
    gate = Gate("docs", 1, 1)
    await gate.enter(soon())
    with pytest.raises(GatewayError, match="no place came free in time"):
        await gate.enter(soon(0.01))
    assert gate.waiting == 0


async def test_a_shut_gate_waits_for_those_inside_and_lets_nobody_in() -> None:
    gate = Gate("docs", 2, 2)
    await gate.enter(soon())
    async with asyncio.TaskGroup() as group:
        shutting = group.create_task(gate.shut(5.0))
        await asyncio.sleep(0)
        with pytest.raises(GatewayError) as caught:
            await gate.enter(soon())
        assert caught.value.kind is Kind.DRAINING
        gate.leave()
    assert shutting.result() is True
    assert gate.inside == 0


async def test_those_who_queue_when_it_shuts_are_refused_and_pass_the_word_on() -> None:
    gate = Gate("docs", 1, 2)
    await gate.enter(soon())
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(refusal(gate)) for _ in range(2)]
        await queued(gate, 2)
        assert await gate.shut(0.0) is False
        gate.leave()
    assert [task.result() for task in waiting] == [Kind.DRAINING, Kind.DRAINING]


async def test_those_who_queued_before_it_shut_get_their_turn_within_the_grace() -> None:
    gate = Gate("docs", 1, 2)
    await gate.enter(soon())
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(gate.enter(soon()))
        await queued(gate, 1)
        shutting = group.create_task(gate.shut(5.0))
        await asyncio.sleep(0)
        gate.leave()
        await waiting
        assert not shutting.done()
        with pytest.raises(GatewayError):
            await gate.enter(soon())
        gate.leave()
    assert shutting.result() is True


async def refusal(gate: Gate) -> Kind:
    with pytest.raises(GatewayError) as caught:
        await gate.enter(soon())
    return caught.value.kind
