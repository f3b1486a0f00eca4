"""The servers that a file names, whoever's way of writing its author chose.

Which question: which servers are written here, in our words? Pure. The rule: an entry of another product becomes ours
by renaming keys, and whatever would change who may call what is never dropped in silence.

Read are `servers:` (ours and VS Code's) and `mcpServers:` (Claude Desktop, Cursor, Windsurf, Cline, Gemini CLI and
others), the latter with the keys that its clients keep for themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from gateway.config.interpolation import has_variables
from gateway.config.keys import Path, shown
from gateway.config.nodes import Entry, Node, Object, Scalar
from gateway.config.problems import Place, Problem
from gateway.config.scalars import TRUTHS, number
from gateway.settings import Timeouts

OURS, FOREIGN, INPUTS = "servers", "mcpServers", "inputs"

ALIASES: Mapping[str, str] = {
    "type": "transport",
    "endpoint": "url",
    "serverUrl": "url",
    "httpUrl": "url",
    "disabled": "enabled",
    "timeout": "timeouts",
}
"""A key of other products, and ours."""

TRANSPORTS: Mapping[str, str] = {
    "streamable-http": "http",
    "streamable_http": "http",
    "streamableHttp": "http",
}

IGNORED = frozenset({"alwaysAllow", "autoApprove", "dev", "gallery", "icon", "name", "trust", "version", "watchPaths"})
"""What clients keep about a server for their own screens and questions."""

NOT_APPLIED = frozenset({"disabledTools", "enabledTools", "excludeTools", "includeTools", "tools"})
"""What clients hide from their own model."""

LONGEST_TIMEOUT = 3_600
"""Seconds; whoever writes more meant milliseconds."""

LONGEST_NAME = 100

Complain = Callable[[Path, str, Place], None]


@dataclass(frozen=True, slots=True)
class Listed:
    """One server as the file lists it: its name, where the name stands, and its keys in our words."""

    path: Path
    name: str
    place: Place
    node: Object


class Reader:
    """Reads the servers out of the top of a file. Problems go to `complain`, warnings are kept."""

    def __init__(self, complain: Complain) -> None:
        self.warnings: list[Problem] = []
        self._complain = complain

    def servers(self, top: Object) -> tuple[Listed, ...]:
        """The servers in the order of the file; of two with one name the first counts."""
        found: dict[str, Listed] = {}
        for entry in top.entries:
            match entry.key.text:
                case name if name in (OURS, FOREIGN):
                    self._read(entry, found)
                case name if name == INPUTS:
                    self._warn(entry.key.place, "inputs is ignored: a gateway has nobody to ask; use ${NAME}")
        return tuple(found.values())

    def _read(self, mapping: Entry, found: dict[str, Listed]) -> None:
        which = mapping.key.text
        if isinstance(mapping.value, Scalar) and mapping.value.is_null:
            return
        if not isinstance(mapping.value, Object):
            self._complain((which,), f"{which} must be a mapping of names to servers", mapping.value.place)
            return
        for entry in mapping.value.entries:
            listed = self._listed(entry, (which, entry.key.text))
            if listed is not None and (first := found.setdefault(listed.name, listed)) is not listed:
                self._complain(
                    listed.path,
                    f"{shown(listed.path)} stands on line {first.place.line} already; keep one",
                    listed.place,
                )

    def _listed(self, entry: Entry, path: Path) -> Listed | None:
        name, place = entry.key.text, entry.key.place
        if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
            message = f"a server's name must be 1 to {LONGEST_NAME} printable characters"
            self._complain(path, message, place)
        if not isinstance(entry.value, Object):
            message = f"{shown(path)} must be a mapping with a command or a url"
            self._complain(path, message, entry.value.place)
            return None
        translated = tuple(self._translated(entry.value, path))
        return Listed(path, name, place, replace(entry.value, entries=translated))

    def _translated(self, server: Object, path: Path) -> Iterator[Entry]:
        taken: dict[str, Scalar] = {}
        for entry in server.entries:
            if self._is_dropped(entry.key, path):
                continue
            ours = ALIASES.get(entry.key.text, entry.key.text)
            if (first := taken.setdefault(ours, entry.key)) is not entry.key:
                message = f"{shown((*path, entry.key.text))} says what {first.text} on line {first.place.line} says"
                self._complain((*path, entry.key.text), f"{message}; keep one of them", entry.key.place)
            else:
                yield Entry(replace(entry.key, text=ours), self._value(entry, ours, path))

    def _is_dropped(self, key: Scalar, path: Path) -> bool:
        name = shown((*path, key.text))
        if path[0] == FOREIGN and key.text in NOT_APPLIED:
            self._warn(key.place, f"{name} is not applied: the gateway offers all tools of this server to its callers")
            return True
        if path[0] == FOREIGN and key.text in IGNORED:
            self._warn(key.place, f"{name} is ignored: it concerns the desktop client alone")
            return True
        if key.text == "name":
            self._complain((*path, "name"), f"{name} is not needed: the name is {path[-1]!r}; remove it", key.place)
            return True
        return False

    def _value(self, entry: Entry, ours: str, path: Path) -> Node:
        node = entry.value
        if isinstance(node, Scalar) and not node.is_null:
            if ours == "transport":
                return replace(node, text=TRANSPORTS.get(node.text, node.text))
            if entry.key.text == "disabled":
                return self._inverted(node, (*path, "disabled"))
            if entry.key.text == "timeout":
                return self._timeouts(node, (*path, "timeout"))
        return node

    def _inverted(self, node: Scalar, path: Path) -> Node:
        if node.text not in TRUTHS:
            advice = "; enabled may hold a variable" if has_variables(node.text) else ""
            self._complain((*path[:-1], "enabled"), f"{shown(path)} must be true or false{advice}", node.place)
        return replace(node, text="false" if TRUTHS.get(node.text, True) else "true")

    def _timeouts(self, node: Scalar, path: Path) -> Node:
        seconds = number(node.text)
        if seconds is None or not 0 < seconds <= LONGEST_TIMEOUT:
            message = f"{shown(path)} must be seconds (not milliseconds), more than 0 and at most {LONGEST_TIMEOUT}"
            self._complain((*path[:-1], "timeouts"), message, node.place)
            return Object(node.place, ())
        keys = ["first_byte", "idle"] + ["absolute"] * (seconds > Timeouts().absolute)
        return Object(node.place, tuple(Entry(Scalar(node.place, key), node) for key in keys))

    def _warn(self, place: Place, message: str) -> None:
        self.warnings.append(Problem(place, message))
