"""The streams of `subscriptions/listen`.

Which question: what does this modern client want to hear of, and which servers have to tell us? Touches the
subscriptions, and the servers behind them. The rule: a stream is acknowledged before it says anything, with what is
honoured and nothing else; what no client follows any more no server is asked to tell.

MCP 2026-07-28 `basic/patterns/subscriptions`, ext-tasks 2026-07-28.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress

from gateway import endings, local, lookup, subscriptions
from gateway.errors import GatewayError, Kind
from gateway.live import Live, Source
from gateway.protocol.versions import Era
from gateway.request import Request
from gateway.router import Router
from gateway.routing import Endpoint, Route
from gateway.sink import Answer, Sink
from gateway.subscriptions import Listen, Resource, Subscriptions
from gateway.task_watch import TaskWatch
from storage.tasks import Tasks


class Listens:
    """Serves them."""

    def __init__(self, source: Source, router: Router, followed: Subscriptions, tasks: Tasks) -> None:
        self._source = source
        self._router = router
        self._subscriptions = followed
        self._tasks = tasks

    async def serve(self, request: Request, sink: Sink) -> None:
        """Answer `subscriptions/listen` on `sink`, for as long as its client listens. Raises `GatewayError`."""
        if not request.streams:
            raise GatewayError(Kind.NOT_ACCEPTABLE, "a subscription is a stream: accept text/event-stream")
        endpoint = await self._router.settled(request.endpoint)
        wanted = subscriptions.wanted(request.params.members)
        if wanted.tasks:
            endings.check_knows_tasks(request)
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
                route = lookup.find_resource(endpoint, uri)
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
                route = self._router.task(request, name)
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

    def swapped(self, before: Live, after: Live) -> None:
        """Another live value is in force: servers that have come hear what is followed."""
        for server_id in after.upstreams.keys() - before.upstreams.keys():
            if followed := self._subscriptions.followed(server_id):
                self._tasks.spawn(after.upstreams[server_id].follow(followed), "follow")
