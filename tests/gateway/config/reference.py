"""The tables of keys in docs/configuration.md, made from the settings.

python -m tests.gateway.config.reference      renews them
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gateway.config.keys import element_of, fields_of, is_section
from gateway.config.overrides import settable, variable_of
from gateway.settings import ApiKey, Config, Group, ServerSpec
from storage.settings import JournalSettings, ServerRetention

DOCUMENT = Path(__file__).parents[3] / "docs" / "configuration.md"
BEGIN, END = "<!-- keys: made by tests/gateway/config/reference.py -->", "<!-- /keys -->"

_KINDS = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def reference() -> str:
    """Every section with its keys."""
    sections = {name: kind for name, kind in fields_of(Config).items() if is_section(kind)}
    parts = {
        "auth.keys[]": ApiKey,
        "groups.NAME": Group,
        "recording.journal": JournalSettings,
        "servers.NAME": ServerSpec,
        "servers.NAME.retention": ServerRetention,
    }
    named = {**sections, **parts}
    return "\n".join(line for name in sorted(named) for line in _section(name, named[name]))


def renewed(text: str) -> str:
    """The document with its tables made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


def _section(name: str, kind: type[BaseModel]) -> Iterator[str]:
    variables = {".".join(path): variable_of(path) for path, _ in settable()}
    with_variables = name in Config.model_fields or any(path.startswith(f"{name}.") for path in variables)
    yield f"### `{name}`\n"
    yield "| key | value | default | meaning |" + (" variable |" if with_variables else "")
    yield "|---|---|---|---|" + ("---|" if with_variables else "")
    for key, value in fields_of(kind).items():
        field = kind.model_fields[key]
        cells = [f"`{key}`", _value(value, field), _default(field), field.description or ""]
        if with_variables:
            cells.append(f"`{variables[path]}`" if (path := f"{name}.{key}") in variables else "")
        yield f"| {' | '.join(cells)} |"
    yield ""


def _value(kind: Any, field: FieldInfo) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(f"`{word}`" for word in get_args(kind))
    if (element := element_of(kind, tuple)) is not None:
        return "list of keys" if is_section(element) else "list of texts"
    if element_of(kind, dict) is not None:
        return "names and texts"
    if is_section(kind):
        return "as the section of this name"
    return _KINDS[kind] + _bounds(field)


def _bounds(field: FieldInfo) -> str:
    words = []
    for limit in field.metadata:
        match limit:
            case Ge(ge=least):
                words.append(f"at least {least}")
            case Gt(gt=least):
                words.append(f"more than {least}")
            case Le(le=most):
                words.append(f"at most {most}")
    return f", {', '.join(words)}" if words else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.default
    if value in (None, "", (), {}) or isinstance(value, BaseModel):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    DOCUMENT.write_text(renewed(DOCUMENT.read_text("utf-8")), "utf-8")
