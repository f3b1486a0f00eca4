"""JSON paths whose values are hidden.

Which question: which values of this text does a path mean? Pure. The rule: only what lies on the way to a hidden value
is opened; every other value keeps its bytes. A text that cannot be opened raises, and is then not kept.

A path is a subset of RFC 9535: `$`, then `.name`, `['name']`, `[0]`, `.*`, `[*]`, and `..name` or `..*` for any depth.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Raw

MARK = b'"[redacted]"'
MOST = 200
"""Characters of a path."""

_STEP = re.compile(
    r"""(?P<deep>\.\.)?(?:(?P<dot>\.)?(?P<name>[A-Za-z_\u0080-\U0010ffff][\w\u0080-\U0010ffff-]*|\*)"""
    r"""|\[(?:'(?P<quoted>(?:[^'\\]|\\['\\])*)'|"(?P<double>(?:[^"\\]|\\["\\])*)"|(?P<index>\d{1,6})|(?P<any>\*))\])"""
)

_members = msgspec.json.Decoder(dict[str, Raw])
_elements = msgspec.json.Decoder(list[Raw])


@dataclass(frozen=True, slots=True)
class Step:
    """`name` None and `index` None: anything; `deep`: however far below."""

    name: str | None = None
    index: int | None = None
    deep: bool = False

    def takes(self, key: str | int) -> bool:
        if self.name is None and self.index is None:
            return True
        return key == self.name if isinstance(key, str) else key == self.index


Path = tuple[Step, ...]


class BadPath(ValueError):
    """The message follows the key's name and says what to write."""


def parsed(text: str) -> Path:
    """Raises `BadPath`."""
    if not text.startswith("$"):
        raise BadPath("must begin with $, as in $.arguments.password")
    if len(text) > MOST:
        raise BadPath(f"is longer than {MOST} characters")
    steps, at = list[Step](), 1
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None or not (step["deep"] or step["dot"] or text[at] == "["):
            raise BadPath(
                f"cannot be read from {text[at : at + 20]!r} on; write .name, ['name'], [0], .*, [*] or ..name"
            )
        if step["deep"] and step["dot"]:
            raise BadPath("has three dots; write ..name")
        steps.append(_step(step))
        at = step.end()
    if not steps:
        raise BadPath("means the whole payload; write capture: metadata instead")
    return tuple(steps)


def hidden(text: bytes, paths: Iterable[Path]) -> bytes:
    """`text` with a mark in place of each value that one of `paths` means. Raises `ValueError` and `RecursionError` for
    what is no JSON, or too deep.
    """
    found = _hidden(Raw(text), tuple(paths))
    return text if found is None else found


def _step(step: re.Match[str]) -> Step:
    deep, name = step["deep"] is not None, step["name"]
    if step["index"] is not None:
        return Step(index=int(step["index"]), deep=deep)
    if name == "*" or step["any"]:
        return Step(deep=deep)
    if name is None:
        name = re.sub(r"\\(.)", r"\1", step["quoted"] if step["quoted"] is not None else step["double"])
    return Step(name=name, deep=deep)


def _hidden(value: Raw, paths: Sequence[Path]) -> bytes | None:
    """None when nothing of it is meant."""
    first = bytes(value).lstrip()[:1]
    if first == b"{":
        members = _members.decode(value)
        changed = {key: new for key, raw in members.items() if (new := _below(key, raw, paths)) is not None}
        return msgspec.json.encode({**members, **{key: Raw(new) for key, new in changed.items()}}) if changed else None
    if first == b"[":
        elements = _elements.decode(value)
        news = [_below(index, raw, paths) for index, raw in enumerate(elements)]
        if any(new is not None for new in news):
            return (
                b"["
                + b",".join(bytes(raw) if new is None else new for raw, new in zip(elements, news, strict=True))
                + b"]"
            )
    return None


def _below(key: str | int, value: Raw, paths: Sequence[Path]) -> bytes | None:
    going = list[Path]()
    for path in paths:
        step, rest = path[0], path[1:]
        if step.takes(key):
            if not rest:
                return MARK
            going.append(rest)
        if step.deep:
            going.append(path)
    return _hidden(value, going) if going else None
