"""Secrets that stand in the file in clear.

Which question: which values should have been variables? Pure. The rule: a warning names the key and never the value;
the registry stores what the file says, so a secret in clear ends up in the database.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.config.interpolation import has_variables
from gateway.config.keys import Path
from gateway.redact import Redactor
from gateway.secrets import names_secret


def exposed(spec: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """The paths in a server's spec, as written, that hold a secret in clear, each with what to do."""
    redactor = Redactor()
    for path, name, text in _texts(spec):
        if text and not has_variables(text) and (names_secret(name.encode()) or redactor.redact_text(text) != text):
            yield (
                path,
                f"holds a secret in clear, which the registry would store; write ${{{_variable(path)}}} and set it",
            )


def _texts(spec: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    for group in ("headers", "env"):
        for name, text in spec.get(group, {}).items():
            yield (group, name), name, text
    for index, text in enumerate(spec.get("args", ())):
        yield ("args", index), "", text
    yield ("url",), "", spec.get("url", "")


def _variable(path: Path) -> str:
    words = re.sub("[^A-Za-z0-9]+", "_", str(path[-1])).strip("_").upper()
    return "SECRET" if path[0] in ("args", "url") or not words or words[0].isdigit() else words
