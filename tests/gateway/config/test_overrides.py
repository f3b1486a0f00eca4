"""Environment variables and flags over the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from operator import attrgetter

import pytest

from gateway.config import ConfigErrors, Configuration
from gateway.config.overrides import PREFIX, settable, variable_of
from tests.gateway.config.test_parse import parsed, refused

FILE = "listen: {port: 1, hosts: [x]}\ndatabase: {url: 'sqlite:///file.db'}\nservers: {}\n"


def test_no_two_keys_share_a_variable() -> None:
    names = [variable_of(path) for path, _ in settable()]
    assert len(set(names)) == len(names)
    assert {"MCP_GATEWAY_LISTEN_PORT", "MCP_GATEWAY_RECORDING_BATCH_ROWS", "MCP_GATEWAY_LISTEN_HOSTS"} <= set(names)


@pytest.mark.parametrize("path", [path for path, _ in settable()], ids=variable_of)
def test_every_variable_reaches_its_key(path: tuple[str, ...]) -> None:
    """A key that takes any text has it; another one complains of it, naming the variable."""
    name, text = variable_of(path), "no such word"
    try:
        value = attrgetter(".".join(path))(parsed("servers: {}", {name: text}))
    except ConfigErrors as error:
        value = str(error)
    assert value in (text, (text,)) or re.match(rf"environment variable {name}: {'[.]'.join(path)}(\[0\])? ", value)


@pytest.mark.parametrize(
    ("env", "flags", "port"),
    [
        ({}, {}, 1),
        ({"MCP_GATEWAY_LISTEN_PORT": "2"}, {}, 2),
        ({"MCP_GATEWAY_LISTEN_PORT": ""}, {}, 1),
        ({"MCP_GATEWAY_LISTEN_PORT": "2"}, {"port": "3"}, 3),
    ],
)
def test_flags_win_over_variables_and_those_over_the_file(
    env: Mapping[str, str], flags: Mapping[str, str], port: int
) -> None:
    assert parsed(FILE, env, **flags).listen.port == port


@pytest.mark.parametrize(
    ("env", "url"),
    [
        ({}, "sqlite:///file.db"),
        ({"DATABASE_URL": "mysql://h/a"}, "mysql://h/a"),
        ({"DATABASE_URL": "mysql://h/a", "MCP_GATEWAY_DATABASE_URL": "mysql://h/b"}, "mysql://h/b"),
        ({"DATABASE_URL": ""}, "sqlite:///file.db"),
    ],
)
def test_database_url_sets_the_database(env: Mapping[str, str], url: str) -> None:
    assert parsed(FILE, env).database.url == url


def test_a_list_is_written_with_commas() -> None:
    assert parsed(FILE, {"MCP_GATEWAY_LISTEN_HOSTS": "a.example, b.example,"}).listen.hosts == (
        "a.example",
        "b.example",
    )


def test_a_section_that_the_file_leaves_out_can_be_set() -> None:
    assert parsed("servers: {}", {"MCP_GATEWAY_LOGGING_LEVEL": "debug"}).logging.level == "debug"
    assert parsed("logging:\nservers: {}", {"MCP_GATEWAY_LOGGING_LEVEL": "debug"}).logging.level == "debug"


def test_a_value_is_taken_as_it_is() -> None:
    """A password may hold `${`."""
    assert parsed(FILE, {"DATABASE_URL": "mysql://u:a${b@h/d"}).database.url == "mysql://u:a${b@h/d"


def test_a_wrong_value_is_told_with_the_name_of_its_variable() -> None:
    complaint = refused(FILE, {"MCP_GATEWAY_LISTEN_PORT": "eighty"})
    assert complaint == "environment variable MCP_GATEWAY_LISTEN_PORT: listen.port must be a whole number, not 'eighty'"


def test_a_secret_file_that_cannot_be_read_is_told() -> None:
    assert refused(FILE, {"DATABASE_URL_FILE": "/run/gone"}).startswith(
        "environment variable DATABASE_URL_FILE: database.url needs the variable DATABASE_URL, and "
    )


def warned(env: Mapping[str, str]) -> list[str]:
    config: Configuration = parsed("servers: {a: {command: x}}", env)
    return [str(warning) for warning in config.warnings]


def test_a_variable_that_sets_nothing_is_a_warning() -> None:
    name = f"{PREFIX}LISTN_PORT"
    assert warned({name: "1"}) == [
        f"environment variable {name}: sets no key of the configuration; did you mean MCP_GATEWAY_LISTEN_PORT?"
    ]


def test_variables_of_the_command_line_and_of_kubernetes_are_no_warning() -> None:
    env = {
        "MCP_GATEWAY_CONFIG": "config.yaml",
        "MCP_GATEWAY_KEY": "k",
        "MCP_GATEWAY_PORT": "tcp://10.0.0.1:8080",
        "MCP_GATEWAY_SERVICE_HOST": "10.0.0.1",
        "MCP_GATEWAY_SERVICE_PORT_HTTP": "8080",
        "MCP_GATEWAY_PORT_8080_TCP_ADDR": "10.0.0.1",
    }
    assert warned(env) == []
