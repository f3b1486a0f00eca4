from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from msgspec import Raw

from gateway.protocol import jsonrpc, results
from gateway.protocol.jsonrpc import Malformed, MessageKind, parse
from tests.gateway.protocol import spellings
from tests.gateway.protocol.spellings import LAW, OBJECTS, STRINGS, VALUES, Spelt, flat

UNPARSEABLE = {
    "nothing": b"",
    "blanks": b" \n",
    "an open object": b"{",
    "an open array": b"[",
    "an open batch": b'[{"jsonrpc":"2.0","id":1,"method":"ping"}',
    "words": b"hello",
    "two texts": b'{"jsonrpc":"2.0","id":1,"method":"a"}{"jsonrpc":"2.0","id":2,"method":"b"}',
    "a trailing comma": b'{"jsonrpc":"2.0","id":1,"method":"a",}',
    "single quotes": b"{'jsonrpc':'2.0','id':1,'method':'a'}",
    "a comment": b'{"jsonrpc":"2.0",/**/"id":1,"method":"a"}',
    "a leading zero": b'{"jsonrpc":"2.0","id":01,"method":"a"}',
    "a control character": b'{"jsonrpc":"2.0","id":1,"method":"a\x01"}',
    "a line end in a string": b'{"jsonrpc":"2.0","id":1,"method":"a\n"}',
    "a byte order mark": b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"a"}',
    "UTF-16": '{"jsonrpc":"2.0","id":1,"method":"a"}'.encode("utf-16"),
    "bad UTF-8 in a value": b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":"\xff"}}',
    "bad UTF-8 in a name": b'{"jsonrpc":"2.0","id":1,"method":"a","\xff":1}',
    "an encoded surrogate": b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":"\xed\xa0\x80"}}',
    "an overlong encoding": b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":"\xc0\x80"}}',
    "NaN": b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":NaN}}',
    "Infinity": b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":[Infinity]}}',
    "minus Infinity": b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":-Infinity}}',
    "NaN beside a lone surrogate": b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":NaN,"y":"\\ud800"}}',
    "half an escape": b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":"\\ud8"}}',
    "an unknown escape": b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":"\\x41"}}',
    "129 levels": b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":' + b"[" * 127 + b"]" * 127 + b"}}",
    "10,000 levels": b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}}",
    "a million open levels": b"[" * 1_000_000,
}

INVALID = {
    "an empty batch": (b"[]", None),
    "a batch": (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', None),
    "a batch with a lone surrogate": (b'["\\ud800"]', None),
    "null": (b"null", None),
    "a number": (b"1", None),
    "a string": (b'"a"', None),
    "an empty object": (b"{}", None),
    "no version": (b'{"id":1,"method":"a"}', b"1"),
    "version 1.0": (b'{"jsonrpc":"1.0","id":1,"method":"a"}', b"1"),
    "a version that is a number": (b'{"jsonrpc":2.0,"id":1,"method":"a"}', b"1"),
    "a null version": (b'{"jsonrpc":null,"id":1,"method":"a"}', b"1"),
    "a null id": (b'{"jsonrpc":"2.0","id":null,"method":"a"}', None),
    "a fractional id": (b'{"jsonrpc":"2.0","id":1.5,"method":"a"}', None),
    "an integer spelt as a fraction": (b'{"jsonrpc":"2.0","id":1.0,"method":"a"}', None),
    "an integer spelt with an exponent": (b'{"jsonrpc":"2.0","id":1e2,"method":"a"}', None),
    "a boolean id": (b'{"jsonrpc":"2.0","id":true,"method":"a"}', None),
    "an object for an id": (b'{"jsonrpc":"2.0","id":{},"method":"a"}', None),
    "an array for an id": (b'{"jsonrpc":"2.0","id":[1],"method":"a"}', None),
    "a bad id after a good one": (b'{"jsonrpc":"2.0","id":1,"id":null,"method":"a"}', None),
    "a method that is a number": (b'{"jsonrpc":"2.0","id":1,"method":1}', b"1"),
    "a null method": (b'{"jsonrpc":"2.0","id":"x","method":null}', b'"x"'),
    "a method with a lone surrogate": (b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}', b"1"),
    "params in an array": (b'{"jsonrpc":"2.0","id":1,"method":"a","params":[]}', b"1"),
    "null params": (b'{"jsonrpc":"2.0","id":1,"method":"a","params":null}', b"1"),
    "params that are a string": (b'{"jsonrpc":"2.0","method":"a","params":"b"}', None),
    "method and result": (b'{"jsonrpc":"2.0","id":1,"method":"a","result":{}}', b"1"),
    "method and error": (b'{"jsonrpc":"2.0","id":1,"method":"a","error":{}}', b"1"),
    "result and error": (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', b"1"),
    "neither": (b'{"jsonrpc":"2.0","id":1}', b"1"),
    "a result without id": (b'{"jsonrpc":"2.0","result":{}}', None),
    "a result with a null id": (b'{"jsonrpc":"2.0","id":null,"result":{}}', None),
    "an error that is a string": (b'{"jsonrpc":"2.0","id":1,"error":"no"}', b"1"),
    "an error with a boolean id": (b'{"jsonrpc":"2.0","id":false,"error":{}}', None),
}


@pytest.mark.point(8)
@pytest.mark.trap(31)
@pytest.mark.parametrize("body", UNPARSEABLE.values(), ids=UNPARSEABLE)
def test_what_cannot_be_parsed_is_32700_without_an_id(body: bytes) -> None:
    with pytest.raises(Malformed) as refused:
        parse(body)
    assert (refused.value.code, refused.value.id) == (-32700, None)
    assert "\n" not in refused.value.message


@pytest.mark.point(8)
@pytest.mark.trap(31)
@pytest.mark.parametrize(("body", "id"), INVALID.values(), ids=INVALID)
def test_what_is_no_message_is_32600_with_its_id(body: bytes, id: bytes | None) -> None:
    with pytest.raises(Malformed) as refused:
        parse(body)
    found = None if refused.value.id is None else bytes(refused.value.id)
    assert (refused.value.code, found) == (-32600, id)


def test_128_levels_are_allowed() -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":' + b"[" * 126 + b"]" * 126 + b"}}"
    assert parse(body).method == "a"
    with pytest.raises(Malformed, match=r"limits\.depth"):
        parse(body, depth=127)


@pytest.mark.trap(31)
@pytest.mark.parametrize("id", [b"1", b"-1", b'"1"', b'""', b'"\\u0031"', b'"\\ud800"', b"1" + b"0" * 22])
def test_an_id_keeps_its_type_and_spelling(id: bytes) -> None:
    request = parse(b'{"jsonrpc":"2.0","id":' + id + b',"method":"a"}')
    assert request.kind is MessageKind.REQUEST
    assert bytes(request.id or b"") == id
    assert spellings.read(jsonrpc.result(request.id or b"", b"{}"))[1] == ("id", id)


@LAW
@given(VALUES)
def test_a_result_may_be_any_value(value: str) -> None:
    message = parse(f'{{"jsonrpc":"2.0","id":1,"result":{value}}}'.encode())
    assert message.kind is MessageKind.RESULT
    assert bytes(message.body or b"") == value.encode()


def test_an_error_may_lack_its_id() -> None:
    for member in (b"", b'"id":null,'):
        message = parse(b'{"jsonrpc":"2.0",' + member + b'"error":{"code":-32700,"message":"?"}}')
        assert (message.kind, message.id) == (MessageKind.ERROR, None)


def test_a_notification_has_no_id() -> None:
    message = parse(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
    assert (message.kind, message.id, message.params) == (MessageKind.NOTIFICATION, None, None)


def test_escaped_names_are_the_same_names() -> None:
    message = parse(b'{"\\u006asonrpc":"2\\u002e0","\\u0069d":1,"m\\u0065thod":"p\\u0069ng","x":"\\ud800"}')
    assert (message.kind, message.method) == (MessageKind.REQUEST, "ping")


@LAW
@given(STRINGS, VALUES)
def test_unknown_envelope_members_stop_here(name: str, value: str) -> None:
    if spellings.meaning(name) in ("id", "method", "params", "result", "error", "jsonrpc"):
        return
    message = parse(f'{{"jsonrpc":"2.0",{name}:{value},"id":1,"method":"a"}}'.encode())
    assert jsonrpc.request(message.id or b"", message.method) == b'{"jsonrpc":"2.0","id":1,"method":"a"}'


@pytest.mark.trap(31)
def test_a_repeated_member_is_one_value() -> None:
    message = parse(
        b'{"jsonrpc":"2.0","method":"tools/list","id":1,"params":{"a":1},"method":"tools/call","id":2,"params":{"b":2}}'
    )
    assert (message.method, bytes(message.id or b""), bytes(message.params or b"")) == ("tools/call", b"2", b'{"b":2}')


@LAW
@given(OBJECTS, VALUES)
def test_whatever_is_written_is_one_line_and_one_message(params: Spelt, value: str) -> None:
    for line in (
        jsonrpc.request(7, "a\nb\u2028", params.text.encode()),
        jsonrpc.notification("a", params.text.encode()),
        jsonrpc.result(Raw(b'"x"'), value.encode()),
        jsonrpc.error_raw(b"1", params.text.encode()),
        jsonrpc.error(1, -32000, "a\r\nb", {"c": "\r\n"}),
    ):
        assert b"\n" not in line
        assert b"\r" not in line
        parse(line)


@LAW
@given(OBJECTS, VALUES)
def test_what_is_written_is_what_was_read(params: Spelt, value: str) -> None:
    request = parse(jsonrpc.request(b'"x"', "tools/call", params.text.encode()))
    assert (bytes(request.id or b""), request.method) == (b'"x"', "tools/call")
    assert bytes(request.params or b"") == flat(params.text)
    assert bytes(parse(jsonrpc.result(7, value.encode())).body or b"") == flat(value)


def test_errors_are_written_as_the_protocol_has_them() -> None:
    assert jsonrpc.error(None, -32700, "Parse error") == (
        b'{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error"}}'
    )
    assert json.loads(jsonrpc.error(Raw(b"1"), -32022, "no", {"supported": ["2026-07-28"], "requested": "\ud800"})) == {
        "jsonrpc": "2.0",
        "id": 1,
        "error": {"code": -32022, "message": "no", "data": {"supported": ["2026-07-28"], "requested": "\ud800"}},
    }


@pytest.mark.trap(71)
def test_five_megabytes_pass_without_being_decoded() -> None:
    block = b'{"type":"text","text":"0123456789","n":[1,2.50,null]}'
    body = b'{"jsonrpc":"2.0","id":1,"result":{"content":[' + b",".join([block] * (5_000_000 // len(block))) + b"]}}"
    tracemalloc.start()
    found = parse(body).body or Raw(b"")
    answer = jsonrpc.result(2, results.for_modern(found))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(answer) > len(body)
    assert peak < 4 * len(body)
