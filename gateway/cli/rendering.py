"""How a tool's answer, its progress and its log messages look on a terminal.

Which question: what does a person want to see of this? Pure. The rule: text is printed as it is, everything else is
named and measured, and nothing that a server sends can drive the terminal.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from gateway.protocol import texts

Json = Mapping[str, Any]

MANY_DIGITS = 1_000
"""Python refuses to read integers of more than 4,300 digits."""

_LINE_END = re.compile(r"((?<!\\)(?:\\\\)*\\n)(?=.)")
"""A line break within a string of JSON."""

_UNPRINTABLE = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""C0 and C1 control characters, which start the escape sequences of terminals (ECMA-48)."""


def answer(result: bytes) -> str:
    """The content of a `tools/call` result, given as JSON text; its structured content where no text says the same."""
    members = value_of(result)
    blocks = [block for block in members.get("content") or [] if isinstance(block, dict)]
    lines = [_block(block) for block in blocks]
    structured = members.get("structuredContent")
    if structured is not None and not _said(structured, blocks):
        lines.append(indented(texts.members(result)["structuredContent"]))
    return harmless("\n".join(lines))


def notification(method: str, params: Json) -> str | None:
    """One line for a progress or log notification; None for any other."""
    if method == "notifications/progress":
        return harmless(" ".join(_progress(params)))
    if method == "notifications/message":
        logger = params.get("logger")
        prefix = f"{logger}: " if logger else ""
        return harmless(f"[{params.get('level', 'info')}] {prefix}{_plain(params.get('data'))}")
    return None


def value_of(text: bytes) -> Any:
    """What a JSON text means, to be read by people: a number of many digits is about right."""
    return json.loads(text, parse_int=_number)


def harmless(text: str) -> str:
    """`text` with its control characters spelled out."""
    return text.translate(_UNPRINTABLE)


def counted(number: int, thing: str) -> str:
    """`1 tool`, `2 tools`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def indented(text: bytes) -> str:
    """A JSON text over several lines, its numbers as they were spelled."""
    try:
        return msgspec.json.format(bytes(text), indent=2).decode()
    except msgspec.DecodeError:  # half a surrogate pair, which JSON allows
        return bytes(text).decode()


def unfolded(text: bytes) -> list[str]:
    """The lines of a JSON text, indented; a string of several lines is broken where its own lines end."""
    lines = harmless(indented(text)).split("\n")
    return [part for line in lines for part in _broken(line)]


def _broken(line: str) -> list[str]:
    margin = line[: len(line) - len(line.lstrip())]
    return _LINE_END.sub(f"\\1\n{margin}", line).split("\n")


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) < MANY_DIGITS else float(digits)


def _block(block: Json) -> str:
    match block.get("type"):
        case "text":
            return str(block.get("text", ""))
        case "image" | "audio" as kind:
            return f"[{kind} {block.get('mimeType', 'of unknown type')}, {_size(block.get('data'))}]"
        case "resource_link":
            return f"[link {block.get('name', '')} {block.get('uri', '')}]"
        case "resource":
            return _resource(block.get("resource") or {})
        case other:
            return f"[{other or 'a block without a type'}]"


def _resource(resource: Json) -> str:
    label = f"resource {resource.get('uri', '')} {resource.get('mimeType', '')}".rstrip()
    if isinstance(text := resource.get("text"), str):
        return f"[{label}]\n{text}"
    return f"[{label}, {_size(resource.get('blob'))}]"


def _size(data: object) -> str:
    """Of base64 (RFC 4648 §4), without decoding it."""
    if not isinstance(data, str):
        return "no data"
    size = len(data) * 3 // 4 - data.count("=", -2)
    return f"{size} bytes" if size < 10_000 else f"{size / 1_000:,.0f} kB"


def _said(structured: object, blocks: list[dict[str, Any]]) -> bool:
    """Whether a text block is this very value (MCP 2026-07-28 `server/tools` §Structured Content), or is what a
    framework wrapped as `{"result": …}` because older clients know objects alone.
    """
    said = [value for block in blocks if block.get("type") == "text" for value in _values(block.get("text"))]
    return structured in said or structured in [{"result": value} for value in said]


def _values(text: object) -> Iterator[object]:
    """A text, and the JSON value that it spells if it does."""
    yield text
    if isinstance(text, str):
        with contextlib.suppress(ValueError):
            yield value_of(text.encode("utf-8", "surrogatepass"))


def _progress(params: Json) -> Iterator[str]:
    total = params.get("total")
    yield f"progress {_plain(params.get('progress'))}" + ("" if total is None else f"/{_plain(total)}")
    if params.get("message"):
        yield str(params["message"])


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
