"""A YAML or JSON text, read into nodes.

Which question: what did the admin write, and where? Pure: text in, frozen nodes out. The rule: no text, however
hostile, costs more than its caps allow.

YAML 1.2.2; JSON is read as the flow style that it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
)
from ruamel.yaml.reader import ReaderError

from gateway.config.nodes import Array, Entry, Node, Object, Scalar
from gateway.config.problems import ConfigErrors, Place, Problem
from gateway.config.scalars import is_string

MAX_CHARACTERS = 1_048_576
MAX_DEPTH = 32
MAX_NODES = 100_000
"""Nodes after aliases are followed, so that ten lines cannot stand for a billion."""

_STRING_TAG = "tag:yaml.org,2002:str"


def read(text: str, source: str) -> tuple[Node | None, tuple[Problem, ...]]:
    """The tree of `text`, None when it holds nothing, and the problems that leave the rest of it readable.

    Raises `ConfigErrors` where reading has to stop: not YAML, or beyond a cap.
    """
    if len(text) > MAX_CHARACTERS:
        raise _stop(Place(source), f"is larger than {MAX_CHARACTERS} characters; that is no configuration")
    builder = _Builder(source)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            builder.take(event)
    except MarkedYAMLError as error:
        raise _not_yaml(error, text, source) from error
    except ReaderError as error:
        place = _place_of_index(text, error.position, source)
        raise _stop(place, f"the character U+{error.character:04X} is not allowed in YAML; remove it") from error
    return builder.root, tuple(builder.problems)


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end was not read yet; a mapping's children are its keys and values in turn."""

    place: Place
    mapping: bool
    anchor: str | None
    counted: int
    children: list[Node] = field(default_factory=list)


class _Builder:
    """Turns the parser's events into nodes, without recursion."""

    def __init__(self, source: str) -> None:
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._source = source
        self._documents = 0
        self._count = 0
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int] | None] = {}
        """The node and its size; None while the node is not complete."""

    def take(self, event: Event) -> None:
        place = Place(self._source, event.start_mark.line + 1, event.start_mark.column + 1)
        match event:
            case DocumentStartEvent():
                self._begin_document(place)
            case AliasEvent():
                self._add(self._aliased(event.anchor, place), None, 0)
            case ScalarEvent():
                self._grow(1, place)
                self._add(self._scalar(event, place), event.anchor, 1)
            case CollectionEndEvent():
                self._close()
            case CollectionStartEvent():
                self._grow(1, place)
                self._open(event, place)

    def _begin_document(self, place: Place) -> None:
        self._documents += 1
        if self._documents > 1:
            raise _stop(place, "a second document begins here; one file holds one configuration")

    def _scalar(self, event: ScalarEvent, place: Place) -> Scalar:
        self._check_tag(event, place)
        plain = bool(event.implicit[0])
        try:
            text = event.value.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            self._complain(place, "holds half of a surrogate pair; write the character itself")
            text = "\ufffd"
        return Scalar(place, text, plain)

    def _open(self, event: CollectionStartEvent, place: Place) -> None:
        self._check_tag(event, place)
        if len(self._stack) == MAX_DEPTH:
            raise _stop(place, f"is nested deeper than {MAX_DEPTH} levels; that is no configuration")
        if event.anchor:
            self._anchors[event.anchor] = None
        self._stack.append(_Open(place, isinstance(event, MappingStartEvent), event.anchor, self._count))

    def _close(self) -> None:
        done = self._stack.pop()
        node = self._object(done) if done.mapping else Array(done.place, tuple(done.children))
        self._add(node, done.anchor, self._count - done.counted)

    def _add(self, node: Node, anchor: str | None, size: int) -> None:
        if anchor:
            self._anchors[anchor] = (node, size)
        if self._stack:
            self._stack[-1].children.append(node)
        else:
            self.root = node

    def _aliased(self, anchor: str, place: Place) -> Node:
        if anchor not in self._anchors:
            raise _stop(place, f"the alias *{anchor} has no anchor &{anchor} before it")
        if (known := self._anchors[anchor]) is None:
            raise _stop(place, f"the alias *{anchor} stands inside of what it repeats")
        node, size = known
        self._grow(size, place)
        return node

    def _grow(self, size: int, place: Place) -> None:
        self._count += size
        if self._count > MAX_NODES:
            raise _stop(place, f"stands for more than {MAX_NODES} values; that is no configuration")

    def _object(self, done: _Open) -> Object:
        entries: dict[str, Entry] = {}
        for key, value in zip(done.children[::2], done.children[1::2], strict=True):
            if not isinstance(key, Scalar) or (key.plain and not is_string(key.text)):
                self._complain(key.place, "this key is no string; put it in quotes")
            elif key.plain and key.text == "<<":
                raise _stop(key.place, "merge keys (<<) are no part of YAML 1.2; write the keys out")
            elif (first := entries.get(key.text)) is not None:
                line = first.key.place.line
                self._complain(key.place, f"the key {key.text!r} stands on line {line} already; keep one of them")
            else:
                entries[key.text] = Entry(key, value)
        return Object(done.place, tuple(entries.values()))

    def _check_tag(self, event: ScalarEvent | CollectionStartEvent, place: Place) -> None:
        if event.tag and event.tag != _STRING_TAG:
            self._complain(place, f"the tag {event.tag} has no meaning here; remove it")

    def _complain(self, place: Place, message: str) -> None:
        self.problems.append(Problem(place, message))


def _not_yaml(error: MarkedYAMLError, text: str, source: str) -> ConfigErrors:
    unclosed = error.context == "while scanning a quoted scalar" and "end of stream" in error.problem
    mark = error.context_mark if unclosed else error.problem_mark or error.context_mark
    if mark is None:
        return _stop(Place(source), f"is not YAML: {error.problem}")
    place = Place(source, mark.line + 1, mark.column + 1)
    if unclosed:
        return _stop(place, "this quote is never closed")
    if text[mark.index - 1 : mark.index + 1] == "${":
        return _stop(place, "inside of { } or [ ] a value with ${…} needs quotes around it")
    if (error.context or "").startswith("while parsing a flow") and error.context_mark is not None:
        return _stop(place, f"is not YAML: {error.problem}; a bracket is open since line {error.context_mark.line + 1}")
    return _stop(place, _explained(error.problem))


def _explained(problem: str) -> str:
    if "'\\t'" in problem:
        return "is not YAML: a tab cannot indent; use spaces"
    if problem.startswith("mapping values are not allowed"):
        return "is not YAML: a colon where no key can be; put quotes around the value, or mend the indentation"
    if problem.startswith("expected <block end>"):
        return "is not YAML: this line is not indented like those before it"
    return f"is not YAML: {problem}"


def _place_of_index(text: str, index: int, source: str) -> Place:
    before = text[:index]
    return Place(source, before.count("\n") + 1, index - before.rfind("\n"))


def _stop(place: Place, message: str) -> ConfigErrors:
    return ConfigErrors([Problem(place, message)])
