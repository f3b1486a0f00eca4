"""A modern server: every request says everything, nothing is remembered.

Which question: what does a request look like to a server of 2026-07-28 or later, and does this server speak it at
all? Touches a channel. The rule: routing headers and reserved `_meta` keys are made anew for each request, never
copied from the client.

MCP 2026-07-28 `basic/index` (_meta), `basic/transports/streamable-http`, `basic/transports/stdio`,
`server/discover`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import msgspec
from msgspec import Raw

from gateway.errors import Kind
from gateway.protocol import headers, jsonrpc, meta, mirrors
from gateway.protocol.jsonrpc import NotAnObject
from gateway.protocol.versions import MODERN_VERSIONS, Era
from gateway.upstream.asking import HOUSE, Answer, Asker, Behalf
from gateway.upstream.exchange import Channel, WireRequest
from gateway.upstream.line import Again, Denied, Greeting, Life, Line
from gateway.upstream.refusals import HEADER_MISMATCH, UNSUPPORTED_VERSION, Refusal, contradicts_modern, denies_modern
from gateway.upstream.values import Forward
from gateway.upstream.wire import allowed, cancelled, opened, request, said, token_of

log = logging.getLogger(__name__)
VERSION = MODERN_VERSIONS[-1]
"""The version that we ask for: the newest we know."""
LISTEN = "subscriptions/listen"


class Standing:
    """Stands under lines that need neither session nor child."""

    ended = False

    private = True
    """Over HTTP every answer has a stream of its own."""

    def joined(self, user_id: int) -> None:
        """Nobody shares a stream."""

    def lose(self) -> None:
        """There is no session to lose."""

    async def wait_ended(self) -> None:
        """It never ends: for ever."""
        await asyncio.get_running_loop().create_future()

    async def end(self) -> None:
        """There is nothing to end."""


class ModernLine:
    """Carries modern requests over HTTP, or over the pipes of a child (`pipe`)."""

    era = Era.MODERN
    questions = None
    """A modern server asks in its results."""

    def __init__(self, channel: Channel, life: Life | None = None, *, pipe: bool = False) -> None:
        self.channel = channel
        self.life: Life = life or Standing()
        self.greeting: Greeting | None = None
        self._pipe = pipe

    def compose(self, id: int, call: Forward) -> WireRequest:
        client = call.client
        modern = client.era is Era.MODERN
        reserved = meta.for_modern(
            call.meta,
            version=VERSION,
            capabilities=client.capabilities if modern else None,
            info=client.info,
            log_level=client.log_level if modern else None,
            progress_token=token_of(id, call),
        )
        body = request(id, call.method, {**call.params, "_meta": jsonrpc.encode(reserved)})
        own = {} if self._pipe else self._headers(call)
        return WireRequest(id, body, own, lasting=call.lasting, named=call.method == LISTEN)

    def again(self, refusal: Refusal) -> Again | None:
        if self._pipe:
            return None
        if refusal.code == HEADER_MISMATCH:
            return Again.MIRRORS
        return Again.ERA if contradicts_modern(refusal) else None

    async def cancel(self, id: int, call: Forward, reason: str) -> None:
        if self._pipe:
            await self.channel.send(cancelled(id, reason), {})

    async def reply(self, body: bytes, call: Forward) -> None:
        log.debug("a modern server sent a request, which its revision forbids; it gets no answer")

    async def tell(self, method: str, params: Raw | None) -> None:
        """A modern client notifies of nothing but cancellation."""

    async def attune(self, level: Raw, headers: Mapping[str, str]) -> None:
        """A modern server remembers nothing: each request says all."""

    def granted(self, call: Forward) -> None:
        """There is nothing to remember."""

    def _headers(self, call: Forward) -> Mapping[str, str]:
        own = {headers.PROTOCOL_VERSION: VERSION, headers.METHOD: call.method}
        if call.target is not None and call.method in headers.NAMED:
            own[headers.NAME] = headers.encode(call.target)
        repeated = mirrors.mirrored(call.mirrors, call.params.get("arguments"))
        return {**allowed(call.headers), **repeated, **own}


async def discover(asker: Asker, line: Line, behalf: Behalf = HOUSE) -> Greeting:
    """Ask who is there, as the server tells `behalf`. Raises `Denied` when the server speaks no modern version that we
    know, and `GatewayError` for whatever says nothing about its era.
    """
    answer = await asker.ask(line, "server/discover", behalf=behalf)
    if _invites(answer):
        answer = await asker.ask(line, "server/discover", behalf=behalf)
    if (refusal := answer.refusal) is not None and denies_modern(refusal):
        raise Denied(f"the server denies version {VERSION} ({refusal.text[:200]})", answer.error)
    if answer.error is not None and answer.error.kind is Kind.SERVER_PROTOCOL:
        raise Denied(f"the server's answer to server/discover is none: {answer.error.message}", answer.error)
    found = opened(answer.result(), "answer to server/discover")
    if VERSION not in _strings(found.get("supportedVersions")):
        raise Denied(f"the server does not offer version {VERSION}", reason="version")
    about = opened(found.get("_meta", b"{}"), "_meta").get(meta.SERVER_INFO)
    return Greeting(Era.MODERN, VERSION, **said(found, about))


def _invites(answer: Answer) -> bool:
    """Whether the server refuses the version and names it among those that it speaks: some want to be asked twice."""
    refusal = answer.refusal
    if refusal is None or refusal.code != UNSUPPORTED_VERSION or answer.message is None:
        return False
    try:
        data = jsonrpc.members(jsonrpc.members(answer.message.body or b"{}").get("data", b"{}"))
    except NotAnObject:
        return False
    return VERSION in _strings(data.get("supported"))


def _strings(raw: Raw | None) -> list[str]:
    try:
        return [] if raw is None else msgspec.json.decode(raw, type=list[str])
    except msgspec.MsgspecError:
        return []
