"""Where a name leads: a tool, prompt, resource or task on an endpoint.

Which question: which server is this request for, and what does that call the thing? Pure. The rule: names are looked
up, never split; only a URI, which may stand in no list, says by itself whose it is.
"""

from __future__ import annotations

from msgspec import Raw

from gateway import task_ids, templates, uris
from gateway.errors import GatewayError, Kind
from gateway.methods import Names
from gateway.protocol import jsonrpc
from gateway.protocol.edits import opened
from gateway.protocol.jsonrpc import NotAnObject
from gateway.protocol.listed import Listed
from gateway.protocol.params import Params
from gateway.protocol.versions import Era
from gateway.routing import Endpoint, Route, Server, Shelf
from gateway.task_ids import Holder, TaskIds


def find(endpoint: Endpoint, names: Names, params: Params) -> Route:
    """Where a request goes that names a thing in its params. Raises INVALID_PARAMS and UNKNOWN_TOOL
    (MCP 2026-07-28 `server/tools` §Error Handling, `server/resources` §Error Handling).
    """
    match names:
        case Names.TOOL:
            return _named(endpoint, Listed.TOOLS, params.word("name"))
        case Names.PROMPT:
            return _named(endpoint, Listed.PROMPTS, params.word("name"))
        case Names.URI:
            return find_resource(endpoint, params.word("uri"))
        case Names.REF:
            return _referred(endpoint, params)


def find_resource(endpoint: Endpoint, uri: str) -> Route:
    """The server of a resource, listed or not. Raises INVALID_PARAMS, which names the URI."""
    if (route := endpoint.whole(uri)) is not None:
        return route
    if (known := endpoint.books[Listed.RESOURCES].routes.get(uri) or endpoint.pages.get(uri)) is not None:
        return known
    slug = uris.slug_in(uri) if endpoint.prefixed else None
    if slug is not None and (server := endpoint.by_slug.get(slug)) is not None:
        naming = endpoint.naming_of(server)
        return Route(server, naming.back(uri), naming)
    for template, route in endpoint.books[Listed.TEMPLATES].routes.items():
        if templates.matches(template, uri):
            return Route(route.server, route.naming.back(uri), route.naming)
    if (only := _only_owner(endpoint)) is not None:
        return Route(only, uri)
    raise GatewayError(Kind.INVALID_PARAMS, "Resource not found", data={"uri": uri}, reason="unknown_resource")


def find_task(endpoint: Endpoint, holder: Holder, ids: TaskIds, name: str) -> Route:
    """The server of a task. Raises INVALID_PARAMS, in the same words whatever is wrong."""
    if holder.bare:
        return Route(endpoint.servers[0], name)
    server_id, task_id = ids.read(holder, name)
    for server in endpoint.servers:
        if server.id == server_id:
            tasks = ids.names(holder, server_id, {task_id: name})
            return Route(server, task_id, endpoint.naming_of(server), tasks=tasks)
    raise task_ids.unknown_task()


def find_extension(endpoint: Endpoint, method: str, era: Era) -> Route | None:
    """Where a method goes that MCP's core does not know: to the one server of the endpoint, or of several to the only
    one of the client's era that advertises the extension `<vendor>/<name>` which owns it, by `<name>/…`.
    """
    if (whole := endpoint.whole()) is not None:
        return whole
    owner = method.partition("/")[0]
    known = [shelf for shelf in endpoint.shelves if shelf.catalog is not None and shelf.catalog.era is era]
    owning = [shelf.server for shelf in known if owner in _extensions(shelf)]
    return Route(owning[0], "", endpoint.naming_of(owning[0])) if len(owning) == 1 else None


def _extensions(shelf: Shelf) -> frozenset[str]:
    """The names, without their vendors, of the extensions that a server advertises."""
    said = {} if shelf.catalog is None else opened(shelf.catalog.capabilities)
    return frozenset(name.rpartition("/")[2] for name in opened(said.get("extensions")))


def _named(endpoint: Endpoint, listed: Listed, name: str) -> Route:
    """A server that was never listed may offer anything, on its own endpoint."""
    if (route := endpoint.books[listed].routes.get(name)) is not None:
        return route
    if not endpoint.complete and (whole := endpoint.whole(name)) is not None:
        return whole
    if listed is Listed.TOOLS:
        if (called_by_a_page := endpoint.apps_tools.get(name)) is not None:
            return called_by_a_page
        raise GatewayError(Kind.UNKNOWN_TOOL, f"Unknown tool: {name[:128]}")
    raise GatewayError(Kind.INVALID_PARAMS, f"Unknown prompt: {name[:128]}", reason="unknown_prompt")


def _only_owner(endpoint: Endpoint) -> Server | None:
    """The one server that has resources, where URIs stay as they are: any URI can only be for it."""
    books = (endpoint.books[listed] for listed in (Listed.RESOURCES, Listed.TEMPLATES))
    owners = {route.server.slug: route.server for book in books for route in book.routes.values()}
    return next(iter(owners.values())) if len(owners) == 1 and not endpoint.prefixed else None


def _referred(endpoint: Endpoint, params: Params) -> Route:
    """What an argument is completed for: a prompt, or a resource by URI or template."""
    try:
        ref = jsonrpc.members(params.members.get("ref", Raw(b"null")))
    except NotAnObject as error:
        raise GatewayError(Kind.INVALID_PARAMS, "Invalid params: ref must be an object") from error
    name, uri = (jsonrpc.word(ref.get(member, b"null")) for member in ("name", "uri"))
    if jsonrpc.string(ref.get("type", b"null")) == "ref/prompt" and name is not None:
        return endpoint.whole(name) or _named(endpoint, Listed.PROMPTS, name)
    if uri is None:
        raise GatewayError(Kind.INVALID_PARAMS, "Invalid params: ref must name a prompt, or a resource by its uri")
    return endpoint.books[Listed.TEMPLATES].routes.get(uri) or find_resource(endpoint, uri)
