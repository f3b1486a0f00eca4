"""The keys that the configuration knows, read off its models.

Which question: what may stand under this key, and how is a key called? Pure. The rule: the models of `settings` are
the only list of keys; nothing here repeats one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel

from gateway.settings import READ_ONLY

Path: TypeAlias = tuple[str | int, ...]
"""Keys and positions in lists, from the top of the file."""

_SIMPLE = re.compile(r"[A-Za-z0-9_-]+")


def fields_of(model: type[BaseModel]) -> Mapping[str, Any]:
    """The keys of a section that a file may set, and the type of what each holds when it is there."""
    fields = model.model_fields.items()
    return {name: _bare(field.annotation) for name, field in fields if field.json_schema_extra != READ_ONLY}


def is_section(kind: Any) -> bool:
    """Whether a key of this type holds keys that a model names."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def element_of(kind: Any, holder: type) -> Any:
    """What a `tuple[X, ...]` or a `dict[str, X]` holds; None when `kind` is not of the type `holder`."""
    if get_origin(kind) is not holder:
        return None
    arguments = get_args(kind)
    return _bare(arguments[1] if holder is dict else arguments[0])


def shown(path: Path) -> str:
    """`servers.docs.headers.Authorization`, `auth.keys[0].name`; names that are no plain words stand in quotes."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            word = step if _SIMPLE.fullmatch(step) else repr(step)
            text += f".{word}" if text else word
    return text


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was most likely meant to be; None when nothing is near."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def listed(words: Iterable[str]) -> str:
    return ", ".join(words)


def _bare(annotation: Any) -> Any:
    """`annotation` without `None` and without constraints."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        present = [choice for choice in get_args(annotation) if choice is not NoneType]
        return _bare(present[0])
    return annotation
