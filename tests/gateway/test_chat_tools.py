"""Tools as functions: names that model APIs take, schemas as they were, and the way back."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.chat_tools import Page, functions, page_of
from gateway.protocol.jsonrpc import text

VENDORS = re.compile(r"[A-Za-z0-9_-]{1,64}")


def result(*tools, cursor=None):
    more = {} if cursor is None else {"nextCursor": cursor}
    return bytes(text({"tools": list(tools), **more}))


def test_a_tool_becomes_a_function_with_its_name_description_and_schema():
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {"name": "time__now", "title": "Now", "description": "What time is it?", "inputSchema": schema}
    found = functions((result({**tool, "outputSchema": {}, "annotations": {"readOnlyHint": True}, "icons": []}),))
    assert json.loads(found.body) == {
        "tools": [
            {
                "type": "function",
                "function": {"name": "time__now", "description": "What time is it?", "parameters": schema},
            }
        ]
    }
    assert found.meant("time__now").tool == "time__now"


@pytest.mark.trap(22)
def test_a_schema_and_a_description_keep_their_bytes():
    schema = rb'{"type":"object", "$defs":{"x":{"const":1.10}},"properties":{"a":{"maximum":1e2,"$anchor":"\u00e9"}}}'
    page = rb'{"tools":[{"name":"a","description":"\u00e9\ud800 \/","inputSchema":' + schema + b"}]}"
    body = functions((page,)).body
    assert b'"parameters":' + schema in body
    assert rb'"description":"\u00e9\ud800 \/"' in body


def test_pages_make_one_list_in_their_order():
    found = functions((result({"name": "b"}, cursor="x"), result({"name": "a"})))
    assert [tool["function"]["name"] for tool in json.loads(found.body)["tools"]] == ["b", "a"]


def test_a_page_names_the_next_one():
    assert page_of(Raw(result({"name": "a"}, cursor="x"))) == Page((text({"name": "a"}),), "x")
    assert page_of(Raw(result())) == Page((), None)


@pytest.mark.trap(38)
@pytest.mark.parametrize("name", ["get.time", "a/b", "Zeit zählen", "时间", "x" * 65, "a b"])
def test_a_name_that_model_apis_refuse_is_altered_and_leads_back(name):
    found = functions((result({"name": name}),))
    shown = json.loads(found.body)["tools"][0]["function"]["name"]
    assert VENDORS.fullmatch(shown)
    assert found.meant(shown).tool == name


@given(st.lists(st.text(min_size=1, max_size=80), unique=True, max_size=12))
def test_every_function_has_a_legal_name_of_its_own_that_means_one_tool(names):
    found = functions((result(*({"name": name} for name in names)),))
    shown = [tool["function"]["name"] for tool in json.loads(found.body)["tools"]]
    assert all(VENDORS.fullmatch(name) for name in shown)
    assert [found.meant(name).tool for name in shown] == names


@pytest.mark.trap(38)
def test_a_legal_name_keeps_its_tool_when_an_altered_one_meets_it():
    altered = json.loads(functions((result({"name": "get.time"}),)).body)["tools"][0]["function"]["name"]
    found = functions((result({"name": "get.time"}, {"name": altered}),))
    assert [tool["function"]["name"] for tool in json.loads(found.body)["tools"]] == [altered]
    assert found.meant(altered).tool == altered


def test_a_name_that_was_never_offered_means_itself():
    assert functions(()).meant("nope").tool == "nope"


@pytest.mark.parametrize(
    ("tool", "function"),
    [
        ({"name": "a"}, {"name": "a"}),
        ({"name": "a", "title": "The A"}, {"name": "a", "description": "The A"}),
        ({"name": "a", "description": 7, "title": None}, {"name": "a"}),
        ({"name": "a", "inputSchema": {}}, {"name": "a", "parameters": {}}),
        ({"name": "a", "inputSchema": True}, {"name": "a"}),
    ],
)
def test_what_a_tool_does_not_say_its_function_does_not_say(tool, function):
    assert json.loads(functions((result(tool),)).body)["tools"] == [{"type": "function", "function": function}]


@pytest.mark.parametrize(
    ("meta", "shown"),
    [
        ({"ui": {"visibility": ["app"]}}, False),
        ({"ui": {"visibility": []}}, False),
        ({"ui": {"visibility": ["model", "app"]}}, True),
        ({"ui": {"resourceUri": "ui://x"}}, True),
        ({"ui": {"visibility": "app"}}, True),
        ({"ui": 1}, True),
        (7, True),
    ],
)
def test_a_tool_for_apps_alone_is_not_shown_to_models(meta, shown):
    assert bool(json.loads(functions((result({"name": "a", "_meta": meta}),)).body)["tools"]) is shown


def test_equal_lists_have_one_tag_and_others_have_another():
    tags = {functions((result(*tools),)).etag for tools in ([{"name": "a"}], [{"name": "a"}], [{"name": "b"}], [])}
    assert len(tags) == 3
    assert all(re.fullmatch(r'"[0-9a-f]{32}"', tag) for tag in tags)


def test_arguments_that_headers_repeat_are_known_and_a_bad_annotation_repeats_none():
    schema = {"properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
    bad = {"properties": {"region": {"type": "object", "x-mcp-header": "Region"}}}
    found = functions((result({"name": "a", "inputSchema": schema}, {"name": "b", "inputSchema": bad}),))
    assert [mirror.header for mirror in found.meant("a").mirrors] == ["Mcp-Param-Region"]
    assert found.meant("b").mirrors == ()
