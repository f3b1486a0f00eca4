from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol.params import claim_of, client_names, open_params, recorded, renamed, rewritten, trace_id_of
from storage.records import Claim

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def raw(value: Any) -> Raw:
    return Raw(json.dumps(value).encode())


def test_a_request_without_params_says_nothing() -> None:
    params = open_params(None)
    assert (params.members, params.meta, params.progress_token, params.cursor) == ({}, {}, None, None)


@pytest.mark.parametrize("token", [b'"p"', b"7", b'"\\u0037"', b"1" + b"0" * 22])
def test_a_progress_token_keeps_its_type_and_spelling(token: bytes) -> None:
    found = open_params(Raw(b'{"_meta":{"progressToken":' + token + b"}}")).progress_token
    assert bytes(found or b"") == token


@pytest.mark.parametrize(
    "meta", [1, None, [], "x", {"progressToken": 1.0}, {"progressToken": {}}, {"progressToken": None}]
)
def test_a_bad_meta_is_refused(meta: Any) -> None:
    with pytest.raises(GatewayError) as error:
        open_params(raw({"_meta": meta}))
    assert error.value.kind is Kind.INVALID_PARAMS


@pytest.mark.parametrize("name", [None, 7, ["a"], "\ud800"])
def test_a_name_must_be_a_string_of_whole_characters(name: Any) -> None:
    with pytest.raises(GatewayError, match="name must be a string") as error:
        _ = open_params(raw({"name": name})).word("name")
    assert error.value.kind is Kind.INVALID_PARAMS


def test_a_cursor_may_be_empty_and_must_be_a_string() -> None:
    assert open_params(raw({"cursor": ""})).cursor == ""
    with pytest.raises(GatewayError, match="cursor must be a string"):
        _ = open_params(raw({"cursor": 1})).cursor


def test_another_name_takes_the_place_of_the_old_one() -> None:
    params = open_params(Raw(b'{"x":1.10,"name":"a","_meta":{"progressToken":1,"k":2e1},"arguments":{ }}'))
    assert [(name, bytes(value)) for name, value in renamed(params.members, "b").items()] == [
        ("x", b"1.10"),
        ("name", b'"b"'),
        ("_meta", b'{"progressToken":1,"k":2e1}'),
        ("arguments", b"{ }"),
    ]


def test_the_record_keeps_what_is_sent_on_and_nothing_of_this_hop() -> None:
    params = open_params(Raw(b'{"x":1.10,"_meta":{"chat.gateway/sessionId":"s","k":2e1},"name":"a"}'))
    assert recorded(params.members, params.meta) == b'{"x":1.10,"_meta":{"k":2e1},"name":"a"}'
    bare = open_params(Raw(b'{"name":"a","_meta":{"progressToken":1}}'))
    assert recorded(bare.members, bare.meta) == b'{"name":"a"}'


def test_params_are_rewritten_in_their_order() -> None:
    members = open_params(Raw(b'{"a":1e2,"_meta":{"x":1},"b":null}')).members
    assert bytes(rewritten(members, {"y": Raw(b"2")})) == b'{"a":1e2,"_meta":{"y":2},"b":null}'
    assert bytes(rewritten(members, {})) == b'{"a":1e2,"b":null}'
    assert bytes(rewritten({}, {"y": Raw(b"2")})) == b'{"_meta":{"y":2}}'


@pytest.mark.parametrize(
    ("info", "names"),
    [
        (None, (None, None)),
        (raw({"name": "c", "version": "1"}), ("c", "1")),
        (raw({"name": "c" * 500, "version": "1" * 500}), ("c" * 100, "1" * 50)),
        (raw({"name": 7, "version": ""}), (None, None)),
        (raw({"name": "a\n\x1b[31m\ud800b"}), ("a��[31m�b", None)),
        (raw(["name"]), (None, None)),
    ],
)
def test_a_clients_names_are_bounded_and_printable(info: Raw | None, names: tuple[str | None, str | None]) -> None:
    assert client_names(info) == names


def meta(**values: Any) -> dict[str, Raw]:
    return {f"chat.gateway/{key}": raw(value) for key, value in values.items()}


@pytest.mark.parametrize(
    ("about", "headers", "claim"),
    [
        ({}, {}, None),
        (meta(sessionId="s", messageId=7), {}, Claim(session="s", message="7")),
        (meta(sessionId=12), {}, Claim(session="12")),
        ({}, {"X-Chat-Session-Id": "s", "X-Chat-Message-Id": "m"}, Claim(session="s", message="m")),
        (meta(sessionId="s"), {"X-Chat-Session-Id": "h", "X-Chat-Message-Id": "m"}, Claim(session="s", message="m")),
        (meta(sessionId=1.5, messageId={"a": 1}), {}, None),
        (meta(sessionId="x" * 500), {}, Claim(session="x" * 64)),
        (meta(sessionId=10**30), {}, None),
        ({}, {"X-Chat-Session-Id": "  "}, None),
        (meta(sessionId="a\ud800\n"), {}, Claim(session="a��")),
    ],
)
def test_a_claim_is_read_as_sent_and_bounded(
    about: dict[str, Raw], headers: dict[str, str], claim: Claim | None
) -> None:
    assert claim_of(about, headers) == claim


@pytest.mark.parametrize(
    ("parent", "header", "trace"),
    [
        (None, None, None),
        (PARENT, None, TRACE),
        (None, PARENT, TRACE),
        (None, f" {PARENT} ", TRACE),
        (PARENT, f"00-{'1' * 32}-b7ad6b7169203331-01", TRACE),
        ("nonsense", PARENT, TRACE),
        (7, None, None),
        (PARENT.upper(), None, None),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None, None),
        (f"00-{TRACE}-{'0' * 16}-01", None, None),
        (f"ff-{TRACE}-b7ad6b7169203331-01", None, None),
        (f"cc-{TRACE}-b7ad6b7169203331-01-what-the-future-will-be-like", None, TRACE),
        (f"cc-{TRACE}-b7ad6b7169203331-01.what", None, None),
        (f"00-{TRACE}-b7ad6b7169203331-01-more", None, None),
    ],
)
def test_the_trace_id_is_that_of_meta_or_else_of_the_header(parent: Any, header: str | None, trace: str | None) -> None:
    about = {} if parent is None else {"traceparent": raw(parent)}
    assert trace_id_of(about, {} if header is None else {"traceparent": header}) == trace
