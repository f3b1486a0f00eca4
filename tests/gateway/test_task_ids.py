"""A task has one name in all messages, and that name is worth nothing to anybody else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, Kind
from gateway.protocol.headers import encode
from gateway.sealing import Sealer
from gateway.task_ids import Holder, TaskIds

ALICE = Holder(2, "", bare=False)


def ids(*keys: bytes) -> TaskIds:
    return TaskIds(Sealer(keys or (b"k" * 32,), "task"))


def refusal(name: str, holder: Holder) -> tuple[Kind, str]:
    with pytest.raises(GatewayError) as refused:
        ids().read(holder, name)
    return refused.value.kind, refused.value.message


@given(st.text(st.characters(codec="utf-8") | st.sampled_from(["\ud800"])))
def test_an_id_comes_back_and_its_name_fits_into_any_header(task_id: str) -> None:
    name = ids().seal(ALICE, 7, task_id)
    assert ids().read(ALICE, name) == (7, task_id)
    assert encode(name) == name


def test_a_task_is_always_called_alike_and_other_tasks_otherwise() -> None:
    names = {
        ids().seal(holder, server, task)
        for holder in (ALICE, replace(ALICE, user_id=3), replace(ALICE, endpoint="x"))
        for server in (1, 2)
        for task in ("a", "b")
    }
    assert len(names) == 12
    assert ids().seal(ALICE, 1, "a") == ids().seal(ALICE, 1, "a")


@pytest.mark.parametrize("other", [{"user_id": 3}, {"endpoint": "time"}])
def test_an_id_of_another_holder_is_as_unknown_as_one_that_was_never_given(other: dict[str, object]) -> None:
    name = ids().seal(ALICE, 1, "a")
    unknown = (Kind.INVALID_PARAMS, "Unknown task")
    assert refusal(name, replace(ALICE, **other)) == unknown
    for garbage in ("", "a", "=", "\ud800", name[:-4], name + "AAAA", name.swapcase()):
        assert refusal(garbage, ALICE) == unknown


def test_a_seal_of_another_purpose_opens_no_task() -> None:
    with pytest.raises(GatewayError):
        ids().read(ALICE, Sealer([b"k" * 32], "state").seal_alike(b"x"))


@pytest.mark.point(61)
def test_a_new_key_opens_old_names_and_a_client_that_asks_by_one_hears_of_that_one() -> None:
    old = ids(b"k" * 32).seal(ALICE, 1, "a")
    rotated = ids(b"n" * 32, b"k" * 32)
    assert rotated.read(ALICE, old) == (1, "a")
    assert rotated.seal(ALICE, 1, "a") != old
    assert rotated.names(ALICE, 1, {"a": old}).out("a") == old


def test_a_callers_own_names_and_those_of_other_servers_stay() -> None:
    names = ids().names(ALICE, 1)
    assert names.back(names.out("a")) == "a"
    assert names.back("mine") == "mine"
    other = ids().names(ALICE, 2).out("a")
    assert names.back(other) == other


def test_callers_that_nobody_can_tell_apart_have_the_servers_ids() -> None:
    names = ids().names(replace(ALICE, bare=True), 1)
    assert (names.out("a"), names.back("a")) == ("a", "a")
