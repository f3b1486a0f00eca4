from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.errors import HTTP_STATUS, JSONRPC_CODE, GatewayError
from gateway.protocol import eras, jsonrpc
from gateway.protocol.jsonrpc import Message
from gateway.protocol.versions import LEGACY_VERSIONS, SUPPORTED, Era

VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
INFO = "io.modelcontextprotocol/clientInfo"
LEVEL = "io.modelcontextprotocol/logLevel"
ENVELOPE = {VERSION: "2026-07-28", CAPABILITIES: {"roots": {}}}
CALL = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "echo"}

Headers = Mapping[str, str] | list[tuple[str, str]]


def http(headers: Headers) -> Mapping[str, str]:
    return CIMultiDictProxy(CIMultiDict(headers))


def request(method: str = "tools/call", meta: Any = ENVELOPE, **params: Any) -> Message:
    own = params if meta is None else {**params, "_meta": meta}
    return jsonrpc.parse(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": own}).encode())


def call(meta: Any = ENVELOPE, name: Any = "echo") -> Message:
    return request("tools/call", meta, name=name, arguments={})


def refused(headers: Headers, message: Message) -> tuple[int, int]:
    """Status and code."""
    with pytest.raises(GatewayError) as error:
        eras.check_modern(http(headers), message)
    return HTTP_STATUS[error.value.kind], JSONRPC_CODE[error.value.kind]


# Which era


NOTIFICATION = jsonrpc.parse(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
RESPONSE = jsonrpc.parse(b'{"jsonrpc":"2.0","id":1,"result":{}}')
SESSION = {"Mcp-Session-Id": "s"}
MODERN = {"MCP-Protocol-Version": "2026-07-28"}
LEGACY = {"MCP-Protocol-Version": "2025-11-25"}


@pytest.mark.parametrize(
    ("headers", "message", "era"),
    [
        ({}, call(), Era.MODERN),
        (LEGACY, call(), Era.MODERN),
        (SESSION, call(), Era.MODERN),
        ({}, request("initialize"), Era.MODERN),
        (MODERN, call(meta=None), Era.MODERN),
        (MODERN, call(meta=7), Era.MODERN),
        (MODERN | SESSION, call(meta=None), Era.MODERN),
        ({"MCP-Protocol-Version": "2030-01-01"}, call(meta=None), Era.MODERN),
        ({"MCP-Protocol-Version": "1999-01-01"}, call(meta=None), Era.MODERN),
        ({}, request("initialize", None), Era.LEGACY),
        ({}, request("server/discover", None), Era.LEGACY),
        (MODERN, request("server/discover", None), Era.MODERN),
        ({}, request("server/discover", {CAPABILITIES: {}}), Era.LEGACY),
        ({}, call(meta=None), Era.LEGACY),
        ({}, call(meta={"progressToken": 1}), Era.LEGACY),
        ({}, call(meta=[]), Era.LEGACY),
        (LEGACY | SESSION, call(meta=None), Era.LEGACY),
        ({"MCP-Protocol-Version": "2024-11-05"}, call(meta=None), Era.LEGACY),
        (SESSION, NOTIFICATION, Era.LEGACY),
        ({}, NOTIFICATION, Era.LEGACY),
        (MODERN, NOTIFICATION, Era.MODERN),
        (SESSION, RESPONSE, Era.LEGACY),
        ({}, RESPONSE, Era.MODERN),
        (MODERN | SESSION, RESPONSE, Era.MODERN),
    ],
)
def test_the_body_decides_the_era_and_then_the_version_header(headers: Headers, message: Message, era: Era) -> None:
    assert eras.classify(http(headers), message) is era


def test_one_modern_version_among_repeated_headers_is_enough() -> None:
    headers = [("MCP-Protocol-Version", "2025-11-25"), ("mcp-protocol-version", "2026-07-28")]
    assert eras.classify(http(headers), call(meta=None)) is Era.MODERN


# Modern requests


@pytest.mark.point(2)
def test_the_two_required_keys_are_enough() -> None:
    modern = eras.check_modern(http(CALL), call())
    assert (modern.version, bytes(modern.capabilities)) == ("2026-07-28", b'{"roots": {}}')
    assert (modern.client_info, modern.log_level) == (None, None)
    assert modern.params.word("name") == "echo"


def test_what_the_client_says_of_itself_is_handed_on_as_it_is() -> None:
    modern = eras.check_modern(http(CALL), call(ENVELOPE | {INFO: {"name": "c"}, LEVEL: "info", "progressToken": "p"}))
    assert bytes(modern.client_info or b"") == b'{"name": "c"}'
    assert bytes(modern.log_level or b"") == b'"info"'
    assert bytes(modern.params.progress_token or b"") == b'"p"'


@pytest.mark.point(2)
@pytest.mark.parametrize(
    "meta",
    [
        None,
        {},
        [],
        "x",
        {VERSION: "2026-07-28"},
        {CAPABILITIES: {}},
        {VERSION: 20260728, CAPABILITIES: {}},
        {VERSION: None, CAPABILITIES: {}},
        {VERSION: "\ud800", CAPABILITIES: {}},
        {VERSION: "2026-07-28", CAPABILITIES: []},
        {VERSION: "2026-07-28", CAPABILITIES: None},
        ENVELOPE | {INFO: "me"},
        ENVELOPE | {"progressToken": 1.5},
        ENVELOPE | {"progressToken": None},
        ENVELOPE | {LEVEL: "loud"},
        ENVELOPE | {LEVEL: 3},
    ],
)
def test_an_incomplete_envelope_is_32602(meta: Any) -> None:
    assert refused(CALL, call(meta)) == (400, -32602)


def test_the_missing_keys_are_named() -> None:
    with pytest.raises(GatewayError, match=f"{VERSION} and {CAPABILITIES}"):
        eras.check_modern(http(CALL), call({}))


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in CALL.items() if key != name}


@pytest.mark.point(4)
@pytest.mark.point(5)
@pytest.mark.trap(12)
@pytest.mark.parametrize(
    "headers",
    [
        without("MCP-Protocol-Version"),
        CALL | {"MCP-Protocol-Version": "2025-11-25"},
        CALL | {"MCP-Protocol-Version": "2026-07-29"},
        without("Mcp-Method"),
        CALL | {"Mcp-Method": "tools/list"},
        CALL | {"Mcp-Method": "Tools/Call"},
        without("Mcp-Name"),
        CALL | {"Mcp-Name": "Echo"},
        CALL | {"Mcp-Name": "=?base64?ZWNobw?="},
        CALL | {"Mcp-Name": "=?BASE64?ZWNobw==?="},
        CALL | {"Mcp-Name": "ech\xf6"},
        [*CALL.items(), ("mcp-name", "echo")],
        [*CALL.items(), ("mcp-method", "tools/call")],
        [*CALL.items(), ("mcp-protocol-version", "2026-07-28")],
    ],
)
def test_a_header_that_differs_from_the_body_is_32020(headers: Headers) -> None:
    assert refused(headers, call()) == (400, -32020)


@pytest.mark.point(4)
@pytest.mark.trap(12)
@pytest.mark.parametrize(
    "headers",
    [
        {name.lower(): value for name, value in CALL.items()},
        {name.upper(): f" {value}\t" for name, value in CALL.items()},
        CALL | {"Mcp-Name": "=?base64?ZWNobw==?="},
        CALL | {"Mcp-Session-Id": "ignored", "Last-Event-ID": "ignored"},
    ],
)
def test_a_header_that_agrees_in_another_spelling_passes(headers: Headers) -> None:
    assert eras.check_modern(http(headers), call()).params.word("name") == "echo"


@pytest.mark.point(5)
@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("prompts/get", {"name": "n"}),
        ("resources/read", {"uri": "file:///ä"}),
        ("tasks/get", {"taskId": "t"}),
        ("tasks/update", {"taskId": "t"}),
        ("tasks/cancel", {"taskId": "t"}),
    ],
)
def test_every_method_with_a_name_needs_its_header(method: str, params: dict[str, str]) -> None:
    assert refused(MODERN | {"Mcp-Method": method}, request(method, **params)) == (400, -32020)


@pytest.mark.parametrize("name", [None, 7])
def test_a_name_that_is_no_string_is_left_to_the_method(name: Any) -> None:
    params = eras.check_modern(http(CALL), call(name=name)).params
    with pytest.raises(GatewayError) as error:
        _ = params.word("name")
    assert JSONRPC_CODE[error.value.kind] == -32602


def test_methods_without_a_name_need_no_header() -> None:
    assert eras.check_modern(http(MODERN | {"Mcp-Method": "tools/list"}), request("tools/list")).version == "2026-07-28"


@pytest.mark.point(3)
@pytest.mark.parametrize("version", ["1999-01-01", "2027-01-01", "2025-11-25", "", "x" * 1000])
def test_an_unknown_version_in_header_and_body_is_32022(version: str) -> None:
    with pytest.raises(GatewayError) as error:
        eras.check_modern(http(CALL | {"MCP-Protocol-Version": version}), call(ENVELOPE | {VERSION: version}))
    assert JSONRPC_CODE[error.value.kind] == -32022
    assert error.value.data == {"supported": list(SUPPORTED), "requested": version}


@pytest.mark.point(3)
def test_the_first_wrong_thing_in_the_specifications_order_is_told() -> None:
    wrong = {"MCP-Protocol-Version": "1999-01-01", "Mcp-Method": "no"}
    assert refused(wrong, call({VERSION: "1999-01-02"})) == (400, -32602)
    assert refused(wrong, call(ENVELOPE | {VERSION: "1999-01-02"})) == (400, -32020)
    assert refused(wrong, call(ENVELOPE | {VERSION: "1999-01-01"})) == (400, -32020)
    assert refused(CALL | wrong | {"Mcp-Method": "tools/call"}, call(ENVELOPE | {VERSION: "1999-01-01"})) == (
        400,
        -32022,
    )


@pytest.mark.trap(31)
@pytest.mark.parametrize("message", [RESPONSE, jsonrpc.parse(b'{"jsonrpc":"2.0","error":{"code":1,"message":""}}')])
def test_a_modern_client_posts_no_responses(message: Message) -> None:
    assert refused(MODERN, message) == (400, -32600)


# Legacy requests


@pytest.mark.point(40)
@pytest.mark.parametrize("version", [None, *LEGACY_VERSIONS])
def test_our_legacy_versions_are_served(version: str | None) -> None:
    headers = {} if version is None else {"MCP-Protocol-Version": version}
    for session in (None, *LEGACY_VERSIONS):
        eras.check_legacy(http(headers), session)
    assert eras.legacy_version(http(headers)) == (version or "2025-03-26")


@pytest.mark.point(40)
@pytest.mark.parametrize(
    "headers",
    [
        {"MCP-Protocol-Version": "2024-11-05"},
        {"MCP-Protocol-Version": ""},
        [("MCP-Protocol-Version", "2025-11-25"), ("mcp-protocol-version", "2025-11-25")],
    ],
)
def test_another_version_header_is_refused(headers: Headers) -> None:
    with pytest.raises(GatewayError, match="supported: 2025-03-26") as error:
        eras.check_legacy(http(headers), "2025-11-25")
    assert (HTTP_STATUS[error.value.kind], JSONRPC_CODE[error.value.kind]) == (400, -32600)


def initialize(**params: Any) -> Message:
    return request("initialize", None, **params)


def test_a_handshake_is_opened_with_its_own_texts() -> None:
    handshake = eras.open_initialize(
        initialize(protocolVersion="2025-06-18", capabilities={"roots": {}}, clientInfo={"name": "c", "version": "1"})
    )
    assert handshake.version == "2025-06-18"
    assert bytes(handshake.capabilities) == b'{"roots": {}}'
    assert bytes(handshake.client_info) == b'{"name": "c", "version": "1"}'


def test_half_a_character_in_a_handshake_is_told_as_such() -> None:
    half = {"name": "\ud800", "version": "1"}
    with pytest.raises(GatewayError, match="clientInfo holds half of a surrogate pair"):
        eras.open_initialize(initialize(protocolVersion="2025-11-25", capabilities={}, clientInfo=half))


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"protocolVersion": "2025-11-25"},
        {"protocolVersion": "2025-11-25", "capabilities": {}},
        {"protocolVersion": 1, "capabilities": {}, "clientInfo": {}},
        {"protocolVersion": "2025-11-25", "capabilities": [], "clientInfo": {}},
        {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": "me"},
        {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "\ud800", "version": "1"}},
    ],
)
def test_an_incomplete_handshake_is_32602(params: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as error:
        eras.open_initialize(initialize(**params))
    assert JSONRPC_CODE[error.value.kind] == -32602
