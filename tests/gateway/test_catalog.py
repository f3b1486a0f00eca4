import json

import pytest
from msgspec import Raw

from gateway.catalog import Catalog, digest, entries_of, exposed
from gateway.protocol.listed import Listed
from gateway.protocol.versions import Era


def of(*definitions, listed=Listed.TOOLS):
    raws = [Raw(definition) for definition in definitions]
    offers = {listed: entries_of(listed, raws)}
    return Catalog(Era.LEGACY, "2025-11-25", None, None, None, offers, digest({listed: raws}), 0)


def shown(definition, slug, listed=Listed.TOOLS):
    [entry] = exposed(of(definition, listed=listed), slug)[listed]
    return entry


def test_entries_without_a_usable_name_are_left_out_and_hide_nobody():
    texts = (b'{"name":"a"}', b'{"name":7}', b"{}", b'{"name":""}', b'{"name":"b"}')
    kept = entries_of(Listed.TOOLS, [Raw(text) for text in texts])
    assert [tool.name for tool in kept] == ["a", "b"]


def test_the_hash_tells_catalogs_apart_by_bytes_order_and_kind():
    a, b = Raw(b'{"name":"a"}'), Raw(b'{"name":"b"}')
    lists = [[a, b], [b, a], [a], [], [Raw(b'{"name":"a"}{"name":"b"}')]]
    digests = [digest({Listed.TOOLS: one}) for one in lists] + [digest({Listed.PROMPTS: [a]})]
    assert len(set(digests)) == 6
    assert digest({Listed.TOOLS: [a, b]}) == digests[0]
    assert digest({Listed.TOOLS: [a, b], Listed.PROMPTS: []}) == digests[0]


def test_each_era_sees_what_it_can_read_and_every_other_byte():
    tool = b'{"name":"t","x-vendor":1.10,"outputSchema":{"type":"array"},"execution":{"taskSupport":"optional"}}'
    seen = shown(tool, "s")
    assert seen.text[Era.MODERN] == b'{"name":"s__t","x-vendor":1.10,"outputSchema":{"type":"array"}}'
    legacy = json.loads(seen.text[Era.LEGACY])
    assert legacy["name"] == "s__t"
    assert "outputSchema" not in legacy
    assert b"1.10" in seen.text[Era.LEGACY]


def test_names_stay_where_no_slug_is_asked_for_and_the_definition_is_untouched():
    tool = b'{ "name" : "t", "inputSchema":{"$ref":"#/\\u00e9"} }'
    seen = shown(tool, None)
    assert (seen.exposed, seen.text) == ("t", {Era.MODERN: tool, Era.LEGACY: tool})


def test_an_entry_that_only_one_era_sees_change_changes_for_that_era_alone():
    one, two = (
        shown(b'{"name":"t","execution":{"taskSupport":"%b"}}' % word, None) for word in (b"optional", b"required")
    )
    assert one.mark[Era.MODERN] == two.mark[Era.MODERN]
    assert one.mark[Era.LEGACY] != two.mark[Era.LEGACY]


def test_prompts_are_named_like_tools_and_resources_by_their_uris():
    assert shown(b'{"name":"greet","title":"1.10"}', "s", Listed.PROMPTS).exposed == "s__greet"
    resource = shown(b'{"uri":"file:///a","name":"A"}', "s", Listed.RESOURCES)
    assert (resource.exposed, resource.original) == ("s+file:///a", "file:///a")
    assert resource.text[Era.LEGACY] == b'{"uri":"s+file:///a","name":"A"}'
    template = shown(b'{"uriTemplate":"file:///{a}","name":"A"}', "s", Listed.TEMPLATES)
    assert template.text[Era.MODERN] == b'{"uriTemplate":"s+file:///{a}","name":"A"}'


@pytest.mark.point(35)
def test_the_page_of_a_tool_moves_with_its_resource():
    tool = b'{"name":"t","_meta":{"ui":{"resourceUri":"ui://x/a","k":1.10},"ui/resourceUri":"ui://x/a"}}'
    about = json.loads(shown(tool, "s").text[Era.MODERN])["_meta"]
    assert about == {"ui": {"resourceUri": "ui://s/x/a", "k": 1.10}, "ui/resourceUri": "ui://s/x/a"}


def test_a_tool_carries_the_headers_of_its_arguments():
    tool = b'{"name":"t","inputSchema":{"properties":{"region":{"type":"string","x-mcp-header":"Region"}}}}'
    assert [mirror.header for mirror in shown(tool, "s").mirrors] == ["Mcp-Param-Region"]


def test_modern_clients_see_no_annotation_of_a_tool_that_is_annotated_wrongly():
    """They would have to drop the tool; to clients of the server's own era its schema means nothing else."""
    tool = (
        b'{"name":"t","inputSchema":{"x":1.10,"properties":{"a":{"type":"object","x-mcp-header":"A"},'
        b'"x-mcp-header":{"type":"string","default":{"x-mcp-header":1}}},"anyOf":[{"x-mcp-header":"B","y":1e2}],'
        b'"$defs":{"d":{"items":{"x-mcp-header":"C"}}}},"x-mcp-header":"mine"}'
    )
    seen = shown(tool, None)
    assert seen.mirrors == ()
    assert seen.text[Era.LEGACY] == tool
    assert seen.text[Era.MODERN] == (
        b'{"name":"t","inputSchema":{"x":1.10,"properties":{"a":{"type":"object"},'
        b'"x-mcp-header":{"type":"string","default":{"x-mcp-header":1}}},"anyOf":[{"y":1e2}],'
        b'"$defs":{"d":{"items":{}}}},"x-mcp-header":"mine"}'
    )
