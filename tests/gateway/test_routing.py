import json

import pytest
from msgspec import Raw

from gateway.catalog import Catalog, digest, entries_of
from gateway.errors import GatewayError, Kind
from gateway.lookup import find
from gateway.methods import Names
from gateway.paging import PAGE_SIZE, page
from gateway.protocol.listed import Listed
from gateway.protocol.params import open_params
from gateway.protocol.versions import Era
from gateway.routing import AGGREGATE, Selection, Server, changes, shelf, table
from gateway.settings import ServerSpec


def catalog(*names, instructions=None):
    definitions = [Raw(json.dumps({"name": name, "inputSchema": {"type": "object"}}).encode()) for name in names]
    return offering(instructions=instructions, tools=definitions)


def offering(era=Era.MODERN, capabilities=None, instructions=None, **lists):
    """A catalog of these lists of definitions (JSON texts)."""
    lists = {Listed(kind): [Raw(one) for one in found] for kind, found in lists.items()}
    said = capabilities or {listed.capability: {} for listed in lists}
    offers = {listed: entries_of(listed, found) for listed, found in lists.items()}
    about = Raw(json.dumps(said).encode())
    return Catalog(era, "x", about, None, instructions, offers, digest(lists), 0)


def server(number, slug):
    return Server(number, slug, ServerSpec(name=slug, slug=slug), b"r")


def house(**offers):
    shelves = [shelf(server(n, slug.replace("_", "-")), offer) for n, (slug, offer) in enumerate(offers.items(), 1)]
    return table(shelves)


def listed(endpoint, era=Era.MODERN):
    return [json.loads(definition)["name"] for definition in page(endpoint, Listed.TOOLS, era, None)[0]]


def tool(endpoint, name):
    return find(endpoint, Names.TOOL, open_params(Raw(json.dumps({"name": name}).encode())))


@pytest.mark.trap(38)
def test_one_tool_on_two_servers_is_two_names_that_lead_to_their_own_server():
    aggregate = house(a=catalog("get", "Get"), a_b=catalog("get", "b__get")).endpoint(AGGREGATE)
    names = listed(aggregate)
    assert len(names) == len(set(names)) == 4
    for name in names:
        route = tool(aggregate, name)
        assert name.startswith(route.server.slug)
    assert {(tool(aggregate, name).server.slug, tool(aggregate, name).target) for name in names} == {
        ("a", "get"),
        ("a", "Get"),
        ("a-b", "get"),
        ("a-b", "b__get"),
    }


@pytest.mark.point(30)
@pytest.mark.trap(38)
def test_names_that_models_do_not_take_are_altered_apart_and_lead_to_the_original():
    long = ["x" * 100 + "a", "x" * 100 + "b", "ünï.cødé tool", "ünï_cødé tool"]
    aggregate = house(s=catalog(*long)).endpoint(AGGREGATE)
    names = listed(aggregate)
    assert len(set(names)) == 4
    assert all(len(name) <= 64 and name.isascii() for name in names)
    assert [tool(aggregate, name).target for name in names] == long


def test_a_servers_own_door_keeps_its_names():
    assert listed(house(s=catalog("ünï.cødé tool")).endpoint("s")) == ["ünï.cødé tool"]


def test_an_unknown_tool_and_an_unknown_server_have_their_own_errors():
    built = house(s=catalog("get"))
    with pytest.raises(GatewayError) as caught:
        tool(built.endpoint(AGGREGATE), "get")
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


@pytest.mark.point(28)
def test_pages_hold_a_thousand_and_follow_each_other_without_gap_or_repetition():
    names = [f"t{n}" for n in range(2 * PAGE_SIZE + 1)]
    endpoint = house(s=catalog(*names)).endpoint("s")
    seen, cursor = [], None
    while True:
        definitions, cursor = page(endpoint, Listed.TOOLS, Era.MODERN, cursor)
        assert len(definitions) <= PAGE_SIZE
        seen += [json.loads(definition)["name"] for definition in definitions]
        if cursor is None:
            break
    assert seen == names


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "!!!", "é", "WyJ0b29scyIsIm5vcGUiXQ", "WzFd", "e30"])
def test_a_cursor_that_is_not_ours_is_invalid_params(cursor):
    with pytest.raises(GatewayError) as caught:
        page(house(s=catalog("a")).endpoint("s"), Listed.TOOLS, Era.MODERN, cursor)
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


def uri(endpoint, uri):
    route = find(endpoint, Names.URI, open_params(Raw(json.dumps({"uri": uri}).encode())))
    return route.server.slug, route.target


def ref(endpoint, **ref):
    route = find(endpoint, Names.REF, open_params(Raw(json.dumps({"ref": ref}).encode())))
    return route.server.slug, route.target


FILES = offering(
    resources=[b'{"uri":"file:///README.md"}', b'{"uri":"https://x.org/a"}', b'{"uri":"ui://app"}'],
    resourceTemplates=[b'{"uriTemplate":"file:///{+path}"}', b'{"uriTemplate":"https://x.org/{id}/b"}'],
    prompts=[b'{"name":"greet"}'],
)


def test_a_wrapped_uri_says_whose_it_is_listed_or_not():
    aggregate = house(docs=FILES, git=FILES).endpoint(AGGREGATE)
    assert uri(aggregate, "git+file:///README.md") == ("git", "file:///README.md")
    assert uri(aggregate, "git+file:///never/listed") == ("git", "file:///never/listed")
    assert uri(aggregate, "ui://git/app") == ("git", "ui://app")
    assert uri(aggregate, "ui://docs/elsewhere") == ("docs", "ui://elsewhere")


def test_what_the_web_serves_goes_to_whoever_lists_it_first():
    aggregate = house(docs=FILES, git=FILES).endpoint(AGGREGATE)
    assert uri(aggregate, "https://x.org/a") == ("docs", "https://x.org/a")
    assert uri(aggregate, "https://x.org/7/b") == ("docs", "https://x.org/7/b")


@pytest.mark.parametrize("unknown", ["file:///README.md", "no-such+file:///a", "https://x.org/c", "ui://nobody/a", ""])
def test_a_uri_of_nobody_is_told_by_name(unknown):
    with pytest.raises(GatewayError) as caught:
        uri(house(docs=FILES).endpoint(AGGREGATE), unknown)
    assert (caught.value.kind, caught.value.data) == (Kind.INVALID_PARAMS, {"uri": unknown})


def test_a_servers_own_door_passes_every_uri_on():
    endpoint = house(docs=FILES).endpoint("docs")
    assert uri(endpoint, "file:///README.md") == ("docs", "file:///README.md")
    assert uri(endpoint, "test://never/listed") == ("docs", "test://never/listed")


def test_names_that_stay_belong_to_the_server_that_stands_first():
    first, second = (offering(tools=[b'{"name":"a"}', b'{"name":"%b"}' % own]) for own in (b"b", b"c"))
    shelves = [shelf(server(1, "one"), first), shelf(server(2, "two"), second), shelf(server(3, "docs"), FILES)]
    endpoint = table(shelves, [Selection(AGGREGATE, prefixed=False)]).endpoint(AGGREGATE)
    assert listed(endpoint) == ["a", "b", "c"]
    assert [tool(endpoint, name).server.slug for name in ("a", "b", "c")] == ["one", "one", "two"]
    assert [str(hidden) for hidden in endpoint.hidden] == ["tool 'a' of two, since one has it"]
    assert uri(endpoint, "file:///README.md") == ("docs", "file:///README.md")
    assert uri(endpoint, "file:///by/template") == ("docs", "file:///by/template")
    assert uri(endpoint, "other:///a") == ("docs", "other:///a")


ORIGINAL = (Selection(AGGREGATE, prefixed=False),)


def owner(built, name="x"):
    return tool(built.endpoint(AGGREGATE), name).server.slug


def original(before=None, **offers):
    shelves = [shelf(server(n, slug), offer) for n, (slug, offer) in enumerate(offers.items(), 1)]
    return table(shelves, ORIGINAL, before)


@pytest.mark.trap(38)
def test_a_name_in_use_stays_where_it_is_when_a_server_before_begins_to_offer_it():
    started = original(first=catalog("a"), second=catalog("x"))
    taken = original(started, first=catalog("a", "x"), second=catalog("x", "y"))
    assert owner(taken) == "second"
    assert listed(taken.endpoint(AGGREGATE)) == ["a", "x", "y"]
    assert [str(hidden) for hidden in taken.endpoint(AGGREGATE).hidden] == ["tool 'x' of first, since second has it"]
    later = original(taken, first=catalog("a", "x"), second=catalog("x", "y"), third=catalog("x"))
    assert owner(later) == "second"


def test_the_file_decides_again_when_the_configuration_is_loaded():
    started = original(first=catalog("a"), second=catalog("x"))
    taken = original(started, first=catalog("x"), second=catalog("x"))
    assert (owner(taken), owner(original(first=catalog("x"), second=catalog("x")))) == ("second", "first")


def test_a_name_that_its_server_gives_up_goes_to_the_first_that_offers_it_and_stays_there():
    started = original(first=catalog("a"), second=catalog("x"), third=catalog("x"))
    given_up = original(started, first=catalog("a"), second=catalog("b"), third=catalog("x"))
    assert owner(given_up) == "third"
    assert owner(original(given_up, first=catalog("x"), second=catalog("x"), third=catalog("x"))) == "third"
    assert owner(original(given_up, first=catalog("x"), second=catalog("x"), third=None)) == "first"


def test_what_is_hidden_is_told_of_every_kind_and_where():
    shelves = [shelf(server(1, "docs"), FILES), shelf(server(2, "git"), FILES)]
    built = table(shelves, [*ORIGINAL, Selection("groups/both", prefixed=False), Selection("groups/one", frozenset())])
    at = {endpoint.path for endpoint, _ in built.hidden()}
    words = [str(hidden) for hidden in built.endpoint("groups/both").hidden]
    assert at == {"/mcp", "/groups/both/mcp"}
    assert "prompt 'greet' of git, since docs has it" in words
    assert "resource 'file:///README.md' of git, since docs has it" in words
    assert len(words) == 6


def test_a_prefixed_endpoint_hides_nothing_but_what_the_web_serves():
    hidden = house(docs=FILES, git=FILES).endpoint(AGGREGATE).hidden
    assert {one.name for one in hidden} == {"https://x.org/a", "https://x.org/{id}/b"}


def test_every_kind_of_endpoint_knows_its_path():
    built = table([shelf(server(1, "a"), None)], [Selection(AGGREGATE), Selection("groups/some", frozenset({"a"}))])
    kinds = {(endpoint.kind, endpoint.path) for endpoint in built.endpoints.values()}
    assert kinds == {("aggregate", "/mcp"), ("group", "/groups/some/mcp"), ("server", "/servers/a/mcp")}


def test_the_description_of_a_group_stands_before_the_instructions_of_its_servers():
    shelves = [shelf(server(1, "a"), catalog(instructions="do this")), shelf(server(2, "b"), catalog())]
    built = table(shelves, [Selection("groups/some", description="For research."), Selection("groups/plain")])
    assert built.endpoint("groups/some").instructions == "For research.\n\n# a\ndo this"
    assert built.endpoint("groups/plain").instructions == "do this"


def test_a_group_is_an_endpoint_of_its_own():
    shelves = [shelf(server(1, "a"), catalog("x")), shelf(server(2, "b"), catalog("y")), shelf(server(3, "c"), None)]
    built = table(shelves, [Selection(AGGREGATE), Selection("groups/some", frozenset({"a", "b"}))])
    group = built.endpoint("groups/some")
    assert listed(group) == ["a__x", "b__y"]
    assert group.complete
    assert not built.endpoint(AGGREGATE).complete
    for missing in ("groups/none", "groups/a/b", "groups/", "some"):
        with pytest.raises(GatewayError) as caught:
            built.endpoint(missing)
        assert caught.value.kind is Kind.UNKNOWN_SERVER


@pytest.mark.point(37)
def test_an_argument_is_completed_by_the_server_of_its_prompt_or_template():
    built = house(docs=FILES, git=FILES)
    aggregate = built.endpoint(AGGREGATE)
    assert ref(aggregate, type="ref/prompt", name="git__greet") == ("git", "greet")
    assert ref(aggregate, type="ref/resource", uri="git+file:///{+path}") == ("git", "file:///{+path}")
    assert ref(aggregate, type="ref/resource", uri="docs+file:///README.md") == ("docs", "file:///README.md")
    assert ref(built.endpoint("git"), type="ref/prompt", name="never listed") == ("git", "never listed")


@pytest.mark.point(37)
@pytest.mark.parametrize(
    "unknown",
    [{"type": "ref/prompt", "name": "greet"}, {"type": "ref/resource", "uri": "x"}, {"type": "ref/prompt"}, {}],
)
def test_an_argument_of_nothing_that_is_known_is_refused(unknown):
    with pytest.raises(GatewayError) as caught:
        ref(house(docs=FILES).endpoint(AGGREGATE), **unknown)
    assert caught.value.kind is Kind.INVALID_PARAMS


@pytest.mark.point(25)
@pytest.mark.trap(35)
def test_a_change_is_told_where_the_list_that_is_seen_has_changed():
    before = house(a=catalog("x"), b=FILES)
    same, other = house(a=catalog("x"), b=FILES), house(a=catalog("x", "y"), b=FILES)
    assert changes(before, same, Era.MODERN) == {}
    assert changes(before, other, Era.MODERN) == {
        "a": ("notifications/tools/list_changed",),
        AGGREGATE: ("notifications/tools/list_changed",),
    }
    without = offering(prompts=[b'{"name":"greet"}'])
    assert changes(before, house(a=catalog("x"), b=without), Era.LEGACY)["b"] == (
        "notifications/resources/list_changed",
    )


def test_a_cursor_of_one_list_is_none_of_another():
    names = [f"t{n}" for n in range(PAGE_SIZE + 1)]
    prompts = [json.dumps({"name": name}).encode() for name in names]
    endpoint = house(s=offering(tools=prompts, prompts=prompts)).endpoint("s")
    _, cursor = page(endpoint, Listed.TOOLS, Era.MODERN, None)
    with pytest.raises(GatewayError):
        page(endpoint, Listed.PROMPTS, Era.MODERN, cursor)


def test_a_uri_that_stays_and_may_be_anybody_s_is_nobody_s():
    other = offering(resources=[b'{"uri":"other:///b"}'])
    shelves = [shelf(server(1, "docs"), FILES), shelf(server(2, "other"), other)]
    endpoint = table(shelves, ORIGINAL).endpoint(AGGREGATE)
    assert uri(endpoint, "other:///b") == ("other", "other:///b")
    with pytest.raises(GatewayError) as caught:
        uri(endpoint, "other:///a")
    assert caught.value.data == {"uri": "other:///a"}


PAGED = b'{"name":"%b","_meta":{"ui":{"resourceUri":"ui://never/listed"},"ui/resourceUri":"ui://flat"}}'


@pytest.mark.parametrize("prefixed", [True, False])
def test_the_page_that_a_tool_advertises_is_read_though_it_is_in_no_list(prefixed):
    shelves = [shelf(server(1, "docs"), FILES), shelf(server(2, "maps"), offering(tools=[PAGED % b"show"]))]
    endpoint = table(shelves, [Selection(AGGREGATE, prefixed=prefixed)]).endpoint(AGGREGATE)
    [shown] = [json.loads(text) for text in page(endpoint, Listed.TOOLS, Era.MODERN, None)[0]]
    for advertised, own in (
        (shown["_meta"]["ui"]["resourceUri"], "ui://never/listed"),
        (shown["_meta"]["ui/resourceUri"], "ui://flat"),
    ):
        assert advertised.startswith("ui://")
        assert uri(endpoint, advertised) == ("maps", own)


@pytest.mark.trap(38)
def test_a_page_calls_its_server_s_tools_by_their_own_names_where_one_alone_can_be_meant():
    hidden = b'{"name":"redraw","_meta":{"ui":{"visibility":["app"]}}}'
    maps = offering(
        tools=[PAGED % b"show", hidden, b'{"name":"plain"}', b'{"name":"m","_meta":{"ui":{"visibility":[]}}}']
    )
    aggregate = house(maps=maps).endpoint(AGGREGATE)
    assert listed(aggregate) == ["maps__show", "maps__redraw", "maps__plain", "maps__m"]
    for name in ("show", "redraw"):
        assert (tool(aggregate, name).server.slug, tool(aggregate, name).target) == ("maps", name)
    for name in ("plain", "m"):
        with pytest.raises(GatewayError):
            tool(aggregate, name)
    with pytest.raises(GatewayError):
        tool(house(maps=maps, more=offering(tools=[hidden])).endpoint(AGGREGATE), "redraw")
