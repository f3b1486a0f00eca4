"""One section of a file, whatever is wrong with the others."""

from __future__ import annotations

import pytest

from gateway.config import ConfigErrors, Part, Place, section
from gateway.settings import Listen
from storage.settings import DatabaseSettings


def read(text: str, **env: str) -> Part[DatabaseSettings]:
    def no_file(path: str) -> str:
        raise FileNotFoundError(2, "No such file or directory", path)

    return section(text, "database", DatabaseSettings, source="c.yaml", env=env, read_file=no_file)


def refused(text: str, **env: str) -> str:
    with pytest.raises(ConfigErrors) as caught:
        read(text, **env)
    return str(caught.value)


@pytest.mark.parametrize(
    "flaw",
    [
        "servers: {time: {comand: x}}",
        "servers: {docs: {url: '${NOT_SET}'}}",
        "listen: {port: many}\nsevrers: {}",
        "servers: {a: {command: x}, a: {command: y}}",
        "listen: {host: 0.0.0.0}",
        "limits: !odd {}",
    ],
)
def test_a_flaw_elsewhere_is_no_matter(flaw: str) -> None:
    for text in (f"{flaw}\ndatabase: {{url: 'sqlite:///x.db'}}\n", f"database: {{url: 'sqlite:///x.db'}}\n{flaw}\n"):
        assert read(text).value.url == "sqlite:///x.db"


def test_a_flaw_within_is_told_with_its_place() -> None:
    assert refused("servers: {time: {comand: x}}\ndatabase:\n  ulr: x\n").startswith(
        "c.yaml:3:3: database.ulr is no key"
    )
    assert refused("database:\n  url: a\n  url: b\nservers: {}").startswith(
        "c.yaml:3:3: the key 'url' stands on line 2"
    )
    assert "needs the variable HIDDEN" in refused("database: {url: '${HIDDEN}'}")
    assert "must be a mapping" in refused("database: [x]")


@pytest.mark.parametrize("text", ["", "- a", "database: {url: 'x'"])
def test_what_is_no_configuration_at_all_is_refused(text: str) -> None:
    assert refused(text).startswith("c.yaml:1:")


def test_a_section_that_is_not_there_has_its_defaults_and_the_place_of_the_file() -> None:
    part = read("servers: {}")
    assert part.value == DatabaseSettings()
    assert part.place(("database", "url")) == Place("c.yaml", 1, 1)


def test_variables_of_the_section_stand_before_the_file_and_others_are_no_matter() -> None:
    text = "database: {url: 'sqlite:///x.db'}"
    assert read(text, DATABASE_URL="sqlite:///y.db", MCP_GATEWAY_LISTEN_PORT_FILE="/gone").value.url == "sqlite:///y.db"
    assert "/gone" in refused(text, DATABASE_URL_FILE="/gone")


def test_any_section_can_be_asked_for() -> None:
    part = section("listen: {port: 81}\n", "listen", Listen, source="c", env={}, read_file=str)
    assert part.value.port == 81
