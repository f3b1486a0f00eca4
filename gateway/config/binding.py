"""Nodes read as the types that their keys call for.

Which question: what value does this node give this key? Pure. The rule: one mistake never hides another; whatever is
wrong becomes a problem at its place, its key counts as flawed, and reading goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from gateway.config.interpolation import CannotExpand, Variables, has_variables
from gateway.config.keys import Path, element_of, fields_of, is_section, listed, nearest, shown
from gateway.config.nodes import Array, Entry, Node, Object, Scalar, is_null
from gateway.config.problems import Place, Problem
from gateway.config.scalars import LIKE_TRUTHS, TRUTHS, number, whole_number
from gateway.settings import PATTERNS

M = TypeVar("M", bound=BaseModel)
ABSENT = object()
"""What a key holds that is not there, is null, or is flawed."""

_KINDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
_CONVERSIONS: Mapping[Any, Callable[[str], Any]] = {int: whole_number, float: number, bool: TRUTHS.get}


class Binder:
    """Reads nodes into models and remembers where each value stood."""

    def __init__(self, variables: Variables | None) -> None:
        """Without `variables`, texts that hold some stay as they are written, whatever the type of their key."""
        self.problems: list[Problem] = []
        self.flawed: set[Path] = set()
        """Keys about which enough was said."""
        self._variables = variables
        self.places: dict[Path, Place] = {}

    def model(self, node: Node, kind: type[M], path: Path) -> M | None:
        """The section of type `kind` that `node` holds; None when it is flawed."""
        value = self._value(node, kind, path)
        try:
            return kind.model_validate({} if value is ABSENT else value)
        except ValidationError as error:
            for one in error.errors(include_input=False, include_url=False):
                self._refused(one["type"], one.get("ctx", {}), (*path, *one["loc"]))
            return None

    def values(self, node: Node, kind: type[BaseModel]) -> dict[str, Any]:
        """The keys of a section that are there, each in its type, unchecked beyond that."""
        value = self._value(node, kind, ())
        return value if isinstance(value, dict) else {}

    def entries(self, node: Node, path: Path) -> tuple[Entry, ...]:
        """The entries of a mapping of names."""
        self.places[path] = node.place
        if isinstance(node, Object):
            return node.entries
        if not is_null(node):
            self._mistaken(path, "must be a mapping of names")
        return ()

    def unknown(self, key: Scalar, known: Iterable[str], path: Path) -> None:
        """Complain of a key that nothing knows. What it was meant to be counts as flawed, too."""
        words = list(known)
        meant = nearest(key.text, words)
        advice = f"did you mean {meant}?" if meant else f"known here: {listed(words)}"
        name = shown((*path, key.text))
        self.complain((*path, key.text), f"{name} is no key that the gateway knows; {advice}", key.place)
        if meant:
            self.flawed.add((*path, meant))

    def is_flawed(self, path: Path) -> bool:
        """Whether a problem was noted with `path`, or with anything below it."""
        return any(flaw[: len(path)] == path for flaw in self.flawed)

    def place(self, path: Path) -> Place:
        """Where the value of `path` stands, or of what would hold it."""
        while path not in self.places and path:
            path = path[:-1]
        return self.places[path]

    def complain(self, path: Path, message: str, place: Place | None = None) -> None:
        """Note a problem with `path`, unless one was noted."""
        if path not in self.flawed:
            self.flawed.add(path)
            self.problems.append(Problem(place or self.place(path), message))

    def _value(self, node: Node, kind: Any, path: Path) -> Any:
        self.places[path] = node.place
        if is_null(node):
            return ABSENT
        if is_section(kind):
            return self._section(node, kind, path)
        if (element := element_of(kind, dict)) is not None:
            return self._names(node, element, path)
        if (element := element_of(kind, tuple)) is not None:
            return self._list(node, element, path)
        return self._leaf(node, kind, path)

    def _section(self, node: Node, kind: type[BaseModel], path: Path) -> Any:
        known = fields_of(kind)
        if not isinstance(node, Object):
            return self._mistaken(path, f"must be a mapping with keys such as {listed(list(known)[:3])}")
        values = {}
        for entry in node.entries:
            key = entry.key.text
            if key in known:
                values[key] = self._value(entry.value, known[key], (*path, key))
            else:
                self.unknown(entry.key, known, path)
        return _present(values)

    def _names(self, node: Node, element: Any, path: Path) -> Any:
        if not isinstance(node, Object):
            return self._mistaken(path, "must be a mapping of names")
        return _present({e.key.text: self._element(e.value, element, (*path, e.key.text)) for e in node.entries})

    def _list(self, node: Node, element: Any, path: Path) -> Any:
        if not isinstance(node, Array):
            return self._mistaken(path, "must be a list; put the value in [ ]")
        values = [self._element(item, element, (*path, index)) for index, item in enumerate(node.items)]
        if ABSENT in values:
            self.flawed.add(path)
            return ABSENT
        return values

    def _element(self, node: Node, kind: Any, path: Path) -> Any:
        """Unlike the value of a key, an element cannot be left out by being null."""
        value = self._value(node, kind, path)
        if is_null(node):
            return self._mistaken(path, 'has no value; write "" for an empty one')
        return value

    def _leaf(self, node: Node, kind: Any, path: Path) -> Any:
        words = get_args(kind) if get_origin(kind) is Literal else None
        expected = f"one of {listed(words)}" if words else _KINDS[kind]
        if not isinstance(node, Scalar):
            return self._mistaken(path, f"must be {expected}, not {_called(node)}")
        if self._variables is None and has_variables(node.text):
            return node.text
        try:
            text = self._expanded(node)
        except CannotExpand as error:
            return self._mistaken(path, str(error))
        if words:
            return text if text in words else self._mistaken(path, _no_word(expected, words, node))
        if kind is str:
            return text
        value = _CONVERSIONS[kind](text)
        return self._mistaken(path, f"must be {expected}, not {_seen(node)}") if value is None else value

    def _expanded(self, node: Scalar) -> str:
        return node.text if self._variables is None or node.literal else self._variables.expand(node.text)

    def _mistaken(self, path: Path, message: str) -> object:
        self.complain(path, f"{shown(path) or 'the configuration'} {message}")
        return ABSENT

    def _refused(self, rule: str, limits: Mapping[str, Any], path: Path) -> None:
        """Say what pydantic found, in our words. Its own would quote the value, which may be a secret."""
        if not any(path[:length] in self.flawed for length in range(1, len(path) + 1)):
            where = path[:-1] if rule == "missing" else path
            self.complain(path, f"{shown(where)} {_bound(rule, limits, path)}", self.place(where))


def _bound(rule: str, limits: Mapping[str, Any], path: Path) -> str:
    match rule:
        case "missing":
            return f"needs the key {path[-1]}"
        case "greater_than_equal":
            return f"must be at least {limits['ge']:g}"
        case "greater_than":
            return f"must be more than {limits['gt']:g}"
        case "less_than_equal":
            return f"must be at most {limits['le']:g}"
        case "string_too_short" | "too_short":
            return "must not be empty"
        case "string_too_long":
            return f"must be at most {limits['max_length']} characters long"
        case "string_pattern_mismatch":
            return f"must be {PATTERNS[limits['pattern']]}"
    return f"is refused ({rule})"


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not ABSENT}


def _no_word(expected: str, words: tuple[str, ...], node: Scalar) -> str:
    meant = nearest(node.text, words)
    return f"must be {expected}, not {_seen(node)}" + (f"; did you mean {meant}?" if meant else "")


def _seen(node: Scalar) -> str:
    """The value as it was written, which is never what a variable held."""
    if has_variables(node.text):
        return f"what {node.text[:60]} stands for"
    like = LIKE_TRUTHS.get(node.text.lower())
    return f"{node.text[:60]!r}" + (f"; write {like}" if like else "")


def _called(node: Node) -> str:
    return "a list" if isinstance(node, Array) else "a mapping"
