from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gateway.cli import rendering


def answer(result: dict[str, Any]) -> str:
    return rendering.answer(json.dumps(result).encode())


DATA = base64.b64encode(bytes(1_000)).decode()


@pytest.mark.parametrize(
    ("block", "line"),
    [
        ({"type": "text", "text": "two\nlines, 王\t!"}, "two\nlines, 王\t!"),
        ({"type": "image", "mimeType": "image/png", "data": DATA}, "[image image/png, 1000 bytes]"),
        ({"type": "audio", "mimeType": "audio/wav", "data": DATA * 30}, "[audio audio/wav, 30 kB]"),
        ({"type": "image"}, "[image of unknown type, no data]"),
        ({"type": "resource_link", "name": "log", "uri": "file:///log"}, "[link log file:///log]"),
        (
            {"type": "resource", "resource": {"uri": "a://b", "mimeType": "text/plain", "text": "inside"}},
            "[resource a://b text/plain]\ninside",
        ),
        ({"type": "resource", "resource": {"uri": "a://b", "blob": DATA}}, "[resource a://b, 1000 bytes]"),
        ({"type": "hologram"}, "[hologram]"),
        ({}, "[a block without a type]"),
    ],
)
def test_a_block_is_printed_or_named(block: dict[str, Any], line: str) -> None:
    assert answer({"content": [block]}) == line


def test_numbers_of_structured_content_are_printed_as_they_were_spelled() -> None:
    assert (
        rendering.answer(b'{"structuredContent":{"a":1.10,"b":[1e2]}}') == '{\n  "a": 1.10,\n  "b": [\n    1e2\n  ]\n}'
    )
    assert rendering.answer(b'{"structuredContent":{"a":1.10,"s":"\\ud800"}}') == '{"a":1.10,"s":"\\ud800"}'
    assert rendering.answer(b'{"structuredContent":[%s]}' % (b"9" * 5_000)).strip("[ \n]") == "9" * 5_000


def test_blocks_follow_each_other_line_by_line() -> None:
    blocks = [{"type": "text", "text": "first"}, {"type": "text", "text": "second"}]
    assert answer({"content": blocks}) == "first\nsecond"


def test_structured_content_is_printed_when_no_text_says_the_same() -> None:
    result = {"content": [{"type": "text", "text": "42 degrees"}], "structuredContent": {"degrees": 42}}
    assert answer(result) == '42 degrees\n{\n  "degrees": 42\n}'


@pytest.mark.parametrize(
    ("said", "structured"),
    [('{"degrees": 42}', {"degrees": 42}), ("42", {"result": 42}), ("warm", {"result": "warm"})],
)
def test_structured_content_is_not_repeated(said: str, structured: Any) -> None:
    result = {"content": [{"type": "text", "text": said}], "structuredContent": structured}
    assert answer(result) == said


@pytest.mark.parametrize("empty", [{}, {"content": []}, {"content": None}])
def test_an_answer_without_content_is_empty(empty: dict[str, Any]) -> None:
    assert answer(empty) == ""


def test_nothing_that_a_server_sends_drives_the_terminal() -> None:
    hostile = "\x1b]0;owned\x07\x9b2J\r"
    shown = [
        answer({"content": [{"type": "text", "text": hostile}]}),
        answer({"content": [{"type": "image", "mimeType": hostile}]}),
        rendering.notification("notifications/message", {"level": hostile, "data": hostile}),
        rendering.notification("notifications/progress", {"progress": 1, "message": hostile}),
    ]
    assert all(line is not None and line.isprintable() for line in shown)
    assert shown[0] == "\\x1b]0;owned\\x07\\x9b2J\\x0d"


@pytest.mark.parametrize(
    ("params", "line"),
    [
        ({"progressToken": 1, "progress": 2, "total": 5, "message": "cutting"}, "progress 2/5 cutting"),
        ({"progressToken": 1, "progress": 0.5}, "progress 0.5"),
    ],
)
def test_progress_is_one_line(params: dict[str, Any], line: str) -> None:
    assert rendering.notification("notifications/progress", params) == line


@pytest.mark.parametrize(
    ("params", "line"),
    [
        ({"level": "warning", "logger": "disk", "data": "nearly full"}, "[warning] disk: nearly full"),
        ({"level": "info", "data": {"free": "1 kB"}}, '[info] {"free": "1 kB"}'),
    ],
)
def test_a_log_message_is_one_line(params: dict[str, Any], line: str) -> None:
    assert rendering.notification("notifications/message", params) == line


def test_other_notifications_are_not_shown() -> None:
    assert rendering.notification("notifications/tools/list_changed", {}) is None
