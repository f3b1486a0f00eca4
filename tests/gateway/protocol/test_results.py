from __future__ import annotations

import json

import pytest
from msgspec import Raw

from gateway.protocol.results import (
    Head,
    error_for,
    error_head,
    for_legacy,
    for_modern,
    head,
    renamed,
    tool_for_legacy,
    tool_for_modern,
)
from gateway.protocol.versions import Era


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (b"{}", Head()),
        (b'{"content":[],"isError":true}', Head(isError=True)),
        (b'{"isError":false,"resultType":"complete"}', Head("complete")),
        (
            b'{"resultType":"input_required","ttlMs":5,"cacheScope":"private"}',
            Head("input_required", False, 5, "private"),
        ),
        (b'{"resultType":7,"isError":"yes","ttlMs":1.5,"cacheScope":null}', Head()),
        (b'{"isError":true,"content":[{"text":"\\ud800"}],"resultTyp\\u0065":"task"}', Head("task", True)),
        (b"null", Head()),
        (b"[1]", Head()),
        (b'"\\ud800"', Head()),
    ],
)
def test_the_head_tells_what_the_result_says(result: bytes, expected: Head) -> None:
    assert head(Raw(result)) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (b'{"code":-32601,"message":"no"}', (-32601, "no")),
        (b'{"code":"E","message":5}', (-32603, "")),
        (b"{}", (-32603, "")),
        (b"null", (-32603, "")),
        (b'{"code":1e3,"message":"\\ud800"}', (-32603, "\ud800")),
        (b'{"code":' + b"9" * 5000 + b"}", (-32603, "")),
    ],
)
def test_an_error_is_read_whatever_is_in_it(error: bytes, expected: tuple[int, str]) -> None:
    assert error_head(Raw(error)) == expected


LEGACY, MODERN = Era.LEGACY, Era.MODERN


@pytest.mark.point(33)
@pytest.mark.point(34)
@pytest.mark.parametrize(
    ("server", "client", "code", "seen"),
    [
        *(
            (server, client, code, code)
            for server in Era
            for client in Era
            for code in (-32601, -32602, -32603, 7, -32000)
        ),
        *((LEGACY, LEGACY, code, code) for code in (-32002, -32042, -32020, -32050)),
        (LEGACY, MODERN, -32002, -32602),
        (LEGACY, MODERN, -32042, -32603),
        *((LEGACY, MODERN, code, -32603) for code in (-32020, -32021, -32022, -32050, -32099)),
        (LEGACY, MODERN, -32019, -32019),
        (LEGACY, MODERN, -32100, -32100),
        (MODERN, MODERN, -32021, -32021),
        (MODERN, LEGACY, -32021, -32021),
        *((MODERN, client, code, -32603) for client in Era for code in (-32020, -32022)),
        (MODERN, MODERN, -32002, -32602),
        (None, MODERN, -32021, -32603),
    ],
)
def test_a_code_means_to_the_client_what_the_server_meant(server: Era, client: Era, code: int, seen: int) -> None:
    error = b'{"message":"\\u00e9","code":%d,"data":{"a":1.10},"x":"\\ud800"}'
    found = error_for(Raw(error % code), client=client, server=server)
    assert bytes(found) == error % seen


@pytest.mark.parametrize("error", [b"null", b'{"code":"E"}', b'{"code":1e3}', b"{}"])
def test_an_error_without_a_code_is_left_alone(error: bytes) -> None:
    assert bytes(error_for(Raw(error), client=MODERN, server=LEGACY)) == error


@pytest.mark.point(15)
@pytest.mark.parametrize(
    ("legacy", "modern"),
    [
        (b"{}", b'{"resultType":"complete"}'),
        (b"{ \n}", b'{"resultType":"complete" \n}'),
        (b'{"content":[1.10]}', b'{"resultType":"complete","content":[1.10]}'),
        (b'{ "a" : "\\ud800" }', b'{"resultType":"complete", "a" : "\\ud800" }'),
        (b'{"resultType":"task","a":1e2}', b'{"resultType":"task","a":1e2}'),
        (b"null", b"null"),
        (b"[{}]", b"[{}]"),
    ],
)
def test_a_modern_result_says_that_it_is_complete(legacy: bytes, modern: bytes) -> None:
    assert bytes(for_modern(Raw(legacy))) == modern


@pytest.mark.point(15)
@pytest.mark.parametrize(
    ("legacy", "modern"),
    [
        (b'{"tools":[]}', b'{"resultType":"complete","ttlMs":30,"cacheScope":"private","tools":[]}'),
        (b'{"resultType":"complete"}', b'{"ttlMs":30,"cacheScope":"private","resultType":"complete"}'),
        (b'{"ttlMs":7}', b'{"resultType":"complete","cacheScope":"private","ttlMs":7}'),
        (
            b'{"resultType":"complete","ttlMs":7,"cacheScope":"public"}',
            b'{"resultType":"complete","ttlMs":7,"cacheScope":"public"}',
        ),
    ],
)
def test_a_cacheable_result_says_for_how_long_and_for_whom(legacy: bytes, modern: bytes) -> None:
    assert bytes(for_modern(Raw(legacy), cache=(30, "private"))) == modern


def test_a_modern_client_sees_no_task_of_the_legacy_kind() -> None:
    legacy = Raw(b'{"_meta":{"a":1.10,"io.modelcontextprotocol/related-task":{"taskId":"t"}},"content":[]}')
    assert bytes(for_modern(legacy)) == b'{"resultType":"complete","_meta":{"a":1.10},"content":[]}'


@pytest.mark.point(46)
@pytest.mark.trap(15)
@pytest.mark.parametrize(
    ("modern", "legacy"),
    [
        (b'{"resultType":"complete","content":[1.10 ],"isError":false}', b'{"content":[1.10 ],"isError":false}'),
        (b'{"ttlMs":1,"tools":[],"cacheScope":"private"}', b'{"tools":[]}'),
        (b'{"resultTyp\\u0065":"complete","a":"\\ud800"}', b'{"a":"\\ud800"}'),
        (
            b'{"content":[ ],"structuredContent":{"resultType":1}}',
            b'{"content":[ ],"structuredContent":{"resultType":1}}',
        ),
        (b'{ "content" : [] }', b'{ "content" : [] }'),
        (b"null", b"null"),
    ],
)
def test_a_legacy_client_sees_nothing_of_the_modern_era(modern: bytes, legacy: bytes) -> None:
    assert bytes(for_legacy(Raw(modern))) == legacy


@pytest.mark.point(46)
@pytest.mark.parametrize("structured", [b"[1,2]", b"null", b'"a"', b"1.10", b"true"])
def test_structured_content_that_is_no_object_gives_way_to_content(structured: bytes) -> None:
    modern = b'{"content":[{"type":"text","text":"x"}],"structuredContent":' + structured + b',"b":1e2}'
    assert bytes(for_legacy(Raw(modern))) == b'{"content":[{"type":"text","text":"x"}],"b":1e2}'


@pytest.mark.parametrize("content", [b"", b'"content":[ ],'])
def test_structured_content_becomes_text_where_there_is_no_content(content: bytes) -> None:
    modern = b'{"resultType":"complete",' + content + b'"structuredContent":[1.10,\n"\\ud800","\xc3\xa9"]}'
    assert json.loads(bytes(for_legacy(Raw(modern)))) == {
        "content": [{"type": "text", "text": '[1.10,\n"\\ud800","é"]'}]
    }


@pytest.mark.point(46)
@pytest.mark.parametrize(
    "schema",
    [b'{"type":"array"}', b'{"$ref":"#/$defs/a"}', b'{"type":["object","null"]}', b"true", b"null", b'{"oneOf":[]}'],
)
def test_an_output_schema_that_is_no_objects_is_dropped_for_legacy_clients(schema: bytes) -> None:
    tool = Raw(b'{"name":"a","outputSchema":' + schema + b',"inputSchema":{"maximum":1e2}}')
    assert bytes(tool_for_legacy(tool)) == b'{"name":"a","inputSchema":{"maximum":1e2}}'


@pytest.mark.parametrize("tool", [b'{ "name":"a" }', b'{"name":"a","outputSchema":{ "type" : "object" }}'])
def test_a_definition_that_legacy_clients_understand_is_not_touched(tool: bytes) -> None:
    assert bytes(tool_for_legacy(Raw(tool))) == tool


def test_execution_is_dropped_for_modern_clients() -> None:
    assert bytes(tool_for_modern(Raw(b'{"name":"a","execution":{"taskSupport":"optional"},"x":1.10}'))) == (
        b'{"name":"a","x":1.10}'
    )
    assert bytes(tool_for_modern(Raw(b'{ "name":"a" }'))) == b'{ "name":"a" }'


def test_only_the_name_is_replaced() -> None:
    assert renamed(Raw(b'{"x":1.10,"name":"a","title":"a","y":{"name":"a"}}'), "s__ä") == (
        '{"x":1.10,"name":"s__ä","title":"a","y":{"name":"a"}}'.encode()
    )
