"""Ids of tasks are renamed where the protocol has them, and every other byte stays."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from gateway import task_places
from gateway.glossary import Glossary
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.protocol.meta import RELATED_TASK
from gateway.protocol.versions import Era
from gateway.sealing import Sealer
from gateway.task_ids import AS_THEY_ARE, Holder, TaskIds
from gateway.uris import Naming

NAMES = TaskIds(Sealer([b"k" * 32], "task")).names(Holder(2, "", bare=False), 7)
T = NAMES.out("t")
RELATED = f'"{RELATED_TASK}"'


def result(method: str, text: str, era: Era, **more: Any) -> str:
    return bytes(task_places.result_out(method, Raw(text.encode()), era, NAMES, **more)).decode()


MODERN = [
    ("tools/call", '{"resultType":"task","taskId":"%s","ttlMs":1e3,"status":"working"}'),
    ("tasks/get", '{"resultType":"complete","taskId":"%s","result":{"taskId":"t","n":1.10}}'),
    ("tasks/get", '{"a":"\\u00e9","t\\u0061skId":"t"}'),
]
LEGACY = [
    ("tasks/get", '{"taskId":"%s","ttl":1.0}'),
    ("tasks/cancel", '{"taskId":"%s"}'),
    ("tasks/list", '{"tasks":[{"taskId":"%s","x":1e2},7,{"n":1}],"nextCursor":"t"}'),
    ("tasks/result", '{"content":[],"_meta":{"a":1.10,' + RELATED + ':{"taskId":"%s","b":1}}}'),
    ("tools/call", '{"content":[{"text":"t"}],"_meta":{' + RELATED + ':{"taskId":"%s"}},"taskId":"t"}'),
]


@pytest.mark.parametrize(("method", "text"), MODERN[:2])
def test_a_modern_result_names_its_task_beside_its_other_members(method: str, text: str) -> None:
    assert result(method, text % "t", Era.MODERN) == text % T


@pytest.mark.parametrize(("method", "text"), LEGACY)
def test_a_legacy_result_names_its_task_there_and_in_its_meta(method: str, text: str) -> None:
    assert result(method, text % "t", Era.LEGACY) == text % T


def test_an_escaped_key_hides_no_id() -> None:
    assert '"t"' not in result(*MODERN[2], Era.MODERN)


def test_the_member_task_is_a_task_where_one_was_asked_for_alone() -> None:
    text = '{"task":{"taskId":"%s","ttl":60000},"n":1.10}'
    assert result("tools/call", text % "t", Era.LEGACY, augmented=True) == text % T
    assert result("tools/call", text % "t", Era.LEGACY) == text % "t"


@pytest.mark.parametrize(
    ("method", "text", "era"),
    [
        ("tools/call", '{ "resultType":"complete","taskId":"t" }', Era.MODERN),
        ("tools/call", '{ "structuredContent":{"taskId":"t"},"_meta":{"other":{"taskId":"t"}} }', Era.LEGACY),
        ("tasks/get", '{ "taskId":7 }', Era.MODERN),
        ("tasks/list", '{ "tasks":{} }', Era.LEGACY),
        ("tasks/get", "[ ]", Era.LEGACY),
        ("tools/call", '{ "_meta":[] }', Era.LEGACY),
    ],
)
def test_a_result_that_names_no_task_is_the_same_object(method: str, text: str, era: Era) -> None:
    raw = Raw(text.encode())
    assert task_places.result_out(method, raw, era, NAMES, augmented=True) is raw


def test_where_tasks_keep_their_names_the_very_same_objects_come_back() -> None:
    raw, meta = Raw(b'{ "taskId":"t" }'), {RELATED_TASK: Raw(b'{"taskId":"t"}')}
    assert task_places.result_out("tasks/get", raw, Era.MODERN, AS_THEY_ARE) is raw
    assert task_places.notification_out(task_places.STATUS, raw, AS_THEY_ARE) is raw
    assert task_places.question_out("roots/list", raw, AS_THEY_ARE) is raw
    assert task_places.back(raw, AS_THEY_ARE) is raw
    assert task_places.meta_back(meta, AS_THEY_ARE) is meta


@pytest.mark.parametrize("method", [task_places.STATUS, task_places.CHANGED])
def test_a_notification_of_a_task_names_it_and_any_may_belong_to_one(method: str) -> None:
    text = '{"taskId":"%s","n":1.10,"_meta":{' + RELATED + ':{"taskId":"%s"}}}'
    raw = Raw((text % ("t", "t")).encode())
    assert bytes(task_places.notification_out(method, raw, NAMES)).decode() == text % (T, T)
    assert bytes(task_places.notification_out("notifications/message", raw, NAMES)).decode() == text % ("t", T)


def test_a_question_may_belong_to_a_task_and_its_answer_too() -> None:
    text = '{"message":"t","_meta":{' + RELATED + ':{"taskId":"%s"}}}'
    ours, theirs = Raw((text % T).encode()), Raw((text % "t").encode())
    assert task_places.question_out("elicitation/create", theirs, NAMES) == ours
    assert task_places.back(ours, NAMES) == theirs
    assert task_places.meta_back({RELATED_TASK: Raw(b'{"taskId":"%b"}' % T.encode())}, NAMES) == {
        RELATED_TASK: Raw(b'{"taskId":"t"}')
    }


def test_a_clients_own_tasks_keep_their_names() -> None:
    asked = Raw(b'{ "taskId":"mine" }')
    assert task_places.question_out("tasks/get", asked, NAMES) is asked
    answer = Raw(b'{ "_meta":{' + RELATED.encode() + b':{"taskId":"mine"}} }')
    assert task_places.back(answer, NAMES) is answer


def test_a_glossary_knows_tasks_and_resources() -> None:
    glossary = Glossary(Naming("docs"), NAMES)
    told = Raw(b'{"taskId":"t","result":{"content":[{"type":"resource_link","uri":"file:///a","n":1.10}]}}')
    shown = Raw(bytes(told).replace(b'"t"', f'"{T}"'.encode()).replace(b"file:", b"docs+file:"))
    assert glossary.notification_out(task_places.CHANGED, told) == shown
    assert glossary.notification_out("notifications/x", None) is glossary.question_out("roots/list", None) is None
    error = Message(MessageKind.ERROR, Raw(b"1"), body=Raw(b'{"code":-1}'))
    assert glossary.answer_back(error) is error.body
