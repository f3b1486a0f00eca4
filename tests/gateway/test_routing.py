import json

import pytest
from msgspec import Raw

from gateway.catalog import Catalog, digest, tools_of
from gateway.errors import GatewayError, Kind
from gateway.protocol.versions import Era
from gateway.routing import AGGREGATE, PAGE_SIZE, Server, find, page, shelf, table
from gateway.settings import ServerSpec


def catalog(*names, instructions=None):
    definitions = [Raw(json.dumps({"name": name, "inputSchema": {"type": "object"}}).encode()) for name in names]
    return Catalog(Era.MODERN, "2026-07-28", None, None, instructions, tools_of(definitions), digest(definitions), 0)


def server(number, slug):
    return Server(number, slug, ServerSpec(name=slug, slug=slug), b"r")


def house(**offers):
    shelves = [shelf(server(n, slug.replace("_", "-")), offer) for n, (slug, offer) in enumerate(offers.items(), 1)]
    return table(shelves)


def listed(endpoint, era=Era.MODERN):
    return [json.loads(definition)["name"] for definition in page(endpoint, era, None)[0]]


@pytest.mark.trap(38)
def test_one_tool_on_two_servers_is_two_names_that_lead_to_their_own_server():
    aggregate = house(a=catalog("get", "Get"), a_b=catalog("get", "b__get")).endpoint(AGGREGATE)
    names = listed(aggregate)
    assert len(names) == len(set(names)) == 4
    for name in names:
        route = find(aggregate, name)
        assert name.startswith(route.server.slug)
    assert {(find(aggregate, name).server.slug, find(aggregate, name).tool) for name in names} == {
        ("a", "get"),
        ("a", "Get"),
        ("a-b", "get"),
        ("a-b", "b__get"),
    }


@pytest.mark.trap(38)
def test_names_that_models_do_not_take_are_altered_apart_and_lead_to_the_original():
    long = ["x" * 100 + "a", "x" * 100 + "b", "ünï.cødé tool", "ünï_cødé tool"]
    aggregate = house(s=catalog(*long)).endpoint(AGGREGATE)
    names = listed(aggregate)
    assert len(set(names)) == 4
    assert all(len(name) <= 64 and name.isascii() for name in names)
    assert [find(aggregate, name).tool for name in names] == long


def test_a_servers_own_door_keeps_its_names():
    assert listed(house(s=catalog("ünï.cødé tool")).endpoint("s")) == ["ünï.cødé tool"]


def test_an_unknown_tool_and_an_unknown_server_have_their_own_errors():
    built = house(s=catalog("get"))
    with pytest.raises(GatewayError) as caught:
        find(built.endpoint(AGGREGATE), "get")
    assert caught.value.kind is Kind.UNKNOWN_TOOL
    with pytest.raises(GatewayError) as caught:
        built.endpoint("nope")
    assert caught.value.kind is Kind.UNKNOWN_SERVER


def test_of_two_tools_with_one_name_on_one_server_the_first_counts():
    endpoint = house(s=catalog("get", "get")).endpoint("s")
    assert listed(endpoint) == ["get"]


def test_lists_keep_the_order_of_servers_and_of_their_tools():
    aggregate = house(zeta=catalog("b", "a"), alpha=catalog("c")).endpoint(AGGREGATE)
    assert listed(aggregate) == ["zeta__b", "zeta__a", "alpha__c"]


def test_pages_hold_a_thousand_and_follow_each_other_without_gap_or_repetition():
    names = [f"t{n}" for n in range(2 * PAGE_SIZE + 1)]
    endpoint = house(s=catalog(*names)).endpoint("s")
    seen, cursor = [], None
    while True:
        definitions, cursor = page(endpoint, Era.MODERN, cursor)
        assert len(definitions) <= PAGE_SIZE
        seen += [json.loads(definition)["name"] for definition in definitions]
        if cursor is None:
            break
    assert seen == names


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "!!!", "é", "WyJ0b29scyIsIm5vcGUiXQ", "WzFd", "e30"])
def test_a_cursor_that_is_not_ours_is_invalid_params(cursor):
    with pytest.raises(GatewayError) as caught:
        page(house(s=catalog("a")).endpoint("s"), Era.MODERN, cursor)
    assert caught.value.kind is Kind.INVALID_PARAMS


def test_an_endpoint_is_complete_once_each_of_its_servers_was_listed():
    built = house(a=catalog("x"), b=None)
    assert not built.endpoint(AGGREGATE).complete
    assert built.endpoint("a").complete
    assert not built.endpoint("b").complete
    assert listed(built.endpoint(AGGREGATE)) == ["a__x"]


def test_instructions_of_several_servers_stand_under_headings_and_are_bounded():
    built = house(a=catalog(instructions="do this"), b=catalog(instructions="y" * 9_000), c=catalog())
    text = built.endpoint(AGGREGATE).instructions
    assert text.startswith("# a\ndo this\n\n# b\n")
    assert len(text) < 2_100
    assert built.endpoint("a").instructions == "do this"
    assert built.endpoint("c").instructions is None
