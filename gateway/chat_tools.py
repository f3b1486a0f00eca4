"""Tools as the functions of a chat completions API.

Which question: which functions does a chat back end hand to its model, and which tool does each one mean? Pure. The
rule: a description and a schema keep their bytes; a name that model APIs would refuse is altered, and the alteration
is looked up, never undone.

OpenAI API reference, Chat Completions `tools`; MCP 2026-07-28 `server/tools`; MCP Apps (SEP-1865) `_meta.ui`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from msgspec import Raw

from gateway.naming import function_name
from gateway.protocol.jsonrpc import NotAnArray, NotAnObject, elements, encode, is_object, members, string, text
from gateway.protocol.mirrors import BadAnnotation, Mirror, mirrors_of

_NOTHING = Raw(b"null")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of `tools/list`: definitions, and the cursor of the next page."""

    definitions: tuple[Raw, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Function:
    """The tool that a function means, by the name that its endpoint routes, and what of its arguments is mirrored."""

    tool: str
    mirrors: tuple[Mirror, ...] = ()


@dataclass(frozen=True, slots=True)
class Functions:
    """What an endpoint offers to models. `body` is the JSON text of the answer; `etag` has its quotes."""

    body: bytes
    etag: str
    by_name: Mapping[str, Function]

    def meant(self, name: str) -> Function:
        """The tool that a model means by `name`; one that was never offered is the routing table's to refuse."""
        return self.by_name.get(name) or Function(name)


def page_of(result: Raw) -> Page:
    """A page from the result of `tools/list`."""
    found = members(result)
    return Page(tuple(elements(found.get("tools", Raw(b"[]")))), string(found.get("nextCursor", _NOTHING)))


def functions(results: tuple[bytes, ...]) -> Functions:
    """The functions in all pages of `tools/list`, which are given as their results, in the order of the tools.

    Names that are legal as they are go first: an altered name that meets one of them, or another, is left out.
    """
    tools = _by_name(definition for result in results for definition in page_of(Raw(result)).definitions)
    names = _names(tools)
    listed = [_function(function, tools[tool]) for function, tool in names.items()]
    body = b'{"tools":[' + b",".join(listed) + b"]}"
    by_name = {function: Function(tool, _mirrors(tools[tool])) for function, tool in names.items()}
    return Functions(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"', by_name)


def _by_name(definitions: Iterable[Raw]) -> dict[str, Raw]:
    """The tools that a model may see."""
    named = ((string(members(definition).get("name", _NOTHING)), definition) for definition in definitions)
    return {name: definition for name, definition in named if name is not None and _is_for_models(definition)}


def _names(tools: Iterable[str]) -> dict[str, str]:
    """Function names and the tools that they mean, in the order of the tools."""
    asked = {tool: function_name(tool) for tool in tools}
    taken = {tool: tool for tool, function in asked.items() if function == tool}
    for tool, function in asked.items():
        taken.setdefault(function, tool)
    return {function: tool for tool, function in asked.items() if taken[function] == tool}


def _function(name: str, definition: Raw) -> Raw:
    """One entry. A schema that is no object is no schema, and a function without one takes no arguments."""
    tool = members(definition)
    function = {"name": text(name)}
    if (description := _description(tool)) is not None:
        function["description"] = description
    if is_object(schema := tool.get("inputSchema", _NOTHING)):
        function["parameters"] = schema
    return encode({"type": b'"function"', "function": encode(function)})


def _description(tool: Mapping[str, Raw]) -> Raw | None:
    found = (tool.get(member, _NOTHING) for member in ("description", "title"))
    return next((raw for raw in found if bytes(raw).startswith(b'"')), None)


def _is_for_models(definition: Raw) -> bool:
    """Whether a host may show the tool to its model: `_meta.ui.visibility`, where it is given, says so."""
    try:
        ui = members(members(members(definition).get("_meta", b"{}")).get("ui", b"{}"))
        return "visibility" not in ui or b'"model"' in [bytes(who) for who in elements(ui["visibility"])]
    except (NotAnObject, NotAnArray):
        return True


def _mirrors(definition: Raw) -> tuple[Mirror, ...]:
    try:
        return mirrors_of(definition)
    except BadAnnotation:
        return ()
