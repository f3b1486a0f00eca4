"""Which calls are kept how, by the configuration.

Which question: which rule holds for this call? Touches the configuration in force. The rule: the nearest word counts
(the tool's, the server's, everybody's), values to hide add up, and a task, whose tool nobody names any more, is kept as
the most secretive of its server's tools.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase

from gateway import methods
from gateway.routing import Server
from gateway.settings import ServerSpec
from storage.capture import Capture, Rule
from storage.paths import parsed
from storage.records import Started
from storage.settings import Captured, RecordingSettings

InForce = tuple[RecordingSettings, Mapping[str, Server]]
"""What holds for all, and the servers that are served, by slug: another mapping after each change."""

_SECRECY: Sequence[Capture] = ("full", "metadata", "none")
MOST = 4_096
"""Rules that are remembered, by server and name."""


class Capturing:
    """A `storage.capture.Policy` that follows the configuration. `current` gives what is in force."""

    def __init__(self, current: Callable[[], InForce]) -> None:
        self._current = current
        self._servers: Mapping[str, Server] | None = None
        self._rules: dict[tuple[str, str | None], Rule] = {}

    def __call__(self, call: Started) -> Rule:
        recording, servers = self._current()
        if servers is not self._servers:
            self._servers, self._rules = servers, {}
        key = (call.slug, None if call.method in methods.OF_A_TASK else call.target or "")
        rule = self._rules.get(key)
        if rule is None:
            if len(self._rules) >= MOST:
                self._rules.clear()
            server = servers.get(call.slug)
            rule = self._rules[key] = rule_of(recording, None if server is None else server.spec, key[1])
        return rule


def rule_of(common: RecordingSettings, spec: ServerSpec | None, name: str | None) -> Rule:
    """The rule of calls of a tool, prompt or resource of a server; `name` None where it could be any of its tools."""
    own = None if spec is None else spec.recording
    words: list[Captured] = [common] if own is None else [common, own]
    if own is None or name is not None:
        words += [] if own is None else [tool for tool in own.tools if fnmatchcase(name or "", tool.name)][:1]
        return _rule(words)
    rules = [_rule(words), *(_rule([*words, tool]) for tool in own.tools)]
    secretive = max(rules, key=lambda rule: _SECRECY.index(rule.capture))
    return Rule(secretive.capture, secretive.exact, tuple(dict.fromkeys(path for rule in rules for path in rule.hide)))


def _rule(words: Sequence[Captured]) -> Rule:
    captures = [word.capture for word in words if word.capture is not None]
    exacts = [word.exact for word in words if word.exact is not None]
    return Rule(
        captures[-1] if captures else "full",
        exacts[-1] if exacts else "needed",
        tuple(parsed(path) for word in words for path in word.hide),
    )
