"""Files of desktop clients."""

from __future__ import annotations

import json

import pytest

from gateway.settings import Timeouts
from tests.gateway.config.test_parse import parsed, refused

CLAUDE_DESKTOP = """
{"mcpServers": {"github": {"command": "npx", "args": ["-y", "@modelcontextprotocol/server-github"],
                           "env": {"GITHUB_PERSONAL_ACCESS_TOKEN": "${GITHUB_TOKEN}"}},
                "filesystem": {"command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem", "/srv"]}}}
"""
CURSOR = """
{"mcpServers": {"docs": {"type": "http", "url": "https://x.example/mcp",
                         "headers": {"Authorization": "Bearer ${env:DOCS_TOKEN}"}}}}
"""
CLINE = """
{"mcpServers": {"remote": {"type": "streamableHttp", "url": "https://x.example/mcp", "disabled": true,
                           "autoApprove": ["search"], "timeout": 120},
                "local": {"command": "node", "args": ["server.js"], "alwaysAllow": [], "disabledTools": ["rm"],
                          "disabled": false}}}
"""
WINDSURF = '{"mcpServers": {"figma": {"serverUrl": "https://x.example/mcp"}}}'
GEMINI = '{"mcpServers": {"g": {"httpUrl": "https://x.example/mcp", "trust": true, "includeTools": ["a"]}}}'
VS_CODE = """
{"inputs": [{"id": "token", "type": "promptString"}],
 "servers": {"docs": {"type": "sse", "url": "https://x.example/sse", "headers": {"X-Key": "${env:DOCS_TOKEN}"}},
             "local": {"type": "stdio", "command": "uvx", "args": ["x"], "cwd": "/srv"}}}
"""
ENV = {"GITHUB_TOKEN": "ghp_1", "DOCS_TOKEN": "t0k3n"}


@pytest.mark.parametrize("text", [CLAUDE_DESKTOP, CURSOR, CLINE, WINDSURF, GEMINI, VS_CODE])
def test_a_client_s_file_is_accepted_verbatim(text: str) -> None:
    servers = json.loads(text).get("mcpServers") or json.loads(text)["servers"]
    assert list(parsed(text, ENV).servers) == list(servers)


def test_its_variables_are_filled_in_and_registered_as_they_were_written() -> None:
    config = parsed(CURSOR, ENV)
    assert config.servers["docs"].headers == {"Authorization": "Bearer t0k3n"}
    assert config.registrations[0].spec == {
        "transport": "http",
        "url": "https://x.example/mcp",
        "headers": {"Authorization": "Bearer ${env:DOCS_TOKEN}"},
    }


def test_its_own_words_become_ours() -> None:
    remote, local = parsed(CLINE).servers.values()
    assert (remote.transport, remote.enabled, local.enabled) == ("http", False, True)
    assert remote.timeouts == Timeouts(first_byte=120, idle=120)
    assert parsed(WINDSURF).servers["figma"].url == "https://x.example/mcp"
    assert parsed(GEMINI).servers["g"].url == "https://x.example/mcp"
    docs, child = parsed(VS_CODE, ENV).servers.values()
    assert (docs.transport, child.transport, child.cwd) == ("sse", "stdio", "/srv")


@pytest.mark.parametrize("word", ["http", "streamable-http", "streamable_http", "streamableHttp"])
def test_every_spelling_of_streamable_http_is_one_transport(word: str) -> None:
    assert parsed(f"servers: {{a: {{url: 'https://h', type: {word}}}}}").servers["a"].transport == "http"


def test_a_long_timeout_is_not_cut_by_the_absolute_one() -> None:
    config = parsed("mcpServers: {a: {command: x, timeout: 900}}")
    assert config.servers["a"].timeouts == Timeouts(first_byte=900, idle=900, absolute=900)


def test_what_is_dropped_is_told_and_what_restricts_is_told_loudly() -> None:
    assert [warning.message for warning in parsed(CLINE).warnings] == [
        "mcpServers.remote.autoApprove is ignored: it concerns the desktop client alone",
        "mcpServers.local.alwaysAllow is ignored: it concerns the desktop client alone",
        "mcpServers.local.disabledTools is not applied: the gateway offers all tools of this server to its callers",
    ]
    assert [warning.message for warning in parsed(VS_CODE, ENV).warnings] == [
        "inputs is ignored: a gateway has nobody to ask; use ${NAME}",
        "servers.docs.transport is sse, which the gateway does not speak: calls are refused; "
        "use the server's /mcp endpoint",
    ]


def test_a_client_s_private_keys_are_no_keys_of_ours() -> None:
    assert "servers.a.alwaysAllow is no key" in refused("servers: {a: {command: x, alwaysAllow: [b]}}")


def test_both_mappings_are_one_list_in_the_order_of_the_file() -> None:
    config = parsed("mcpServers: {b: {command: x}}\nservers: {a: {command: y}}")
    assert [(server.name, server.position) for server in config.registrations] == [("b", 0), ("a", 1)]


def test_a_secret_in_clear_is_a_warning_that_does_not_show_it() -> None:
    text = """
servers:
  a: {url: 'https://h/mcp?api_key=hunter2hunter2', headers: {Authorization: Bearer hunter2hunter2, X-Plain: v}}
  b: {command: x, args: ['--token=hunter2hunter2', --verbose], env: {MY_SECRET: hunter2hunter2, LANG: C, TOKEN: ''}}
  c: {url: 'https://h', headers: {Authorization: 'Bearer ${env:DOCS_TOKEN}'}}
"""
    warnings = [str(warning) for warning in parsed(text, ENV).warnings]
    assert [warning.partition(" holds")[0] for warning in warnings] == [
        "config.yaml:3:12: servers.a.url",
        "config.yaml:3:77: servers.a.headers.Authorization",
        "config.yaml:4:26: servers.b.args[0]",
        "config.yaml:4:81: servers.b.env.MY_SECRET",
    ]
    assert "hunter2" not in "".join(warnings)
    assert "write ${MY_SECRET} and set it" in warnings[3]
