import json

from msgspec import Raw

from gateway.catalog import Catalog, digest, exposed, tools_of
from gateway.protocol.versions import Era


def of(*definitions):
    raws = [Raw(definition) for definition in definitions]
    return Catalog(Era.LEGACY, "2025-11-25", None, None, None, tools_of(raws), digest(raws), 0)


def test_entries_without_a_usable_name_are_left_out_and_hide_nobody():
    kept = tools_of([Raw(b'{"name":"a"}'), Raw(b'{"name":7}'), Raw(b"{}"), Raw(b'{"name":""}'), Raw(b'{"name":"b"}')])
    assert [tool.name for tool in kept] == ["a", "b"]


def test_the_hash_tells_catalogs_apart_by_bytes_and_order():
    a, b = Raw(b'{"name":"a"}'), Raw(b'{"name":"b"}')
    assert digest([a, b]) == digest([a, b])
    assert (
        len({digest([a, b]), digest([b, a]), digest([a]), digest([]), digest([Raw(b'{"name":"a"}{"name":"b"}')])}) == 5
    )


def test_each_era_sees_what_it_can_read_and_every_other_byte():
    tool = b'{"name":"t","x-vendor":1.10,"outputSchema":{"type":"array"},"execution":{"taskSupport":"optional"}}'
    [shown] = exposed(of(tool), "s")
    assert shown.modern == b'{"name":"s__t","x-vendor":1.10,"outputSchema":{"type":"array"}}'
    legacy = json.loads(shown.legacy)
    assert legacy["name"] == "s__t"
    assert "outputSchema" not in legacy
    assert b"1.10" in shown.legacy


def test_names_stay_where_no_slug_is_asked_for_and_the_definition_is_untouched():
    tool = b'{ "name" : "t", "inputSchema":{"$ref":"#/\\u00e9"} }'
    [shown] = exposed(of(tool), None)
    assert (shown.exposed, shown.modern, shown.legacy) == ("t", tool, tool)
