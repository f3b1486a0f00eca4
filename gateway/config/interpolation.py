"""Variables in values: `${NAME}`, `${NAME:-default}`, `${env:NAME}`, and `$${` for a `${` that is meant.

Which question: what does this text say once its variables are filled in? Pure: the environment and the reader of
secret files are arguments. The rule: what a variable held is in the result alone, never in a message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

ReadFile = Callable[[str], str]
"""The text of a file, by its path. Raises OSError or UnicodeDecodeError."""

_PIECE = re.compile(r"\$\$\{|\$\{(?P<body>[^{}]*)\}|\$\{")
_NAME = re.compile(r"(?:env:)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)
_INPUT = re.compile(r"input:(?P<id>.*)", re.DOTALL)


class CannotExpand(Exception):
    """A text cannot be filled in; the message says why and what to do."""


class Variables:
    """The values that texts may name: environment variables, or the files that `NAME_FILE` variables point to."""

    def __init__(self, env: Mapping[str, str], read_file: ReadFile) -> None:
        self._env = env
        self._read_file = read_file

    def get(self, name: str) -> str | None:
        """The value of `name`: the variable itself, else the content of the file that `<name>_FILE` names, without
        its last line break. Raises `CannotExpand` when that file cannot be read.
        """
        if (value := self._env.get(name)) is not None:
            return value
        if not (path := self._env.get(f"{name}_FILE")):
            return None
        try:
            return self._read_file(path).removesuffix("\n").removesuffix("\r")
        except OSError as error:
            raise CannotExpand(f"{_file(name, path)}, which cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise CannotExpand(f"{_file(name, path)}, which is no UTF-8 text") from error

    def expand(self, text: str) -> str:
        """`text` with its variables filled in. Raises `CannotExpand`."""
        return _PIECE.sub(self._value, text)

    def _value(self, piece: re.Match[str]) -> str:
        if piece[0] == "$${":
            return "${"
        if piece["body"] is None:
            raise CannotExpand("holds ${ without its own }; close it, or write $${ for the two characters themselves")
        if (named := _NAME.fullmatch(piece["body"])) is None:
            raise CannotExpand(_misspelt(piece["body"]))
        value = self.get(named["name"])
        if named["default"] is not None:
            return value or named["default"]
        if value is None:
            raise CannotExpand(_missing(named["name"]))
        return value


def has_variables(text: str) -> bool:
    """Whether `expand` would change `text` or refuse it."""
    return "${" in text


def _file(name: str, path: str) -> str:
    return f"needs the variable {name}, and {name}_FILE names {path}"


def _missing(name: str) -> str:
    return f"needs the variable {name}, which is not set; set {name} or {name}_FILE, or write ${{{name}:-default}}"


def _misspelt(body: str) -> str:
    if (asked := _INPUT.fullmatch(body)) is not None:
        name = re.sub("[^A-Za-z0-9]+", "_", asked["id"]).strip("_").upper() or "NAME"
        return f"wants to ask a person with ${{{body}}}; set a variable instead and write ${{{name}}}"
    return f"holds ${{{body}}}, which names no variable; write ${{NAME}} or ${{NAME:-default}}"
