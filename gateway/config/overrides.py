"""Environment variables and flags that stand before the file.

Which question: which keys are set from outside of the file, and to what? Pure. The rule: every key that holds one
value, or a list of texts, has exactly one variable: `MCP_GATEWAY_` and the key in capitals (`listen.port` →
`MCP_GATEWAY_LISTEN_PORT`). A test proves that no two keys share one.

`DATABASE_URL` sets `database.url`, too. Flags win over `MCP_GATEWAY_*`, that over `DATABASE_URL`, all over the file.
An empty variable sets nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from gateway.config.interpolation import CannotExpand, Variables
from gateway.config.keys import element_of, fields_of, is_section, nearest, shown
from gateway.config.nodes import Array, Entry, Node, Object, Scalar
from gateway.config.problems import Place, Problem
from gateway.settings import Config

PREFIX = "MCP_GATEWAY_"
DATABASE_URL = "DATABASE_URL"

NOT_KEYS = frozenset({"MCP_GATEWAY_CONFIG", "MCP_GATEWAY_KEY", "MCP_GATEWAY_URL"})
"""Variables that the command line reads."""

_OF_KUBERNETES = re.compile(r"MCP_GATEWAY_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_\w+)?)")
"""What Kubernetes sets in every pod beside a Service of the name mcp-gateway."""

KeyPath = tuple[str, ...]
Complain = Callable[[KeyPath, str, Place], None]


def variable_of(path: KeyPath) -> str:
    """The variable that sets the key at `path`."""
    return PREFIX + "_".join(path).upper()


def settable(model: type[BaseModel] = Config, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Every key that a variable sets, with its type."""
    for name, kind in fields_of(model).items():
        if is_section(kind):
            yield from settable(kind, (*path, name))
        elif element_of(kind, dict) is None and not is_section(element_of(kind, tuple)):
            yield (*path, name), kind


def overlaid(top: Object, variables: Variables, flags: Mapping[KeyPath, str], complain: Complain) -> Object:
    """`top` with what variables and flags say put over it."""
    for path, kind in settable():
        for name in _names(path):
            try:
                text = variables.get(name)
            except CannotExpand as error:
                complain(path, f"{shown(path)} {error}", Place(f"environment variable {name}_FILE"))
                continue
            if text:
                top = _with(top, path, _node(text, kind, Place(f"environment variable {name}")))
        if path in flags:
            top = _with(top, path, _node(flags[path], kind, Place(f"--{path[-1]}")))
    return top


def strangers(names: Iterable[str]) -> Iterator[Problem]:
    """A warning for each variable that looks like one of ours and sets nothing."""
    known = {variable_of(path) for path, _ in settable()}
    for name in sorted(names):
        bare = name.removesuffix("_FILE")
        if name.startswith(PREFIX) and not {name, bare} & (known | NOT_KEYS) and not _OF_KUBERNETES.fullmatch(name):
            meant = nearest(name, known)
            advice = f"did you mean {meant}?" if meant else "remove it, or see docs/configuration.md"
            yield Problem(Place(f"environment variable {name}"), f"sets no key of the configuration; {advice}")


def _names(path: KeyPath) -> tuple[str, ...]:
    """The variables of a key, those that win last."""
    own = variable_of(path)
    return (DATABASE_URL, own) if path == ("database", "url") else (own,)


def _node(text: str, kind: Any, place: Place) -> Node:
    if element_of(kind, tuple) is None:
        return Scalar(place, text, literal=True)
    items = (item.strip() for item in text.split(","))
    return Array(place, tuple(Scalar(place, item, literal=True) for item in items if item))


def _with(holder: Object, path: KeyPath, node: Node) -> Object:
    """`holder` with `node` at `path`. A section that is no mapping is left for the binder to complain of."""
    key, *rest = path
    known = {entry.key.text: entry for entry in holder.entries}
    entry = known.get(key)
    inner: Node = node
    if rest:
        section = entry.value if entry else None
        if section is None or (isinstance(section, Scalar) and section.is_null):
            section = Object(node.place, ())
        inner = _with(section, tuple(rest), node) if isinstance(section, Object) else section
    known[key] = Entry(entry.key if entry else Scalar(node.place, key), inner)
    return replace(holder, entries=tuple(known.values()))
