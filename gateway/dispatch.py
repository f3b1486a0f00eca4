"""What each method does: answered here, or passed on to a server.

Which question: who serves this method to a client of this era? Touches the sessions and the calls through what it is
given. The rule: a method is one entry of one table; what
is no entry is an extension's, or nobody's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial

from msgspec import Raw

from gateway import endings, local, lookup, methods
from gateway.calls import Calls, Forwarder
from gateway.errors import GatewayError, Kind
from gateway.listens import Listens
from gateway.methods import Method, Names
from gateway.protocol import eras, jsonrpc, mirrors
from gateway.protocol.headers import McpHeaders
from gateway.protocol.listed import Listed
from gateway.protocol.versions import Era
from gateway.request import Request
from gateway.router import Router
from gateway.routing import Route
from gateway.sessions import Sessions
from gateway.sink import Answer, Sink
from gateway.task_ids import AS_THEY_ARE, TaskIds
from gateway.upstream.scopes import OF_ONE_CLIENT

LEVEL_SECONDS = 2.0
"""How long a client waits until its servers know its level; later ones hear of it with its next call."""

EMPTY_RESULT = b"{}"

_Serve = Callable[[Request, Sink], Awaitable[None]]


class Dispatch:
    """Serves requests whose envelope has been read."""

    def __init__(self, router: Router, sessions: Sessions, listens: Listens, calls: Calls, task_ids: TaskIds) -> None:
        self._router = router
        self._sessions = sessions
        self._calls = calls
        self._task_ids = task_ids
        lists: dict[str, _Serve] = {listed.method: partial(self._list, listed) for listed in Listed}
        self._serves: Mapping[Era, Mapping[str, _Serve]] = {
            Era.MODERN: {
                "server/discover": self._discover,
                "subscriptions/listen": listens.serve,
                **lists,
                **self._forwarding(Era.MODERN),
            },
            Era.LEGACY: {
                "ping": self._ping,
                "logging/setLevel": self._set_level,
                "tasks/list": self._list_tasks,
                **lists,
                **self._forwarding(Era.LEGACY),
            },
        }

    async def serve(self, request: Request, sink: Sink) -> None:
        """Answer `request` on `sink`. Raises `GatewayError`."""
        await self._serves[request.era].get(request.method, self._extension)(request, sink)

    async def _ping(self, request: Request, sink: Sink) -> None:
        await sink.finish(Answer(jsonrpc.result(request.id, EMPTY_RESULT)))

    async def _discover(self, request: Request, sink: Sink) -> None:
        await sink.finish(Answer(jsonrpc.result(request.id, local.discovered(request.endpoint))))

    async def _set_level(self, request: Request, sink: Sink) -> None:
        await self._check_offered(request, "logging")
        level = request.params.members.get("level", Raw(b"null"))
        if jsonrpc.word(level) not in eras.LEVELS:
            raise GatewayError(Kind.INVALID_PARAMS, f"Invalid params: level must be one of {', '.join(eras.LEVELS)}")
        if request.sid is not None and (session := self._sessions.alive(request.sid)) is not None:
            session.level = jsonrpc.copy(level)
            told = (
                upstream.set_level(request.scope, session.level)
                for upstream in self._router.upstreams(request.endpoint)
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(LEVEL_SECONDS):
                    await asyncio.gather(*told)
        await sink.finish(Answer(jsonrpc.result(request.id, EMPTY_RESULT)))

    async def _list(self, listed: Listed, request: Request, sink: Sink) -> None:
        endpoint = await self._router.seen(request)
        found = local.listed(endpoint, listed, request.era, request.params.cursor)
        await sink.finish(Answer(jsonrpc.result(request.id, found)))

    def _forwarding(self, era: Era) -> dict[str, _Serve]:
        return {
            name: partial(self._forward, method) for name, method in methods.FORWARDED.items() if era in method.eras
        }

    async def _forward(self, method: Method, request: Request, sink: Sink) -> None:
        if method.session and request.sid is None:
            raise GatewayError(Kind.INVALID_REQUEST, f"{request.method} needs a session: initialize first")
        if method.capability is not None:
            await self._check_offered(request, method.capability)
        route = self._task_route(request) if method.names is None else await self._router.route(method.names, request)
        upstream = self._router.upstream(route)
        if upstream.era is not None and upstream.era not in _eras_for(method, request):
            raise _unknown_method(request)
        if method.session and route.server.spec.isolation not in OF_ONE_CLIENT:
            raise _unknown_method(request)
        if method.names is Names.REF and route.server.id in request.endpoint.mute:
            await sink.finish(Answer(jsonrpc.result(request.id, local.completed_by_nothing(request.era))))
            return
        if request.era is Era.MODERN and route.mirrors:
            mirrors.check(route.mirrors, request.params.members.get("arguments"), McpHeaders(request.headers))
        await self._run(request, route, upstream, sink)

    async def _extension(self, request: Request, sink: Sink) -> None:
        """A method that MCP's core does not know goes to the one server that it can be for."""
        route = lookup.find_extension(request.endpoint, request.method, request.era)
        if request.method in methods.UNKNOWN_TO[request.era] or route is None:
            raise _unknown_method(request)
        await self._run(request, route, self._router.upstream(route), sink)

    async def _list_tasks(self, request: Request, sink: Sink) -> None:
        """A server that cannot tell callers apart lists the tasks of all of them: nobody with a key gets to see it."""
        route = request.endpoint.whole()
        if route is None or not request.holder.bare:
            raise _unknown_method(request)
        upstream = self._router.upstream(route)
        if upstream.era is Era.MODERN:
            raise _unknown_method(request)
        await self._run(request, route, upstream, sink)

    async def _run(self, request: Request, route: Route, upstream: Forwarder, sink: Sink) -> None:
        if route.tasks is AS_THEY_ARE and not (holder := request.holder).bare:
            names = self._task_ids.names(holder, route.server.id)
            route = Route(route.server, route.target, route.naming, route.mirrors, names)
        await self._calls.run(request, route, upstream, sink)

    def _task_route(self, request: Request) -> Route:
        """Where the task is that `request` names."""
        if request.era is Era.MODERN:
            endings.check_knows_tasks(request)
        return self._router.task(request, request.params.word("taskId"))

    async def _check_offered(self, request: Request, capability: str) -> None:
        """Raises METHOD_NOT_FOUND for what the endpoint does not have (MCP 2026-07-28 `server/discover`); one with a
        server that was never listed may have anything.
        """
        endpoint, era = request.endpoint, request.era
        if not endpoint.complete or capability in endpoint.capabilities[era]:
            return
        if capability not in (await self._router.seen(request)).capabilities[era]:
            raise _unknown_method(request)


def _eras_for(method: Method, request: Request) -> frozenset[Era]:
    """The eras of the servers that may get `request`; tasks differ too much to leave the client's own."""
    if method.names is None or (request.era is Era.LEGACY and "task" in request.params.members):
        return frozenset({request.era})
    return method.eras


def _unknown_method(request: Request) -> GatewayError:
    return GatewayError(Kind.METHOD_NOT_FOUND, "Method not found", data={"method": request.method[:128]})
