from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw
from multidict import CIMultiDict

from gateway.errors import GatewayError, Kind
from gateway.protocol.headers import McpHeaders
from gateway.protocol.mirrors import BadAnnotation, Mirror, check, mirrored, mirrors_of


def tool(schema: Any) -> Raw:
    return Raw(json.dumps({"name": "t", "inputSchema": schema}).encode())


def annotated(name: Any, type: Any = "string") -> dict[str, Any]:
    return {"type": type, "x-mcp-header": name}


def properties(**schemas: Any) -> dict[str, Any]:
    return {"type": "object", "properties": schemas}


MIRRORS = mirrors_of(
    tool(
        properties(
            region=annotated("Region"),
            page=annotated("Page", "integer"),
            dry=annotated("Dry", "boolean"),
            where=properties(city=annotated("City")),
            query={"type": "string"},
        )
    )
)


def test_annotations_are_found_along_properties() -> None:
    assert set(MIRRORS) == {
        Mirror("Mcp-Param-Region", ("region",), "string"),
        Mirror("Mcp-Param-Page", ("page",), "integer"),
        Mirror("Mcp-Param-Dry", ("dry",), "boolean"),
        Mirror("Mcp-Param-City", ("where", "city"), "string"),
    }


@pytest.mark.parametrize(
    "definition",
    [
        Raw(b'{"name":"t"}'),
        tool(True),
        tool(properties(a={"type": "string"})),
        tool(properties(**{"x-mcp-header": {"type": "string"}})),
        tool(properties(a={"type": "object", "default": {"x-mcp-header": "A"}, "enum": [{"x-mcp-header": "B"}]})),
        Raw(b'{"name":"t","description":"x-mcp-header","inputSchema":{"const":"\\ud800"}}'),
    ],
)
def test_what_is_no_annotation_is_none(definition: Raw) -> None:
    assert mirrors_of(definition) == ()


@pytest.mark.point(54)
@pytest.mark.parametrize(
    "schema",
    [
        annotated("Root", "object"),
        properties(a=annotated("")),
        properties(a=annotated("a b")),
        properties(a=annotated("a\r\nb")),
        properties(a=annotated("ä")),
        properties(a=annotated(7)),
        properties(a=annotated("A", "number")),
        properties(a=annotated("A", "object")),
        properties(a=annotated("A", ["string", "null"])),
        properties(a={"x-mcp-header": "A"}),
        properties(a=annotated("Same"), b=annotated("sAME")),
        properties(a={"type": "array", "items": annotated("A")}),
        properties(a={"type": "array", "prefixItems": [annotated("A")]}),
        properties(a={"anyOf": [annotated("A")]}),
        {"oneOf": [properties(a=annotated("A"))]},
        {"if": properties(a=annotated("A"))},
        {"$defs": {"a": annotated("A")}},
        {"patternProperties": {"a": annotated("A")}},
        {"dependentSchemas": {"a": properties(b=annotated("A"))}},
    ],
)
def test_a_bad_annotation_spoils_the_tool(schema: Any) -> None:
    with pytest.raises(BadAnnotation):
        mirrors_of(tool(schema))


def test_an_annotation_may_be_spelt_with_escapes() -> None:
    definition = b'{"inputSchema":{"properties":{"a":{"type":"string","x-mcp-h\\u0065ader":"A"}}}}'
    assert mirrors_of(Raw(definition)) == (Mirror("Mcp-Param-A", ("a",), "string"),)


def headers_of(arguments: str | None) -> dict[str, str]:
    return mirrored(MIRRORS, None if arguments is None else Raw(arguments.encode()))


@pytest.mark.point(54)
@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        (None, {}),
        ("{}", {}),
        ("null", {}),
        ('{"region":null,"page":null,"where":null}', {}),
        ('{"region":{},"page":[1],"where":"x"}', {}),
        ('{"region":"us-west1","query":"x"}', {"Region": "us-west1"}),
        ('{"region":"\\u00e9"}', {"Region": "=?base64?w6k=?="}),
        ('{"region":"a\\r\\nX-Evil: 1"}', {"Region": "=?base64?YQ0KWC1FdmlsOiAx?="}),
        ('{"region":"\\ud800"}', {}),
        ('{"page":42,"dry":false}', {"Page": "42", "Dry": "false"}),
        ('{"page":-7,"dry":true}', {"Page": "-7", "Dry": "true"}),
        ('{"page":42.0}', {"Page": "42"}),
        ('{"page":4.2e1}', {"Page": "42"}),
        ('{"page":1.5}', {"Page": "1.5"}),
        ('{"page":1e999999999}', {"Page": "1e999999999"}),
        ('{"where":{"city":"Köln"}}', {"City": "=?base64?S8O2bG4=?="}),
        ('{"region":"a","region":"b"}', {"Region": "b"}),
    ],
)
def test_headers_are_made_from_the_arguments(arguments: str | None, headers: dict[str, str]) -> None:
    assert headers_of(arguments) == {f"Mcp-Param-{name}": value for name, value in headers.items()}


@pytest.mark.parametrize(
    "arguments",
    ["{}", '{"region":"é","page":42.0,"dry":true,"where":{"city":"x"}}', '{"page":null}', '{"region":"\\ud800"}'],
)
def test_the_headers_that_we_make_are_the_headers_that_we_accept(arguments: str) -> None:
    check(MIRRORS, Raw(arguments.encode()), McpHeaders(headers_of(arguments)))


@pytest.mark.point(6)
@pytest.mark.parametrize(
    ("header", "accepted"),
    [("42", True), ("42.0", True), ("42.00", True), ("042", True), ("43", False), ("42.5", False), ("4.2e1", False)],
)
def test_integers_are_compared_as_numbers(header: str, accepted: bool) -> None:
    headers = McpHeaders({"mcp-param-page": header})
    if accepted:
        check(MIRRORS, Raw(b'{"page":42}'), headers)
        check(MIRRORS, Raw(b'{"page":42.0}'), headers)
    else:
        with pytest.raises(GatewayError):
            check(MIRRORS, Raw(b'{"page":42}'), headers)


@pytest.mark.point(6)
@pytest.mark.parametrize(
    ("arguments", "headers", "words"),
    [
        ('{"region":"x"}', [], "Mcp-Param-Region is missing"),
        ("{}", [("Mcp-Param-Region", "x")], "there without its argument"),
        ('{"region":null}', [("Mcp-Param-Region", "null")], "there without its argument"),
        ('{"region":{}}', [("Mcp-Param-Region", "{}")], "there without its argument"),
        ('{"region":"x"}', [("mcp-param-region", "y")], "differs from the body"),
        ('{"region":"x"}', [("Mcp-Param-Region", "x"), ("mcp-param-region", "x")], "is repeated"),
        ('{"region":"x"}', [("Mcp-Param-Region", "=?base64?eA?=")], "no base64"),
        ('{"region":"ö"}', [("Mcp-Param-Region", "ö")], "base64 form"),
        ('{"dry":true}', [("Mcp-Param-Dry", "True")], "differs from the body"),
    ],
)
def test_a_header_that_differs_from_its_argument_is_refused(
    arguments: str, headers: list[tuple[str, str]], words: str
) -> None:
    with pytest.raises(GatewayError, match=words) as error:
        check(MIRRORS, Raw(arguments.encode()), McpHeaders(CIMultiDict(headers)))
    assert error.value.kind is Kind.HEADER_MISMATCH


def test_unknown_param_headers_mean_nothing() -> None:
    check(MIRRORS, Raw(b"{}"), McpHeaders({"Mcp-Param-Other": "x"}))
