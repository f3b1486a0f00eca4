"""A legacy server: a handshake, then a session that remembers.

Which question: how is a session with a server of 2025-11-25 or earlier opened, used and ended? Touches a channel.
The rule: what `initialize` gave (session id, cookies, version) goes with every later message of this session and
with no other; the session is opened for one scope and serves no other.

MCP 2025-11-25 `basic/lifecycle`, `basic/transports` (Session Management), `basic/utilities/cancellation`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol import jsonrpc, meta
from gateway.protocol.eras import LEVELS
from gateway.protocol.versions import HANDSHAKE_VERSIONS, LEGACY_VERSIONS, Era
from gateway.upstream.asking import OURSELVES, Answer, Asker, Behalf, question
from gateway.upstream.exchange import Channel, Head, OnDropped, WireRequest, ignore
from gateway.upstream.line import Again, Denied, Greeting, Life
from gateway.upstream.pause import Pause
from gateway.upstream.questions import Questions
from gateway.upstream.refusals import Refusal, contradicts_legacy, not_served, session_lost
from gateway.upstream.values import Forward
from gateway.upstream.wire import allowed, cancelled, opened, request, said, token_of
from gateway.upstream.wishes import SUBSCRIBE, UNSUBSCRIBE, Wishes
from storage.tasks import Tasks

VERSION = LEGACY_VERSIONS[-1]
"""The version that we ask for; the server may answer an older one."""

SESSION = "Mcp-Session-Id"


class Deleting(Protocol):
    """A channel that can end a session at its server."""

    async def delete(self, headers: Mapping[str, str]) -> None:
        """Send DELETE. Raises `GatewayError`."""


class HttpSession:
    """A session at an HTTP server; `headers` name it. Without an id (`headers` None) there is nothing to end."""

    def __init__(self, channel: Deleting, headers: Mapping[str, str] | None) -> None:
        self._channel = channel
        self._headers = headers
        self._over = asyncio.Event()

    @property
    def ended(self) -> bool:
        return self._over.is_set()

    private = True
    """Over HTTP every answer has a stream of its own."""

    def joined(self, user_id: int) -> None:
        """Nobody shares a stream."""

    def lose(self) -> None:
        self._over.set()

    async def wait_ended(self) -> None:
        await self._over.wait()

    async def end(self) -> None:
        if self.ended:
            return
        self._over.set()
        if self._headers is not None:
            with suppress(GatewayError):
                await self._channel.delete(self._headers)


@dataclass(frozen=True, slots=True)
class Guest:
    """Who opens a session: `call` is the first that travels in it; `wishes` are those of the one client that it serves,
    None when others may share it.
    """

    call: Forward
    wishes: Wishes | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """What became of an `initialize`: `headers` name the session in every later message; a pipe ignores them."""

    guest: Guest
    greeting: Greeting
    headers: Mapping[str, str]


class LegacyLine:
    """Carries requests within one session; `pipe` says over what."""

    era = Era.LEGACY

    def __init__(self, channel: Channel, life: Life, session: Session, means: Means) -> None:
        guest = session.guest
        self.channel = channel
        self.life = life
        self.greeting = session.greeting
        certain = guest.wishes is not None or not means.pipe
        self.questions: Questions | None = Questions(
            means.asker, means.tasks, certain=certain, on_dropped=means.on_dropped
        )
        self._headers = session.headers
        self.opening = replace(
            question("initialize", behalf=Behalf(headers=guest.call.headers)),
            client=guest.call.client,
            scope=guest.call.scope,
        )
        """What opens such a session once more."""
        self._opener = allowed(guest.call.headers)
        self._wishes = guest.wishes
        self._asker = means.asker
        self._pipe = means.pipe
        self._pause = Pause()
        self._logs = _logs(session.greeting)
        self._level: str | None = None
        self._turn = asyncio.Lock()

    def compose(self, id: int, call: Forward) -> WireRequest:
        modern = call.client.era is Era.MODERN
        reserved = meta.for_legacy(call.meta, progress_token=token_of(id, call), related=not modern)
        params = {key: raw for key, raw in call.params.items() if not (modern and key == "task")}
        if reserved:
            params["_meta"] = jsonrpc.encode(reserved)
        body = request(id, call.method, params)
        return WireRequest(
            id, body, self._with(call.headers), self._pause_of(call), lasting=call.lasting, on_pause=call.on_pause
        )

    def again(self, refusal: Refusal) -> Again | None:
        if self._pipe:
            return None
        if session_lost(refusal, had_session=SESSION in self._headers):
            self.life.lose()
            return Again.SESSION
        return Again.ERA if contradicts_legacy(refusal) else None

    async def cancel(self, id: int, call: Forward, reason: str) -> None:
        await self.channel.send(cancelled(id, reason), self._with(call.headers))

    async def reply(self, body: bytes, call: Forward) -> None:
        await self.channel.send(body, self._with(call.headers))

    async def tell(self, method: str, params: Raw | None) -> None:
        await self.channel.send(jsonrpc.notification(method, params), self.loose)

    @property
    def loose(self) -> dict[str, str]:
        """The headers of what belongs to no call: those of the client that opened the session, and its own."""
        return {**self._opener, **self._headers}

    async def attune(self, level: Raw, headers: Mapping[str, str]) -> None:
        """`logging/setLevel`, where the server logs and the level is another than it was told in this session; a
        refusal is not argued with.
        """
        if not self._differs(level):
            return
        async with self._turn:
            if self._differs(level):
                await self._asker.ask(
                    self, "logging/setLevel", {"level": level}, Behalf(headers=headers or self._opener)
                )
                self._level = jsonrpc.string(level)
                if self._wishes is not None:
                    self._wishes.level = jsonrpc.copy(level)

    @property
    def subscribed(self) -> frozenset[str]:
        """The resources that the one client of this session has subscribed to."""
        kept = () if self._wishes is None else self._wishes.subscriptions
        return frozenset(uri for params in kept if (uri := jsonrpc.string(params["uri"])) is not None)

    def granted(self, call: Forward) -> None:
        if self._wishes is not None and call.method in (SUBSCRIBE, UNSUBSCRIBE):
            self._wishes.granted(call)

    async def repeat(self) -> None:
        """Tell a server that has forgotten it what this client wishes. Never raises for what the server does."""
        if self._wishes is None:
            return
        with suppress(GatewayError):
            if self._wishes.level is not None:
                await self.attune(self._wishes.level, self._opener)
            for params in self._wishes.subscriptions:
                answer = await self._asker.ask(self, SUBSCRIBE, params, Behalf(headers=self._opener))
                if answer.error is not None:
                    return

    def _differs(self, level: Raw) -> bool:
        """Whether the server is to be told. A session that several clients share only becomes more talkative."""
        wanted = jsonrpc.string(level)
        if not self._logs or wanted == self._level or wanted not in LEVELS:
            return False
        return self._wishes is not None or self._level is None or LEVELS.index(wanted) < LEVELS.index(self._level)

    def _pause_of(self, call: Forward) -> Pause | None:
        """On a pipe nobody knows which call a question belongs to: it stops the clocks of all."""
        if self._pipe:
            return self._pause
        return None if call.asks is None else Pause()

    def _with(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {**allowed(headers), **self._headers}


@dataclass(frozen=True, slots=True)
class Means:
    """What sessions at one server work with; `pipe` says that it is a program."""

    asker: Asker
    tasks: Tasks
    pipe: bool
    on_dropped: OnDropped = ignore


class Handshake:
    """Opens sessions by `means`."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._asker = means.asker

    async def initialize(
        self, channel: Channel, guest: Guest, life: Callable[[Mapping[str, str] | None], Life]
    ) -> LegacyLine:
        """Open a session for `guest`.

        `life` gets the headers that end the session, None when the server gave it no id. Raises `Denied` when the
        server knows no `initialize`, and `GatewayError`.
        """
        forwarded, number = allowed(guest.call.headers), self._asker.number()
        hello = WireRequest(number, request(number, "initialize", _params(guest)), forwarded)
        answer = await self._asker.put(channel, hello, lambda body: channel.send(body, forwarded))
        greeting = _greeting(answer)
        named = _named(answer.head)
        headers = {"MCP-Protocol-Version": greeting.version, **named}
        ending = {**forwarded, **headers} if SESSION in named else None
        line = LegacyLine(channel, life(ending), Session(guest, greeting, headers), self._means)
        try:
            await line.tell("notifications/initialized", None)
        except GatewayError:
            await line.life.end()
            raise
        await line.repeat()
        return line


def _params(guest: Guest) -> dict[str, Raw]:
    """A legacy client that is alone in its session speaks for itself; for all others nothing is declared that we could
    not relay.
    """
    client = guest.call.client
    alone = guest.wishes is not None and client.era is Era.LEGACY and client.capabilities is not None
    return {
        "protocolVersion": jsonrpc.text(client.protocol_version if alone else VERSION),
        "capabilities": client.capabilities if alone and client.capabilities else Raw(b"{}"),
        "clientInfo": client.info or OURSELVES,
    }


def _logs(greeting: Greeting) -> bool:
    told = greeting.capabilities
    return told is not None and jsonrpc.is_object(told) and "logging" in jsonrpc.members(told)


def _greeting(answer: Answer) -> Greeting:
    if (refusal := answer.refusal) is not None and not_served(refusal):
        raise Denied(f"the server denies initialize ({refusal.text[:200]})", answer.error)
    found = opened(answer.result(), "answer to initialize")
    version = jsonrpc.string(found.get("protocolVersion", b"null"))
    if version not in HANDSHAKE_VERSIONS:
        words = f"the server speaks version {str(version)[:32]!r}; known are {', '.join(sorted(HANDSHAKE_VERSIONS))}"
        raise GatewayError(Kind.SERVER_PROTOCOL, words, reason="version")
    return Greeting(Era.LEGACY, version, **said(found, found.get("serverInfo")))


def _named(head: Head | None) -> dict[str, str]:
    """The headers by which the server knows this session again."""
    named: dict[str, str] = {}
    if head is not None and head.session_id is not None:
        named[SESSION] = head.session_id
    if head is not None and head.set_cookies:
        named["Cookie"] = "; ".join(head.set_cookies)
    return named
