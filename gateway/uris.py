"""URIs: what a server's resources are called on an endpoint that several servers share.

Which question: how does this URI look to clients, and where in a message do URIs stand? Pure. The rule: a URI is
rewritten in the places that the protocol defines and nowhere else; every other byte stays; on an endpoint that keeps
names, the very same objects come back.

`file:///a` of the server `docs` is `docs+file:///a`. Two schemes keep their name, since clients know them by it:
`ui://app` is `ui://docs/app`, `skill://x` is `skill://docs/x`. What the web serves, clients may fetch by themselves:
`https://…` stays (MCP 2026-07-28 `server/resources` §Common URI Schemes).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from msgspec import Raw

from gateway.protocol import jsonrpc
from gateway.protocol.jsonrpc import NotAnArray, NotAnObject
from gateway.protocol.listed import Listed

KEPT_SCHEMES = ("ui://", "skill://")
WEB = ("https://", "http://")

_Edit = Callable[[Raw], Raw]
_MAY_HOLD_URIS = re.compile(rb'uri"|Uri"|Template"|\\u')
"""What a text holds that names a URI anywhere; an escape may spell anything."""

_OF_APPS = ("ui/resourceUri", "openai/outputTemplate")
"""Members of `_meta` that name the page of a tool (MCP Apps, and its forerunners)."""


@dataclass(frozen=True, slots=True)
class Naming:
    """What the URIs of one server are called on one endpoint; without a `slug` they keep their names."""

    slug: str | None = None

    def out(self, uri: str) -> str:
        """The server's `uri` (or URI template) as clients see it."""
        if self.slug is None or uri.startswith(WEB):
            return uri
        for scheme in KEPT_SCHEMES:
            if uri.startswith(scheme):
                return f"{scheme}{self.slug}/{uri.removeprefix(scheme)}"
        return f"{self.slug}+{uri}"

    def back(self, uri: str) -> str:
        """What the server calls it; a URI that is not of this server's naming stays."""
        if self.slug is None:
            return uri
        for scheme in KEPT_SCHEMES:
            if uri.startswith(own := f"{scheme}{self.slug}/"):
                return scheme + uri.removeprefix(own)
        return uri.removeprefix(f"{self.slug}+")


AS_THEY_ARE = Naming()


def slug_in(uri: str) -> str | None:
    """The slug that a wrapped `uri` names; None where it names none."""
    for scheme in KEPT_SCHEMES:
        if uri.startswith(scheme):
            return uri.removeprefix(scheme).partition("/")[0]
    head, plus, _ = uri.partition("+")
    return head if plus else None


def entry_out(listed: Listed, definition: Raw, naming: Naming) -> Raw:
    """An entry of a list."""
    if naming.slug is None:
        return definition
    if listed in (Listed.RESOURCES, Listed.TEMPLATES):
        return _members(definition, {listed.key: _wrapped(naming)})
    return _members(definition, {"_meta": _apps(naming)}) if listed is Listed.TOOLS else definition


def result_out(method: str, result: Raw, naming: Naming) -> Raw:
    """The result of `method`."""
    if naming.slug is None or _MAY_HOLD_URIS.search(result) is None:
        return result
    edits = _RESULTS.get(method)
    return result if edits is None else _members(result, edits(naming))


def error_out(error: Raw, naming: Naming) -> Raw:
    """An error object, whose `data` may name the resource that was not found."""
    if naming.slug is None:
        return error
    return _members(error, {"data": lambda data: _members(data, {"uri": _wrapped(naming)})})


def notification_out(method: str, params: Raw, naming: Naming) -> Raw:
    """The params of a server's notification."""
    if naming.slug is None or method != "notifications/resources/updated":
        return params
    return _members(params, {"uri": _wrapped(naming)})


def question_out(method: str, params: Raw, naming: Naming) -> Raw:
    """The params of a server's own request."""
    if naming.slug is None or method != "sampling/createMessage" or _MAY_HOLD_URIS.search(params) is None:
        return params
    return _members(params, {"messages": _each(_content(naming))})


def params_back(method: str, members: Mapping[str, Raw], naming: Naming) -> Mapping[str, Raw]:
    """The members of a client's params, as the server names things."""
    if naming.slug is None:
        return members
    if method in ("resources/read", "resources/subscribe", "resources/unsubscribe"):
        return _edited(members, {"uri": _unwrapped(naming)})
    if method == "completion/complete":
        return _edited(members, {"ref": lambda ref: _members(ref, {"uri": _unwrapped(naming)})})
    return members


def _of_call(naming: Naming) -> dict[str, _Edit]:
    return {"content": _each(_block(naming)), "_meta": _apps(naming), **_of_question(naming)}


def _of_prompt(naming: Naming) -> dict[str, _Edit]:
    return {"messages": _each(_content(naming)), **_of_question(naming)}


def _of_read(naming: Naming) -> dict[str, _Edit]:
    return {"contents": _each(lambda one: _members(one, {"uri": _wrapped(naming)})), **_of_question(naming)}


def _of_task(naming: Naming) -> dict[str, _Edit]:
    return {"result": lambda result: _members(result, _of_call(naming)), **_of_question(naming)}


def _of_question(naming: Naming) -> dict[str, _Edit]:
    """`inputRequests`: server's requests by key (MCP 2026-07-28 `basic/patterns/mrtr`)."""

    def asked(request: Raw) -> Raw:
        method = jsonrpc.string(_opened(request).get("method", b"null")) or ""
        return _members(request, {"params": lambda params: question_out(method, params, naming)})

    return {"inputRequests": lambda requests: _members(requests, dict.fromkeys(_opened(requests), asked))}


_RESULTS: Mapping[str, Callable[[Naming], dict[str, _Edit]]] = {
    "tools/call": _of_call,
    "prompts/get": _of_prompt,
    "resources/read": _of_read,
    "tasks/get": _of_task,
    "tasks/result": _of_call,
}


def _content(naming: Naming) -> _Edit:
    """A message whose `content` is a block, or several."""
    block = _block(naming)

    def content(raw: Raw) -> Raw:
        return block(raw) if jsonrpc.is_object(raw) else _each(block)(raw)

    return lambda message: _members(message, {"content": content})


def _block(naming: Naming) -> _Edit:
    """A content block: `resource_link`, an embedded `resource`, or a tool's result with blocks of its own."""
    wrapped = _wrapped(naming)

    def block(raw: Raw) -> Raw:
        match jsonrpc.string(_opened(raw).get("type", b"null")):
            case "resource_link":
                return _members(raw, {"uri": wrapped})
            case "resource":
                return _members(raw, {"resource": lambda resource: _members(resource, {"uri": wrapped})})
            case "tool_result":
                return _members(raw, {"content": _each(block)})
        return raw

    return block


def _apps(naming: Naming) -> _Edit:
    """`_meta` of a tool, or of its result (MCP Apps, 2026-01-26)."""
    wrapped = _wrapped(naming)
    edits: dict[str, _Edit] = dict.fromkeys(_OF_APPS, wrapped)
    edits["ui"] = lambda ui: _members(ui, {"resourceUri": wrapped})
    return lambda meta: _members(meta, edits)


def _wrapped(naming: Naming) -> _Edit:
    return lambda raw: _string(raw, naming.out)


def _unwrapped(naming: Naming) -> _Edit:
    return lambda raw: _string(raw, naming.back)


def _string(raw: Raw, change: Callable[[str], str]) -> Raw:
    """A string changed; what is none stays, and so do the bytes of one that the change leaves alone."""
    before = jsonrpc.string(raw)
    if before is None or (after := change(before)) == before:
        return raw
    return jsonrpc.text(after)


def _each(edit: _Edit) -> _Edit:
    """`edit` for every element of an array; what is none stays."""

    def edited(raw: Raw) -> Raw:
        try:
            elements = jsonrpc.elements(raw)
        except NotAnArray:
            return raw
        changed = [edit(element) for element in elements]
        if all(new is old for new, old in zip(changed, elements, strict=True)):
            return raw
        return Raw(b"[" + b",".join(map(bytes, changed)) + b"]")

    return edited


def _members(raw: Raw, edits: Mapping[str, _Edit]) -> Raw:
    """An object with some members edited; what is none stays, and an object that no edit changes keeps its bytes."""
    before = _opened(raw)
    after = _edited(before, edits)
    return raw if after is before else jsonrpc.encode(after)


def _edited(before: Mapping[str, Raw], edits: Mapping[str, _Edit]) -> Mapping[str, Raw]:
    changed = {key: edit(before[key]) for key, edit in edits.items() if key in before}
    changed = {key: raw for key, raw in changed.items() if raw is not before[key]}
    return {**before, **changed} if changed else before


def _opened(raw: Raw) -> dict[str, Raw]:
    try:
        return jsonrpc.members(raw)
    except NotAnObject:
        return {}
