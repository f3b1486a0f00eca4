"""A legacy server: a handshake, then a session that remembers.

Which question: how is a session with a server of 2025-11-25 or earlier opened, used and ended? Touches a channel.
The rule: what `initialize` gave (session id, cookies, version) goes with every later message of this session and
with no other; the session is opened for one scope and serves no other.

MCP 2025-11-25 `basic/lifecycle`, `basic/transports` (Session Management), `basic/utilities/cancellation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from msgspec import Raw

from gateway.errors import GatewayError, Kind
from gateway.protocol import jsonrpc, meta
from gateway.protocol.versions import HANDSHAKE_VERSIONS, LEGACY_VERSIONS, Era
from gateway.upstream.asking import OURSELVES, Answer, Asker
from gateway.upstream.exchange import Channel, Head, WireRequest
from gateway.upstream.line import Again, Denied, Greeting, Life
from gateway.upstream.refusals import Refusal, contradicts_legacy, not_served, session_lost
from gateway.upstream.values import Forward
from gateway.upstream.wire import allowed, cancelled, opened, request, said, token_of

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
        self.ended = False

    private = True
    """Over HTTP every answer has a stream of its own."""

    def joined(self, user_id: int) -> None:
        """Nobody shares a stream."""

    def lose(self) -> None:
        self.ended = True

    async def end(self) -> None:
        if not self.ended and self._headers is not None:
            self.ended = True
            with suppress(GatewayError):
                await self._channel.delete(self._headers)


class LegacyLine:
    """Carries requests within one session. `headers` name the session; a pipe ignores them."""

    era = Era.LEGACY

    def __init__(
        self, channel: Channel, life: Life, greeting: Greeting, headers: Mapping[str, str], *, pipe: bool
    ) -> None:
        self.channel = channel
        self.life = life
        self.greeting: Greeting | None = greeting
        self._headers = headers
        self._pipe = pipe

    def compose(self, id: int, call: Forward) -> WireRequest:
        reserved = meta.for_legacy(call.meta, progress_token=token_of(id, call))
        params = {**call.params, "_meta": jsonrpc.encode(reserved)} if reserved else call.params
        return WireRequest(id, request(id, call.method, params), self._with(call))

    def again(self, refusal: Refusal) -> Again | None:
        if self._pipe:
            return None
        if session_lost(refusal, had_session=SESSION in self._headers):
            self.life.lose()
            return Again.SESSION
        return Again.ERA if contradicts_legacy(refusal) else None

    async def cancel(self, id: int, call: Forward, reason: str) -> None:
        await self.channel.send(cancelled(id, reason), self._with(call))

    async def reply(self, body: bytes, call: Forward) -> None:
        await self.channel.send(body, self._with(call))

    def _with(self, call: Forward) -> dict[str, str]:
        return {**allowed(call.headers), **self._headers}


class Handshake:
    """Opens sessions over one kind of channel; `pipe` says which."""

    def __init__(self, asker: Asker, *, pipe: bool) -> None:
        self._asker = asker
        self._pipe = pipe

    async def initialize(
        self, channel: Channel, call: Forward, life: Callable[[Mapping[str, str] | None], Life]
    ) -> LegacyLine:
        """Open a session for the client of `call`.

        `life` gets the headers that end the session, None when the server gave it no id. Raises `Denied` when the
        server knows no `initialize`, and `GatewayError`.
        """
        forwarded, number = allowed(call.headers), self._asker.number()
        hello = WireRequest(number, request(number, "initialize", _params(call)), forwarded)
        answer = await self._asker.put(channel, hello, lambda body: channel.send(body, forwarded))
        greeting = _greeting(answer)
        named = _named(answer.head)
        headers = {"MCP-Protocol-Version": greeting.version, **named}
        ending = {**forwarded, **headers} if SESSION in named else None
        line = LegacyLine(channel, life(ending), greeting, headers, pipe=self._pipe)
        try:
            await channel.send(jsonrpc.notification("notifications/initialized", None), {**forwarded, **headers})
        except GatewayError:
            await line.life.end()
            raise
        return line


def _params(call: Forward) -> dict[str, Raw]:
    """Nothing is declared that we cannot relay."""
    return {
        "protocolVersion": jsonrpc.text(VERSION),
        "capabilities": Raw(b"{}"),
        "clientInfo": call.client.info or OURSELVES,
    }


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
