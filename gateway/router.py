"""The way from a request to its server, as its client sees the endpoint.

Which question: what is there for this caller, and where does his request go? Touches the live table, and what some
callers alone see. The rule: a name that everybody sees costs a lookup; nobody waits for a list that he did not ask for,
unless he names what stands in no list that is at hand.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway import lookup
from gateway.calls import Forwarder
from gateway.contexts import Contexts
from gateway.errors import GatewayError, Kind
from gateway.live import Source
from gateway.methods import Names
from gateway.request import Request
from gateway.routing import Endpoint, Route, Shelf
from gateway.sessions import Sessions
from gateway.task_ids import TaskIds
from gateway.views import Views

COLD_LIST_SECONDS = 2.0


class Router:
    """Finds servers for requests."""

    def __init__(self, source: Source, sessions: Sessions, contexts: Contexts, views: Views, task_ids: TaskIds) -> None:
        self._source = source
        self._sessions = sessions
        self._contexts = contexts
        self._views = views
        self._task_ids = task_ids

    async def settled(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint once its servers were listed, at most two seconds later; at once when it is complete."""
        if endpoint.complete:
            return endpoint
        await self._source.settle(endpoint.key, COLD_LIST_SECONDS)
        return self._source.live.table.endpoint(endpoint.key)

    async def seen(self, request: Request) -> Endpoint:
        """The endpoint as the caller sees it."""
        endpoint = await self.settled(request.endpoint)
        own = await self._contexts.of(request, endpoint)
        return self._views.over(endpoint, {**own, **self._own(request)})

    async def route(self, names: Names, request: Request) -> Route:
        """Where the thing is that `request` names. A server that was never listed may offer anything: on its own
        endpoint the name is passed on as it is, on an aggregate the first listing is awaited. Raises `GatewayError`.
        """
        endpoint, own = request.endpoint, self._own(request)
        if own:
            endpoint = self._views.over(endpoint, own)
        try:
            return lookup.find(endpoint, names, request.params)
        except GatewayError:
            if (seen := await self.seen(request)) is endpoint:
                raise
        return lookup.find(seen, names, request.params)

    def task(self, request: Request, name: str) -> Route:
        """Where a task is. Raises INVALID_PARAMS."""
        return lookup.find_task(request.endpoint, request.holder, self._task_ids, name)

    def upstream(self, route: Route) -> Forwarder:
        """Raises SERVER_DOWN."""
        if (upstream := self._source.live.upstreams.get(route.server.id)) is None:
            raise GatewayError(Kind.SERVER_DOWN, f"Server '{route.server.slug}' was just removed from this gateway.")
        return upstream

    def upstreams(self, endpoint: Endpoint) -> list[Forwarder]:
        """Those of the endpoint's servers."""
        upstreams = self._source.live.upstreams
        return [upstreams[server.id] for server in endpoint.servers if server.id in upstreams]

    def _own(self, request: Request) -> Mapping[int, Shelf]:
        """What servers offer to the request's session alone."""
        session = None if request.sid is None else self._sessions.alive(request.sid)
        return {} if session is None else session.own
