"""One section of a configuration, whatever is wrong with the others.

Which question: what does this section say, for a command that needs no more? Pure. The rule: the section itself is read
as strictly as in a whole configuration; a flawed server must not keep an admin from the records of its calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

from pydantic import BaseModel

from gateway.config.binding import Binder
from gateway.config.configuration import top_of
from gateway.config.interpolation import ReadFile, Variables
from gateway.config.keys import Path
from gateway.config.nodes import Object
from gateway.config.overrides import overlaid
from gateway.config.problems import ConfigErrors, Place, Problem

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Part(Generic[M]):
    """A section; `places` is where each of its values stands, the file itself included."""

    value: M
    places: Mapping[Path, Place]

    def place(self, path: Path) -> Place:
        """Where the value at `path` stands, or what would hold it."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]


def section(
    text: str, name: str, kind: type[M], *, source: str, env: Mapping[str, str], read_file: ReadFile
) -> Part[M]:
    """The section `name` of `text`, its variables filled in. Raises `ConfigErrors` with what is wrong with it, or with
    the YAML around it.
    """
    variables = Variables(env, read_file)
    binder = Binder(variables)
    written = top_of(text, source, binder)
    binder.problems = list(_within(written, name, binder.problems))

    def complain(path: Path, message: str, place: Place) -> None:
        if path[0] == name:
            binder.complain(path, message, place)

    found: M | None = kind()
    for entry in overlaid(written, variables, {}, complain).entries:
        if entry.key.text == name:
            found = binder.model(entry.value, kind, (name,))
    if found is None or binder.problems:
        raise ConfigErrors(binder.problems)
    return Part(found, binder.places)


def _within(top: Object, name: str, problems: list[Problem]) -> Iterator[Problem]:
    """Those from the key `name` to the next one."""
    bounds = [*((entry.key.text, entry.key.place) for entry in top.entries), ("", None)]
    for (key, begin), (_, end) in pairwise(bounds):
        if key == name and begin is not None:
            yield from (one for one in problems if one.place >= begin and (end is None or one.place < end))
