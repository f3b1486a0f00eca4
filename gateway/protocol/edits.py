"""JSON texts changed in some places, every other byte of them kept.

Which question: how does this object look once these members were edited? Pure. The rule: a text that no edit changes
is the very same object afterwards; what is of another shape than an edit expects stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Raw

from gateway.protocol import texts
from gateway.protocol.texts import NotAnArray, NotAnObject

Edit = Callable[[Raw], Raw]


def members(raw: Raw, edits: Mapping[str, Edit]) -> Raw:
    """An object with some members edited."""
    before = opened(raw)
    after = edited(before, edits)
    return raw if after is before else texts.encode(after)


def edited(before: Mapping[str, Raw], edits: Mapping[str, Edit]) -> Mapping[str, Raw]:
    """The members of an object, some of them edited."""
    changed = {key: edit(before[key]) for key, edit in edits.items() if key in before}
    changed = {key: raw for key, raw in changed.items() if raw is not before[key]}
    return {**before, **changed} if changed else before


def each(edit: Edit) -> Edit:
    """`edit` for every element of an array."""

    def every(raw: Raw) -> Raw:
        try:
            elements = texts.elements(raw)
        except NotAnArray:
            return raw
        changed = [edit(element) for element in elements]
        if all(new is old for new, old in zip(changed, elements, strict=True)):
            return raw
        return Raw(b"[" + b",".join(map(bytes, changed)) + b"]")

    return every


def string(change: Callable[[str], str]) -> Edit:
    """`change` for a string."""

    def changed(raw: Raw) -> Raw:
        before = texts.string(raw)
        if before is None or (after := change(before)) == before:
            return raw
        return texts.text(after)

    return changed


def opened(raw: Raw | None) -> dict[str, Raw]:
    """The members of an object; none of what is none."""
    try:
        return {} if raw is None else texts.members(raw)
    except NotAnObject:
        return {}
