"""A whole file, right and wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import ConfigErrors, Configuration, Place, parse, resolve
from gateway.settings import Config, ServerSpec, Timeouts
from tests.gateway.config.corpus import FILES, SECRET, problems_of, read_file

AS_DOCUMENTED = """
listen: {host: 127.0.0.1, port: 8080}
database: {url: "${DATABASE_URL:-sqlite:///mcp_chat.db}"}
servers:
  time: {command: mcp-server-time, args: ["--local-timezone=Asia/Shanghai"]}
  docs:
    url: https://docs.example.com/mcp          # transport and era are detected; both can be pinned
    headers: {Authorization: "Bearer ${DOCS_TOKEN}"}
auth: {keys: [{name: ci, user: ci, sha256: "%s"}]}
""" % ("0" * 64)

keys = st.sampled_from([*ServerSpec.model_fields, *Timeouts.model_fields, "type", "disabled", "timeout", "", "a"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just("${A:-b}"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


def parsed(text: str, env: Mapping[str, str] | None = None, **flags: str) -> Configuration:
    return parse(
        text,
        source="config.yaml",
        env=env or {},
        read_file=read_file,
        flags={("listen", key): value for key, value in flags.items()},
    )


def refused(text: str, env: Mapping[str, str] | None = None, **flags: str) -> str:
    with pytest.raises(ConfigErrors) as error:
        parsed(text, env, **flags)
    return str(error.value)


class TestABadFile:
    @pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
    def test_is_told_in_exactly_these_words(self, file: Path) -> None:
        """To accept a changed message, change the .txt beside the .yaml."""
        assert problems_of(file) == file.with_suffix(".txt").read_text("utf-8").splitlines()

    @pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
    def test_has_its_line_in_every_problem_and_no_secret(self, file: Path) -> None:
        problems = problems_of(file)
        assert problems
        lines = file.read_text("utf-8").count("\n") + 1
        for problem in problems:
            name, line, column, message = problem.split(":", 3)
            assert name == file.name
            assert 1 <= int(line) <= lines
            assert int(column) >= 1
            assert SECRET not in message

    @pytest.mark.trap(64)
    def test_with_a_misspelt_policy_key_is_refused_whole(self) -> None:
        """Each of these keys restricts; read as absent, every one of them would let more through."""
        for line in (
            "auth: {key: []}",
            "listen: {host: 127.0.0.1, host_names: [a]}",
            "servers: {a: {command: x, enable: false}}",
            "servers: {a: {command: x, maintainance: true}}",
            "servers: {a: {command: x, isolate: call}}",
            "servers: {a: {command: x, disabledTools: [rm]}}",
            "servers: {a: {command: x, allow: [get]}}",
            "limits: {request_byte: 1024}",
            "recording: {redacted: true}",
        ):
            assert "is no key that the gateway knows" in refused(line)

    @given(st.text(max_size=200))
    def test_of_any_kind_is_no_other_exception(self, text: str) -> None:
        _judge(text)

    @given(st.integers(0, len(AS_DOCUMENTED)), st.integers(0, 20), st.text(max_size=10))
    def test_that_was_damaged_is_no_other_exception(self, at: int, lost: int, put: str) -> None:
        _judge(AS_DOCUMENTED[:at] + put + AS_DOCUMENTED[at + lost :])

    @given(st.dictionaries(st.sampled_from([*Config.model_fields, "mcpServers", "inputs", "x"]), anything))
    def test_of_any_shape_is_no_other_exception(self, document: object) -> None:
        _judge(json.dumps(document))

    @pytest.mark.parametrize("text", ["[" * 500_000, "{a: " * 300_000, "? " * 100_000, "a: " + "b" * 2_000_000])
    def test_however_hostile_is_refused_soon(self, text: str) -> None:
        assert "that is no configuration" in refused(text)


class TestTheDocumentedExample:
    def test_is_right(self) -> None:
        config = parsed(AS_DOCUMENTED, {"DOCS_TOKEN": "t0k3n"})
        assert (config.listen.port, config.database.url) == (8080, "sqlite:///mcp_chat.db")
        assert config.servers["time"].args == ("--local-timezone=Asia/Shanghai",)
        assert config.servers["docs"].headers == {"Authorization": "Bearer t0k3n"}
        assert [server.slug for server in config.servers.values()] == ["time", "docs"]
        assert config.auth.keys[0].name == "ci"
        assert config.warnings == ()

    def test_is_registered_as_it_was_written(self) -> None:
        time, docs = parsed(AS_DOCUMENTED, {"DOCS_TOKEN": "t0k3n"}).registrations
        assert docs.spec == {
            "url": "https://docs.example.com/mcp",
            "headers": {"Authorization": "Bearer ${DOCS_TOKEN}"},
        }
        assert (time.position, time.host, time.port) == (0, "stdio", 0)
        assert (docs.position, docs.host, docs.port) == (1, "docs.example.com", 443)

    def test_shows_no_secret_in_its_repr(self) -> None:
        env = {"DOCS_TOKEN": "t0k3n", "DATABASE_URL": "mysql://u:p4ss@h/d"}
        config = parsed(AS_DOCUMENTED, env)
        assert "t0k3n" not in repr(config)
        assert "p4ss" not in repr(config)

    def test_reads_the_same_as_json(self) -> None:
        text = """{
\t"listen":\t{"port": 8081},
\t"mcpServers": {
\t\t"time": {"command": "mcp-server-time", "env": {"MOTTO": "\\ud83d\\ude00 \\/ tab\\t"}}
\t}
}"""
        config = parsed(text)
        assert config.listen.port == 8081
        assert config.servers["time"].env == {"MOTTO": "😀 / tab\t"}

    def test_may_leave_sections_empty(self) -> None:
        config = parsed("listen:\nservers:\nauth: ~\nmcpServers: null\n")
        assert Config(**{name: getattr(config, name) for name in Config.model_fields}) == Config()
        assert [warning.message for warning in config.warnings] == ["no server is registered; add one under servers"]


class TestAValue:
    def test_that_is_text_stays_as_it_was_written(self) -> None:
        env = (
            parsed("servers: {a: {command: x, env: {A: 1.10, B: 010, C: yes, D: 1e2, E: true, F: 0x1F}}}")
            .servers["a"]
            .env
        )
        assert env == {"A": "1.10", "B": "010", "C": "yes", "D": "1e2", "E": "true", "F": "0x1F"}

    def test_that_is_a_number_may_come_from_a_variable(self) -> None:
        text = 'listen: {port: "${PORT:-9000}"}\nservers: {a: {command: x, enabled: "${ON:-false}"}}'
        config = parsed(text)
        assert (config.listen.port, config.servers["a"].enabled) == (9000, False)
        assert config.registrations[0].enabled is False

    def test_of_a_server_stands_before_the_common_one_and_leaves_the_others(self) -> None:
        config = parsed(
            "timeouts: {connect: 1, idle: 2}\nservers: {a: {command: x, timeouts: {idle: 3}}, b: {command: y}}"
        )
        assert config.servers["a"].timeouts == Timeouts(connect=1, idle=3)
        assert config.servers["b"].timeouts is None

    def test_may_be_repeated_by_an_alias(self) -> None:
        config = parsed("servers:\n  a: {command: x, env: &common {A: b}}\n  b: {command: y, env: *common}\n")
        assert config.servers["b"].env == {"A": "b"}

    def test_is_found_again_by_its_key(self) -> None:
        config = parsed("servers:\n  a:\n    command: x\nmcpServers:\n  b: {command: y}\n")
        assert config.server_place("a", "command") == Place("config.yaml", 3, 14)
        assert config.server_place("b", "command") == Place("config.yaml", 5, 16)
        assert config.place(("database", "url")) == Place("config.yaml", 1, 1)


class TestAGatewayThatOthersReach:
    KEYS = "auth: {keys: [{name: a, user: u, sha256: %s}]}\n" % ("0" * 64)

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "gateway.example.com", "''", "127.evil.example"])
    def test_is_refused_without_authentication(self, host: str) -> None:
        assert "listen.host lets other machines in" in refused(f"listen: {{host: '{host}'}}".replace("''''", "''"))

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
    def test_is_not_one_that_is_bound_to_loopback(self, host: str) -> None:
        assert parsed(f"listen: {{host: '{host}'}}").listen.host == host

    def test_may_run_with_keys_or_when_the_file_says_so_in_words(self) -> None:
        parsed(f"listen: {{host: 0.0.0.0}}\n{self.KEYS}")
        parsed("listen: {host: 0.0.0.0, unauthenticated: true}")

    def test_is_refused_when_a_flag_or_a_variable_opens_it(self) -> None:
        assert refused("servers: {}", host="0.0.0.0").startswith("--host: listen.host lets other machines in")
        complaint = refused("servers: {}", {"MCP_GATEWAY_LISTEN_HOST": "0.0.0.0"})
        assert complaint.startswith("environment variable MCP_GATEWAY_LISTEN_HOST: listen.host lets")

    def test_is_not_excused_by_keys_that_are_wrong(self) -> None:
        assert "sha256" in refused("listen: {host: 0.0.0.0}\nauth: {keys: [{name: a, user: u, sha256: x}]}")


class TestASpecOfTheRegistry:
    def test_is_resolved_like_the_file(self) -> None:
        config = parsed(AS_DOCUMENTED, {"DOCS_TOKEN": "t"})
        spec = config.registrations[1].spec
        found = resolve(spec, source="registry", env={"DOCS_TOKEN": "t"}, read_file=read_file)
        assert found.model_dump(exclude={"name", "slug"}) == config.servers["docs"].model_dump(exclude={"name", "slug"})

    def test_takes_the_common_timeouts_that_it_leaves_out(self) -> None:
        common = Config(timeouts=Timeouts(connect=1))
        spec = {"command": "x", "timeouts": {"idle": 2.5}}
        found = resolve(spec, source="registry", env={}, read_file=read_file, common=common)
        assert found.timeouts == Timeouts(connect=1, idle=2.5)

    def test_that_nobody_can_use_is_told_with_its_source(self) -> None:
        spec = {"url": 5, "headers": {"Host": None, "A": ["x"]}, "surprise": {}, "enabled": None, "args": "x"}
        with pytest.raises(ConfigErrors) as error:
            resolve(spec, source="registry, server 'a'", env={}, read_file=read_file)
        assert {str(problem).partition(": ")[0] for problem in error.value.problems} == {"registry, server 'a'"}


class TestAFingerprint:
    def test_changes_with_what_sessions_depend_on_alone(self) -> None:
        def of(entry: str) -> bytes:
            return parsed(f"servers: {{a: {entry}}}", {"T": "1"}).registrations[0].spec_sha256

        plain = of("{url: 'https://h', headers: {A: '${T}', B: c}}")
        assert plain == of("{headers: {B: c, A: '${T}'}, url: 'https://h'}")
        assert plain == of("{url: 'https://h', headers: {A: '${T}', B: c}, description: d, maintenance: true, slug: q}")
        assert plain == of("{url: 'https://h', headers: {A: '${T}', B: c}, health: {rise: 3}}")
        assert plain != of("{url: 'https://h', headers: {A: '${T}', B: d}}")
        assert plain != of("{url: 'https://i', headers: {A: '${T}', B: c}}")
        assert len(plain) == hashlib.sha256().digest_size


def _judge(text: str) -> None:
    """Right or wrong, `text` gets a verdict, and a wrong one gets at least one reason."""
    try:
        parsed(text)
    except ConfigErrors as error:
        verdict = error
    else:
        return
    assert verdict.problems
