"""What an admin wrote, as a tree whose every node knows its line.

Which question: which value stands where? Values only. The rule: scalars stay text (what a text means depends on the
key that holds it, so `1.10` is still `1.10`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from gateway.config.problems import Place
from gateway.config.scalars import NULLS


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text. `plain`: written without quotes, so that it may also be a number, a truth value or null; `literal`: it
    holds no variables.
    """

    place: Place
    text: str
    plain: bool = False
    literal: bool = False

    @property
    def is_null(self) -> bool:
        return self.plain and self.text in NULLS


@dataclass(frozen=True, slots=True)
class Array:
    """A list."""

    place: Place
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key: value`."""

    key: Scalar
    value: Node


@dataclass(frozen=True, slots=True)
class Object:
    """A mapping, in the order of the text; every key is there once."""

    place: Place
    entries: tuple[Entry, ...]


Node: TypeAlias = Scalar | Array | Object


def is_null(node: Node) -> bool:
    """Whether a key has no value."""
    return isinstance(node, Scalar) and node.is_null


def node_of(value: Any, place: Place) -> Node:
    """A JSON value, such as the registry keeps, as nodes that all stand at `place`."""
    match value:
        case dict():
            return Object(place, tuple(Entry(Scalar(place, str(k)), node_of(v, place)) for k, v in value.items()))
        case list() | tuple():
            return Array(place, tuple(node_of(item, place) for item in value))
        case str():
            return Scalar(place, value)
        case bool() | None:
            return Scalar(place, {True: "true", False: "false", None: "null"}[value], plain=True)
    return Scalar(place, str(value), plain=True)
