"""What each method does: answered here, or passed on to a server.

Which question: who serves this method to a client of this era, and where does a call go? Touches the live table, the
sessions, the subscriptions and the calls through what it is given. The rule: a method is one entry of one table; what
is no entry is an extension's, or nobody's.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from msgspec import Raw

from gateway import capabilities, endings, local, methods, routing, subscriptions, task_places
from gateway.calls import Calls, Forwarder
from gateway.errors import GatewayError, Kind
from gateway.live import Live, Source
from gateway.methods import Method, Names
from gateway.protocol import eras, jsonrpc, mirrors
from gateway.protocol.headers import McpHeaders
from gateway.protocol.jsonrpc import Message
from gateway.protocol.listed import Listed
from gateway.protocol.versions import Era
from gateway.request import Request
from gateway.routing import Endpoint, Route
from gateway.sessions import SessionFacts, Sessions
from gateway.sink import Answer, Sink
from gateway.subscriptions import Listen, Resource, Subscriptions
from gateway.task_ids import AS_THEY_ARE, TaskIds
from gateway.task_watch import TaskWatch
from gateway.upstream.values import Scope
from storage.tasks import Tasks

COLD_LIST_SECONDS = 2.0
LEVEL_SECONDS = 2.0
"""How long a client waits until its servers know its level; later ones hear of it with its next call."""

MOST_TOLD = 16
"""Notifications of one session that are on their way to servers at most; more are dropped."""

EMPTY_RESULT = b"{}"

OF_ONE_CLIENT = frozenset({"auto", "session"})
"""Isolations under which a client with a session has one of its own with the server, and hears what it says there."""

_Serve = Callable[[Request, Sink], Awaitable[None]]


class Dispatch:
    """Serves requests whose envelope has been read."""

    def __init__(
        self,
        source: Source,
        sessions: Sessions,
        subscriptions: Subscriptions,
        calls: Calls,
        tasks: Tasks,
        task_ids: TaskIds,
    ) -> None:
        self._source = source
        self._sessions = sessions
        self._subscriptions = subscriptions
        self._calls = calls
        self._tasks = tasks
        self._task_ids = task_ids
        self._telling: Counter[str] = Counter()
        lists: dict[str, _Serve] = {listed.method: partial(self._list, listed) for listed in Listed}
        self._serves: Mapping[Era, Mapping[str, _Serve]] = {
            Era.MODERN: {
                "server/discover": self._discover,
                "subscriptions/listen": self._listen,
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

    async def settled(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint once its servers were listed, at most two seconds later; at once when it is complete."""
        if endpoint.complete:
            return endpoint
        await self._source.settle(endpoint.key, COLD_LIST_SECONDS)
        return self._source.live.table.endpoint(endpoint.key)

    def tell(self, endpoint: Endpoint, scope: Scope, message: Message) -> None:
        """Pass a client's notification on to the servers that it has sessions with, in the background."""
        if self._telling[sid := scope.session or ""] < MOST_TOLD:
            self._telling[sid] += 1
            told = self._tasks.spawn(self._tell(endpoint, scope, message), f"tell of {message.method[:64]}")
            told.add_done_callback(lambda _: self._told(sid))

    @property
    def telling(self) -> int:
        """Notifications of clients that are on their way."""
        return self._telling.total()

    def attend(self, facts: SessionFacts, there: bool) -> None:
        """Whether the client of a session reads what its servers say outside calls. An endpoint that was there when
        its client came may be another, or gone, when it leaves; its servers stay.
        """
        live = self._source.live
        endpoint = live.table.endpoints.get(facts.endpoint)
        if there and endpoint is not None:
            for upstream in self._upstreams(endpoint):
                upstream.attend(facts.sid)
        elif not there:
            for upstream in live.upstreams.values():
                upstream.unattend(facts.sid)

    def swapped(self, before: Live, after: Live) -> None:
        """Another live value is in force: servers that have come hear who reads what they say, and what is followed."""
        if come := after.upstreams.keys() - before.upstreams.keys():
            for facts in self._sessions.standing():
                self.attend(facts, there=True)
        for server_id in come:
            if followed := self._subscriptions.followed(server_id):
                self._tasks.spawn(after.upstreams[server_id].follow(followed), "follow")

    async def _tell(self, endpoint: Endpoint, scope: Scope, message: Message) -> None:
        live, params = self._source.live, message.params
        holder = endpoint.holder(scope.user_id, known=live.keys.local is None)
        told = []
        for server in endpoint.servers:
            if (upstream := live.upstreams.get(server.id)) is not None:
                names = self._task_ids.names(holder, server.id)
                own = None if params is None else task_places.back(params, names)
                told.append(upstream.notify(scope, message.method, own))
        await asyncio.gather(*told)

    def _told(self, sid: str) -> None:
        self._telling[sid] -= 1
        if not self._telling[sid]:
            del self._telling[sid]

    async def _ping(self, request: Request, sink: Sink) -> None:
        await sink.finish(Answer(jsonrpc.result(request.id, EMPTY_RESULT)))

    async def _discover(self, request: Request, sink: Sink) -> None:
        await sink.finish(Answer(jsonrpc.result(request.id, local.discovered(request.endpoint))))

    async def _set_level(self, request: Request, sink: Sink) -> None:
        _check_advertised(request, "logging")
        level = request.params.members.get("level", Raw(b"null"))
        if jsonrpc.word(level) not in eras.LEVELS:
            raise GatewayError(Kind.INVALID_PARAMS, f"Invalid params: level must be one of {', '.join(eras.LEVELS)}")
        if request.sid is not None and (session := self._sessions.alive(request.sid)) is not None:
            session.level = jsonrpc.copy(level)
            told = (upstream.set_level(request.scope, session.level) for upstream in self._upstreams(request.endpoint))
            with suppress(TimeoutError):
                async with asyncio.timeout(LEVEL_SECONDS):
                    await asyncio.gather(*told)
        await sink.finish(Answer(jsonrpc.result(request.id, EMPTY_RESULT)))

    async def _list(self, listed: Listed, request: Request, sink: Sink) -> None:
        endpoint = await self.settled(request.endpoint)
        found = local.listed(endpoint, listed, request.era, request.params.cursor)
        await sink.finish(Answer(jsonrpc.result(request.id, found)))

    async def _listen(self, request: Request, sink: Sink) -> None:
        if not request.streams:
            raise GatewayError(Kind.NOT_ACCEPTABLE, "a subscription is a stream: accept text/event-stream")
        endpoint = await self.settled(request.endpoint)
        wanted = subscriptions.wanted(request.params.members)
        if wanted.tasks:
            _check_knows_tasks(request)
        listen = self._subscriptions.open(request.id, endpoint.key, wanted.methods & local.told(endpoint, Era.MODERN))
        watching: list[asyncio.Task[None]] = []
        try:
            await self._follow(listen, endpoint, wanted.uris)
            await self._watch(listen, request, wanted.tasks, watching)
            await sink.send(listen.acknowledgement())
            async for frame in listen.frames():
                await sink.send(frame)
        finally:
            for task in watching:
                task.cancel()
            self._unfollow(self._subscriptions.close(listen))
        await sink.finish(Answer(listen.result()))

    async def _follow(self, listen: Listen, endpoint: Endpoint, uris: Sequence[str]) -> None:
        """Let `listen` follow the resources of `uris` that their servers honour."""
        resources = {}
        for uri in uris:
            with suppress(GatewayError):
                route = routing.find_resource(endpoint, uri)
                resources[Resource(route.server.id, route.target)] = uri
        servers = {resource.server_id for resource in resources}
        self._subscriptions.follow(listen, resources)
        honoured = dict(zip(servers, await asyncio.gather(*map(self._refollow, servers)), strict=True))
        kept = frozenset(resource for resource in resources if resource.uri in honoured[resource.server_id])
        self._unfollow(self._subscriptions.narrow(listen, kept))

    def _unfollow(self, shrunk: Iterable[int]) -> None:
        """Tell servers, in the background, that clients follow less than before."""
        for server_id in shrunk:
            self._tasks.spawn(self._refollow(server_id), "follow")

    async def _watch(
        self, listen: Listen, request: Request, names: Sequence[str], watching: list[asyncio.Task[None]]
    ) -> None:
        """Let `listen` hear of the tasks of `names` that their servers honour; `watching` gets what listens there."""
        wanted: dict[int, tuple[Route, dict[str, str]]] = {}
        for name in names:
            with suppress(GatewayError):
                route = routing.find_task(request.endpoint, request.holder, self._task_ids, name)
                wanted.setdefault(route.server.id, (route, {}))[1][route.target] = name
        watches = []
        for route, ids in wanted.values():
            upstream = self._source.live.upstreams.get(route.server.id)
            if upstream is not None and upstream.era is Era.MODERN:
                watches.append(watch := TaskWatch(request, route, ids, listen))
                watching.append(self._tasks.spawn(watch.run(upstream), "watch tasks"))
        await asyncio.gather(*(watch.settled() for watch in watches))
        listen.tasks = tuple(name for watch in watches for name in watch.honoured)

    async def _refollow(self, server_id: int) -> frozenset[str]:
        """Tell a server what its clients follow now; what it honours."""
        upstream = self._source.live.upstreams.get(server_id)
        if upstream is None or upstream.era is not Era.MODERN:
            return frozenset()
        return await upstream.follow(self._subscriptions.followed(server_id))

    def _forwarding(self, era: Era) -> dict[str, _Serve]:
        return {
            name: partial(self._forward, method) for name, method in methods.FORWARDED.items() if era in method.eras
        }

    async def _forward(self, method: Method, request: Request, sink: Sink) -> None:
        if method.session and request.sid is None:
            raise GatewayError(Kind.INVALID_REQUEST, f"{request.method} needs a session: initialize first")
        if method.capability is not None:
            _check_advertised(request, method.capability)
        route, upstream = await self._route(method.names, request)
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
        route = request.endpoint.whole()
        if request.method in methods.UNKNOWN_TO[request.era] or route is None:
            raise _unknown_method(request)
        await self._run(request, route, self._upstream(route), sink)

    async def _list_tasks(self, request: Request, sink: Sink) -> None:
        """A server that cannot tell callers apart lists the tasks of all of them: nobody with a key gets to see it."""
        route = request.endpoint.whole()
        if route is None or not request.holder.bare:
            raise _unknown_method(request)
        upstream = self._upstream(route)
        if upstream.era is Era.MODERN:
            raise _unknown_method(request)
        await self._run(request, route, upstream, sink)

    async def _run(self, request: Request, route: Route, upstream: Forwarder, sink: Sink) -> None:
        if route.tasks is AS_THEY_ARE:
            route = replace(route, tasks=self._task_ids.names(request.holder, route.server.id))
        await self._calls.run(request, route, upstream, sink)

    async def _route(self, names: Names | None, request: Request) -> tuple[Route, Forwarder]:
        """Where the call goes. A server that was never listed may offer anything: on its own endpoint the name is
        passed on as it is, on an aggregate the first listing is awaited.
        """
        endpoint = request.endpoint
        if names is None:
            route = self._task_route(request)
            return route, self._upstream(route)
        try:
            route = routing.find(endpoint, names, request.params)
        except GatewayError:
            if endpoint.complete:
                raise
            route = routing.find(await self.settled(endpoint), names, request.params)
        return route, self._upstream(route)

    def _task_route(self, request: Request) -> Route:
        """Where the task is that `request` names."""
        if request.era is Era.MODERN:
            _check_knows_tasks(request)
        return routing.find_task(request.endpoint, request.holder, self._task_ids, request.params.word("taskId"))

    def _upstream(self, route: Route) -> Forwarder:
        if (upstream := self._source.live.upstreams.get(route.server.id)) is None:
            raise GatewayError(Kind.SERVER_DOWN, f"Server '{route.server.slug}' was just removed from this gateway.")
        return upstream

    def _upstreams(self, endpoint: Endpoint) -> list[Forwarder]:
        upstreams = self._source.live.upstreams
        return [upstreams[server.id] for server in endpoint.servers if server.id in upstreams]


def _check_advertised(request: Request, capability: str) -> None:
    """Raises METHOD_NOT_FOUND for what the endpoint does not have (MCP 2026-07-28 `server/discover`); one with a server
    that was never listed may have anything.
    """
    endpoint = request.endpoint
    if endpoint.complete and capability not in endpoint.capabilities[request.era]:
        raise _unknown_method(request)


def _check_knows_tasks(request: Request) -> None:
    """Raises MISSING_CAPABILITY (ext-tasks 2026-07-28, Protocol Errors)."""
    if not capabilities.declares(request.client.capabilities, capabilities.TASKS):
        raise endings.missing_tasks()


def _eras_for(method: Method, request: Request) -> frozenset[Era]:
    """The eras of the servers that may get `request`; tasks differ too much to leave the client's own."""
    if method.names is None or (request.era is Era.LEGACY and "task" in request.params.members):
        return frozenset({request.era})
    return method.eras


def _unknown_method(request: Request) -> GatewayError:
    return GatewayError(Kind.METHOD_NOT_FOUND, "Method not found", data={"method": request.method[:128]})
