"""What a file changes in the registry, and how that is told."""

from __future__ import annotations

import pytest

from gateway.registry import as_json, plan, sentences
from storage.registration import Action, Origin
from tests.gateway.registry.rows import config, row, written

TIME = "  time: {command: mcp-server-time}\n"
DOCS = "  docs: {url: 'https://docs.example.com/mcp', headers: {Authorization: 'Bearer ${TOKEN}'}}\n"
BOTH = written(plan(config(TIME + DOCS), ()))


def told(text: str, rows: tuple = BOTH, revision: int = 0) -> list[str]:
    return sentences(plan(config(text, revision), rows), "config.yaml")


class TestAPlan:
    def test_of_an_empty_registry_adds_every_server_in_order(self) -> None:
        changes = plan(config(TIME + DOCS), ()).changes
        assert [(change.action, change.server.slug, change.server.position) for change in changes] == [
            (Action.ADD, "time", 0),
            (Action.ADD, "docs", 1),
        ]

    def test_of_the_same_file_does_nothing(self) -> None:
        assert plan(config(TIME + DOCS), BOTH).changes == ()

    def test_names_every_key_that_differs(self) -> None:
        changed = DOCS.replace("docs.example.com", "h").replace(
            "}}", "}, description: d, concurrency: 2, maintenance: true}"
        )
        (change,) = plan(config(TIME + changed), BOTH).changes
        assert (change.action, change.id) == (Action.CHANGE, 2)
        assert change.keys == ("description", "maintenance", "host", "concurrency", "url")

    def test_disables_what_left_the_file_and_leaves_it_alone_afterwards(self) -> None:
        found = plan(config(TIME), BOTH)
        assert [(change.action, change.id) for change in found.changes] == [(Action.DISABLE, 2)]
        assert plan(config(TIME), written(found, BOTH)).changes == ()

    def test_gives_a_server_that_came_back_its_old_row(self) -> None:
        gone = written(plan(config(TIME), BOTH), BOTH)
        (change,) = plan(config(TIME + DOCS), gone).changes
        assert (change.action, change.id, change.server.enabled) == (Action.REVIVE, 2, True)

    def test_of_a_server_that_the_file_disables_is_a_change_of_that_key(self) -> None:
        (change,) = plan(config(TIME.replace("}", ", enabled: false}") + DOCS), BOTH).changes
        assert (change.action, change.keys) == (Action.CHANGE, ("enabled",))

    def test_keeps_the_row_of_a_server_that_got_another_slug(self) -> None:
        (change,) = plan(config(TIME.replace("}", ", slug: clock}") + DOCS), BOTH).changes
        assert (change.action, change.id, change.keys) == (Action.CHANGE, 1, ("slug",))

    def test_keeps_the_row_of_a_server_that_got_another_name(self) -> None:
        (change,) = plan(config(TIME.replace("time:", "Time:") + DOCS), BOTH).changes
        assert (change.action, change.id, change.keys) == (Action.CHANGE, 1, ("name",))

    def test_writes_a_new_order_without_calling_it_a_change_of_servers(self) -> None:
        found = plan(config(DOCS + TIME), BOTH)
        assert {change.action for change in found.changes} == {Action.MOVE}
        assert [one.slug for one in written(found, BOTH)] == ["docs", "time"]

    def test_goes_by_the_spec_as_written_so_that_a_new_secret_is_no_change(self) -> None:
        assert BOTH[1].spec is not None
        assert BOTH[1].spec["headers"] == {"Authorization": "Bearer ${TOKEN}"}


class TestARowThatWasThere:
    @pytest.mark.parametrize(
        "there",
        [
            row(id=9, name="time"),
            row(id=9, name="another name", slug="time", origin=Origin.API, spec={"url": "https://h"}),
        ],
    )
    def test_is_taken_over_when_its_name_or_slug_is_the_file_s(self, there: object) -> None:
        (change,) = plan(config(TIME), (there,)).changes  # type: ignore[arg-type]
        assert (change.action, change.id) == (Action.TAKE_OVER, 9)
        (after,) = written(plan(config(TIME), (there,)), (there,))  # type: ignore[arg-type]
        assert (after.origin, after.host, after.port, after.slug) == (Origin.CONFIG, "stdio", 0, "time")

    def test_of_another_origin_is_left_alone_otherwise(self) -> None:
        others = (
            row(id=8, name="old"),
            row(id=9, name="api", slug="api", origin=Origin.API, spec={"url": "https://h"}),
        )
        assert plan(config("  {}"), others).changes == ()

    def test_is_taken_over_once_when_several_have_its_name(self) -> None:
        several = (row(id=3), row(id=4), row(id=5))
        assert [change.id for change in plan(config(TIME), several).changes] == [3]

    def test_of_an_api_server_is_not_taken_over_for_its_name_alone(self) -> None:
        there = row(id=9, name="time", slug="clock", origin=Origin.API, spec={"url": "https://h"})
        (change,) = plan(config(TIME), (there,)).changes
        assert (change.action, change.id) == (Action.ADD, None)


class TestAnOlderFile:
    def test_changes_nothing_and_says_so(self) -> None:
        rows = written(plan(config(TIME, revision=9), ()))
        found = plan(config(DOCS, revision=7), rows)
        assert (found.changes, found.newer) == ((), 9)
        assert told(DOCS, rows, 7) == [
            "nothing is changed: the registry was written by revision 9 of the file, config.yaml is older; "
            "if it is not, write registry.revision: 10 into it"
        ]

    def test_is_one_without_a_number_too(self) -> None:
        assert plan(config(DOCS), written(plan(config(TIME, revision=1), ()))).newer == 1

    def test_is_not_one_of_the_same_or_a_higher_revision(self) -> None:
        rows = written(plan(config(TIME, revision=9), ()))
        for revision in (9, 10):
            assert len(plan(config(DOCS, revision), rows).changes) == 2

    def test_is_remembered_by_what_it_disabled(self) -> None:
        rows = written(plan(config(TIME, revision=2), BOTH), BOTH)
        assert plan(config(TIME + DOCS, revision=1), rows).newer == 2


class TestThePlanInWords:
    def test_is_a_line_per_server(self) -> None:
        assert told(TIME + DOCS, ()) == ["+ time  new", "+ docs  new"]
        assert told("  weather-service: {command: x}\n" + DOCS.replace("https", "http")) == [
            "+ weather-service  new",
            "~ docs             changed: port, url",
            "- time             no longer in the file: disabled, its records stay",
        ]

    def test_tells_what_is_back_and_what_is_taken_over(self) -> None:
        gone = written(plan(config(TIME), BOTH), BOTH)
        assert told(TIME + DOCS, gone) == ["+ docs  enabled again"]
        assert told(TIME, (row(),)) == ["~ time  taken over from a row that was there: slug, host, port, command"]

    def test_tells_a_new_order_in_one_line(self) -> None:
        assert told(DOCS + TIME) == ["~ the order of servers changes: docs, time"]

    def test_says_when_there_is_nothing_to_do(self) -> None:
        assert told(TIME + DOCS) == ["nothing to do: the registry says what config.yaml says"]

    def test_has_the_same_facts_as_json(self) -> None:
        assert as_json(plan(config(TIME), BOTH)) == {
            "changes": [{"action": "disable", "server": "docs", "slug": "docs", "keys": []}],
            "newer": None,
        }

    def test_never_holds_a_value(self) -> None:
        secret = DOCS.replace("${TOKEN}", "hunter2")
        assert "hunter2" not in str(told(TIME + secret)) + str(as_json(plan(config(TIME + secret), BOTH)))
