"""What an endpoint advertises is what its servers offer, and works."""

from __future__ import annotations

import json
from typing import Any

from msgspec import Raw

from gateway.capabilities import advertised, declares, without_task_lists
from gateway.catalog import Catalog
from gateway.protocol.versions import Era

UI, TASKS = "io.modelcontextprotocol/ui", "io.modelcontextprotocol/tasks"


def saying(era: Era, **capabilities: Any) -> Catalog:
    about = Raw(json.dumps(capabilities).encode())
    return Catalog(era, "x", about, None, None, {}, b"", 0)


def shown(*catalogs: Catalog | None, era: Era, shared: bool = True) -> dict[str, Any]:
    found = advertised(catalogs, era, shared=shared)
    return {name: json.loads(bytes(raw)) for name, raw in found.items()}


def test_a_server_of_the_clients_era_speaks_for_itself_on_its_own_door() -> None:
    server = saying(Era.LEGACY, tools={}, tasks={"list": {}}, experimental={"x": 1}, vendor=[1], logging={})
    assert shown(server, era=Era.LEGACY, shared=False) == {
        "tools": {"listChanged": True},
        "tasks": {"list": {}},
        "experimental": {"x": 1},
        "vendor": [1],
        "logging": {},
    }


def test_towards_the_other_era_only_what_is_passed_on_is_advertised() -> None:
    server = saying(Era.LEGACY, tools={}, tasks={}, experimental={}, logging={}, resources={"subscribe": True})
    assert shown(server, era=Era.MODERN, shared=False) == {
        "tools": {"listChanged": True},
        "resources": {"listChanged": True},
    }


def test_several_servers_offer_together_what_each_offers_alone() -> None:
    one = saying(Era.MODERN, prompts={}, extensions={UI: {"a": 1}, TASKS: {}})
    two = saying(Era.MODERN, completions={}, resources={"subscribe": True}, extensions={UI: {"a": 2}})
    three = saying(Era.LEGACY, logging={}, extensions={"x/y": {}})
    assert shown(one, two, three, era=Era.MODERN) == {
        "completions": {},
        "extensions": {UI: {"a": 1}, TASKS: {}},
        "prompts": {"listChanged": True},
        "resources": {"subscribe": True, "listChanged": True},
        "tools": {"listChanged": True},
    }
    legacy = shown(one, two, three, era=Era.LEGACY)
    assert legacy["resources"] == {"listChanged": True}
    assert legacy["extensions"] == {UI: {"a": 1}, "x/y": {}}
    assert "logging" in legacy


def test_a_server_that_was_never_listed_may_have_tools() -> None:
    assert shown(None, era=Era.MODERN, shared=False) == {"tools": {"listChanged": True}}
    assert shown(saying(Era.MODERN, prompts={}), era=Era.MODERN, shared=False) == {"prompts": {"listChanged": True}}


def test_capabilities_of_another_shape_advertise_nothing() -> None:
    odd = Catalog(Era.MODERN, "x", Raw(b"[]"), None, None, {}, b"", 0)
    assert shown(odd, era=Era.MODERN, shared=False) == {}


def test_servers_with_legacy_tasks_share_what_one_caller_may_see_of_them() -> None:
    lister = saying(Era.LEGACY, tools={}, tasks={"list": {}, "requests": {"tools": {"call": {}}}})
    asker = saying(Era.LEGACY, tools={}, tasks={"cancel": {}, "requests": {"other": {}}})
    assert shown(lister, asker, era=Era.LEGACY)["tasks"] == {"cancel": {}, "requests": {"tools": {"call": {}}}}
    assert "tasks" not in shown(asker, era=Era.LEGACY)
    assert "tasks" not in shown(lister, era=Era.MODERN)


def test_tasks_that_cannot_be_listed_are_tasks_still() -> None:
    said = {"tools": Raw(b"{}"), "tasks": Raw(b'{ "list":{},"cancel":{ } }')}
    assert without_task_lists(said) == {"tools": Raw(b"{}"), "tasks": Raw(b'{"cancel":{ }}')}
    for same in ({"tools": Raw(b"{}")}, {"tasks": Raw(b"{}")}, {"tasks": Raw(b"1")}):
        assert without_task_lists(same) is same


def test_a_client_declares_an_extension_by_name() -> None:
    assert declares(Raw(b'{"extensions":{"' + TASKS.encode() + b'":{}}}'), TASKS)
    for said in (None, Raw(b"{}"), Raw(b'{"extensions":[]}'), Raw(b'{"' + TASKS.encode() + b'":{}}')):
        assert not declares(said, TASKS)
