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

from gateway.protocol import edits, jsonrpc
from gateway.protocol.edits import Edit
from gateway.protocol.listed import Listed

KEPT_SCHEMES = ("ui://", "skill://")
WEB = ("https://", "http://")

_NAMES_A_URI = re.compile(rb'"(?:uri|resourceUri|ui/resourceUri|openai/outputTemplate)"')
"""The members that do. It begins with one literal character, without which a search of a large text takes ten times as
long.
"""

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
        return edits.members(definition, {listed.key: _wrapped(naming)})
    return edits.members(definition, {"_meta": _apps(naming)}) if listed is Listed.TOOLS else definition


def pages_of(tool: Raw) -> tuple[str, ...]:
    """The pages that a tool's definition advertises, listed or not, as its server names them."""
    meta = edits.opened(edits.opened(tool).get("_meta"))
    found = (edits.opened(meta.get("ui")).get("resourceUri"), *map(meta.get, _OF_APPS))
    return tuple(uri for uri in dict.fromkeys(jsonrpc.word(raw) for raw in found if raw is not None) if uri)


def result_out(method: str, result: Raw, naming: Naming) -> Raw:
    """The result of `method`."""
    if naming.slug is None or not _may_hold_uris(bytes(result)):
        return result
    places = _RESULTS.get(method)
    return result if places is None else edits.members(result, places(naming))


def error_out(error: Raw, naming: Naming) -> Raw:
    """An error object, whose `data` may name the resource that was not found."""
    if naming.slug is None:
        return error
    return edits.members(error, {"data": lambda data: edits.members(data, {"uri": _wrapped(naming)})})


def notification_out(method: str, params: Raw, naming: Naming) -> Raw:
    """The params of a server's notification."""
    if naming.slug is None or (places := _NOTIFICATIONS.get(method)) is None:
        return params
    return edits.members(params, places(naming))


def question_out(method: str, params: Raw, naming: Naming) -> Raw:
    """The params of a server's own request."""
    if naming.slug is None or method != "sampling/createMessage" or not _may_hold_uris(bytes(params)):
        return params
    return edits.members(params, {"messages": edits.each(_content(naming))})


def params_back(method: str, members: Mapping[str, Raw], naming: Naming) -> Mapping[str, Raw]:
    """The members of a client's params, as the server names things."""
    if naming.slug is None:
        return members
    if method in ("resources/read", "resources/subscribe", "resources/unsubscribe"):
        return edits.edited(members, {"uri": _unwrapped(naming)})
    if method == "completion/complete":
        return edits.edited(members, {"ref": lambda ref: edits.members(ref, {"uri": _unwrapped(naming)})})
    return members


def _may_hold_uris(text: bytes) -> bool:
    """Whether a text may name a URI anywhere; an escape may spell anything."""
    return _NAMES_A_URI.search(text) is not None or (b"\\" in text and b"\\u" in text)


def _of_call(naming: Naming) -> dict[str, Edit]:
    return {"content": edits.each(_block(naming)), "_meta": _apps(naming), **_of_question(naming)}


def _of_prompt(naming: Naming) -> dict[str, Edit]:
    return {"messages": edits.each(_content(naming)), **_of_question(naming)}


def _of_read(naming: Naming) -> dict[str, Edit]:
    return {"contents": edits.each(lambda one: edits.members(one, {"uri": _wrapped(naming)})), **_of_question(naming)}


def _of_task(naming: Naming) -> dict[str, Edit]:
    return {"result": lambda result: edits.members(result, _of_call(naming)), **_of_question(naming)}


def _of_question(naming: Naming) -> dict[str, Edit]:
    """`inputRequests`: server's requests by key (MCP 2026-07-28 `basic/patterns/mrtr`)."""

    def asked(request: Raw) -> Raw:
        method = jsonrpc.string(edits.opened(request).get("method", b"null")) or ""
        return edits.members(request, {"params": lambda params: question_out(method, params, naming)})

    return {"inputRequests": lambda requests: edits.members(requests, dict.fromkeys(edits.opened(requests), asked))}


_RESULTS: Mapping[str, Callable[[Naming], dict[str, Edit]]] = {
    "tools/call": _of_call,
    "prompts/get": _of_prompt,
    "resources/read": _of_read,
    "tasks/get": _of_task,
    "tasks/result": _of_call,
}

_NOTIFICATIONS: Mapping[str, Callable[[Naming], dict[str, Edit]]] = {
    "notifications/resources/updated": lambda naming: {"uri": _wrapped(naming)},
    "notifications/tasks": _of_task,
}


def _content(naming: Naming) -> Edit:
    """A message whose `content` is a block, or several."""
    block = _block(naming)

    def content(raw: Raw) -> Raw:
        return block(raw) if jsonrpc.is_object(raw) else edits.each(block)(raw)

    return lambda message: edits.members(message, {"content": content})


def _block(naming: Naming) -> Edit:
    """A content block: `resource_link`, an embedded `resource`, or a tool's result with blocks of its own."""
    wrapped = _wrapped(naming)

    def block(raw: Raw) -> Raw:
        match jsonrpc.string(edits.opened(raw).get("type", b"null")):
            case "resource_link":
                return edits.members(raw, {"uri": wrapped})
            case "resource":
                return edits.members(raw, {"resource": lambda resource: edits.members(resource, {"uri": wrapped})})
            case "tool_result":
                return edits.members(raw, {"content": edits.each(block)})
        return raw

    return block


def _apps(naming: Naming) -> Edit:
    """`_meta` of a tool, or of its result (MCP Apps, 2026-01-26)."""
    wrapped = _wrapped(naming)
    places: dict[str, Edit] = dict.fromkeys(_OF_APPS, wrapped)
    places["ui"] = lambda ui: edits.members(ui, {"resourceUri": wrapped})
    return lambda meta: edits.members(meta, places)


def _wrapped(naming: Naming) -> Edit:
    return edits.string(naming.out)


def _unwrapped(naming: Naming) -> Edit:
    return edits.string(naming.back)
