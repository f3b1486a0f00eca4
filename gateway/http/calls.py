"""The door to the records: `GET /api/calls`, and `GET /api/calls/{uid}`.

Which question: which calls may this caller see, and how are they written onto this connection? Touches aiohttp and
reads the database. The rule: a caller sees his own calls, unless his key is an admin's, and what he may not see does
not exist for him; whatever is asked, reading leaves the writer its connections.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from aiohttp import hdrs, web

from gateway import call_search, call_shapes
from gateway.access import Frontier
from gateway.call_search import Asked, Mistake
from gateway.chat_calls import refusal
from gateway.errors import GatewayError, Kind
from gateway.http.feed import NDJSON, SSE, Feed
from gateway.http.reply import Patience, Reply, Streams, accepts
from gateway.http.threshold import Manners, Threshold, Traffic
from gateway.pipeline import Pipeline
from gateway.sink import Answer
from storage.call_details import chat_of, find, rounds
from storage.call_filters import CallFilter
from storage.calls import CallRow, Cursor, Page, page
from storage.database import Database
from storage.errors import StorageError
from storage.following import Follower
from storage.records import Caller
from storage.tasks import Tasks

USUAL_LIMIT, MOST_LIMIT = 50, 500
SEARCH_SECONDS = 2.0
"""How long one request looks for what no index can find; `next` goes on from there."""

PLACES = 2
"""Statements of this door that run at once: the pool is the writer's first."""

MOST_FOLLOWERS = 32
POLL_SECONDS = 1.0
PARAMS = (*call_search.PARAMS, "limit", "before", "follow")
MANNERS = Manners("GET, OPTIONS", "GET, OPTIONS", "Authorization, Accept, X-API-Key", "WWW-Authenticate", refusal)
_NO_STORE = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class _Query:
    """What one request asks for."""

    wanted: CallFilter
    limit: int
    before: Cursor | None
    follow: bool


class CallsDoor:
    """The aiohttp handlers. `exposed`: other machines reach the gateway, so that a caller without a key is anybody."""

    def __init__(
        self,
        db: Database,
        pipeline: Pipeline,
        tasks: Tasks,
        traffic: Traffic,
        streams: Streams,
        *,
        stalled: float,
        exposed: bool,
        frontier: Callable[[], Frontier],
    ) -> None:
        self._db = db
        self._pipeline = pipeline
        self._tasks = tasks
        self._streams = streams
        self._patience = Patience(silence=math.inf, stalled=stalled)
        self._exposed = exposed
        self._threshold = Threshold(pipeline, traffic, frontier, MANNERS)
        self._places = asyncio.Semaphore(PLACES)
        self._followers = 0

    def routes(self) -> list[web.RouteDef]:
        """Both endpoints, with and without a trailing slash."""
        handlers = {"/api/calls": self.calls, "/api/calls/{uid}": self.call}
        return [web.route("*", path + slash, handler) for path, handler in handlers.items() for slash in ("", "/")]

    async def calls(self, request: web.Request) -> web.StreamResponse:
        """Answer with a page of calls, or with calls as they end."""
        return await self._threshold.cross(request, self._list, door="calls", era="none")

    async def call(self, request: web.Request) -> web.StreamResponse:
        """Answer with one call, whole."""
        return await self._threshold.cross(request, self._show, door="calls", era="none")

    async def _list(self, request: web.Request, caller: Caller, headers: Mapping[str, str]) -> web.StreamResponse:
        self._admit(request, caller)
        async with self._reading():
            query = await self._query(request, caller)
        if query.follow:
            return await self._follow(request, caller, query, headers)
        rows, more = await self._page(query)
        shape = {"calls": [call_shapes.brief(row) for row in rows], "next": None if more is None else more.token}
        return await self._answer(request, shape, headers)

    async def _show(self, request: web.Request, caller: Caller, headers: Mapping[str, str]) -> web.StreamResponse:
        self._admit(request, caller)
        with _told():
            call_search.check_names([name for name, _ in request.query.items()], ())
            uid = call_search.uid("uid", request.match_info["uid"])
        async with self._reading():
            found = await find(self._db, uid, user_id=_own_id(caller))
            if found is None:
                raise GatewayError(
                    Kind.UNKNOWN_CALL, f"no call {uid} is recorded, or it is not yours", data={"param": "uid"}
                )
            shape = call_shapes.whole(found, await chat_of(self._db, found.row), await rounds(self._db, found.row))
        return await self._answer(request, shape, headers)

    def _admit(self, request: web.Request, caller: Caller) -> None:
        if request.method != hdrs.METH_GET:
            raise GatewayError(Kind.METHOD_NOT_ALLOWED, f"{request.path} takes GET")
        if self._exposed and caller.key is None:
            words = "calls are shown to callers with an API key alone, since other machines reach this gateway"
            raise GatewayError(Kind.UNAUTHENTICATED, f"{words}; add auth.keys", reason="no_key")

    async def _query(self, request: web.Request, caller: Caller) -> _Query:
        given = request.query
        with _told():
            call_search.check_names([name for name, _ in given.items()], PARAMS)
            limit = call_search.number("limit", given.get("limit", str(USUAL_LIMIT)), MOST_LIMIT)
            before = call_search.place("before", given.get("before"))
            follow = call_search.truth("follow", given.get("follow", "false"))
            asked = Asked(**{name: given[name] for name in call_search.PARAMS if name in given})
            own = None if caller.admin else caller
            wanted = await call_search.wanted(self._db, asked, datetime.now(UTC), own=own, zoned=True)
        for name in ("before", "until"):
            if follow and name in given:
                raise _mistaken(Mistake(name, "excludes follow, which goes on with what is to come; leave one out"))
        _check_media(request, follow)
        return _Query(wanted, limit, before, follow)

    async def _page(self, query: _Query) -> Page:
        rows, place = list[CallRow](), query.before
        until = time.monotonic() + SEARCH_SECONDS
        while True:
            async with self._reading():
                some = await page(self._db, query.wanted, limit=query.limit - len(rows), before=place)
            rows, place = rows + some.rows, some.more
            if place is None or len(rows) == query.limit or time.monotonic() >= until:
                return Page(rows, place)

    async def _follow(
        self, request: web.Request, caller: Caller, query: _Query, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        """The newest calls, oldest first, then those that end, until the client goes, its key or the gateway."""
        if self._followers >= MOST_FOLLOWERS:
            words = f"{MOST_FOLLOWERS} clients follow calls already; ask again later, or ask for pages"
            raise GatewayError(Kind.BUSY, words)
        self._followers += 1
        feed = Feed(request, self._patience, headers)
        self._streams.stream_opened()
        try:
            async with aclosing(self._news(query, partial(self._is_admitted, request, caller))) as news:
                async for rows in news:
                    await feed.tell(call_shapes.json_text(call_shapes.brief(row)) for row in rows)
            return await feed.end()
        finally:
            self._streams.stream_closed()
            self._followers -= 1

    async def _news(self, query: _Query, goes_on: Callable[[], bool]) -> AsyncGenerator[list[CallRow], None]:
        """Follows before it looks, so that nothing that ends meanwhile is missed."""
        follower = Follower(self._db, query.wanted)
        async with self._reading():
            await follower.open()
        rows, _ = await self._page(query)
        told = {(row.id, row.outcome) for row in rows}
        yield rows[::-1]
        while goes_on():
            await asyncio.sleep(POLL_SECONDS)
            try:
                async with self._reading():
                    rows = await follower.poll()
            except GatewayError:
                rows = []  # the database is away: what ends meanwhile is told once it is back
            yield [row for row in rows if (row.id, row.outcome) not in told]

    def _is_admitted(self, request: web.Request, caller: Caller) -> bool:
        """Whether who follows would still come in, and as the same caller."""
        try:
            now = self._pipeline.authenticate(request.headers.get(hdrs.AUTHORIZATION), request.headers.get("X-API-Key"))
        except GatewayError:
            return False
        return now == caller and not self._pipeline.draining

    async def _answer(self, request: web.Request, shape: object, headers: Mapping[str, str]) -> web.StreamResponse:
        reply = Reply(request, self._tasks, self._patience, {}, self._streams)
        try:
            await reply.finish(Answer(call_shapes.json_text(shape), headers={**headers, **_NO_STORE}))
        finally:
            reply.leave()
        return reply.response

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[None]:
        async with self._places:
            try:
                yield
            except StorageError as error:
                raise GatewayError(Kind.BUSY, "the records cannot be read now; ask again", reason="database") from error


@contextmanager
def _told() -> Iterator[None]:
    """A mistake in the query becomes an answer."""
    try:
        yield
    except Mistake as mistake:
        raise _mistaken(mistake) from mistake


def _mistaken(mistake: Mistake) -> GatewayError:
    data = {"param": mistake.param}
    return GatewayError(Kind.INVALID_REQUEST, f"{mistake.param}: {mistake.message}", data=data)


def _check_media(request: web.Request, follow: bool) -> None:
    offered = (NDJSON, SSE) if follow else ("application/json",)
    if not any(accepts(request, media) for media in offered):
        raise GatewayError(Kind.NOT_ACCEPTABLE, f"the answer is {' or '.join(offered)}: accept that")


def _own_id(caller: Caller) -> int | None:
    return None if caller.admin else caller.user_id
