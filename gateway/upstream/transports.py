"""How messages travel to a server: which kind of lines its settings ask for.

Which question: is this server a program or a URL, and do we speak its transport? Builds; connects nothing. The rule:
a transport that we do not speak is refused with a sentence, at the first use, like any other failure of a server.
"""

from __future__ import annotations

import os
from functools import partial
from typing import NoReturn

from aiohttp import ClientSession

from gateway.upstream.command import Command, environment
from gateway.upstream.connection import Wire
from gateway.upstream.exchange import OnMessage
from gateway.upstream.http import HttpChannel
from gateway.upstream.http_lines import HttpLines, old_transport
from gateway.upstream.line import Begun, Lease, Line, Lines, Visit
from gateway.upstream.old_transport import OldTransport
from gateway.upstream.pipe_lines import PipeLines
from gateway.upstream.stdio import StdioChannel
from gateway.upstream.surroundings import Surroundings
from gateway.upstream.values import Forward, ScopeKey


def lines_of(around: Surroundings, http: ClientSession) -> Lines:
    """The lines of one server."""
    terms, spec = around.terms, around.terms.spec
    if spec.command is not None:
        command = Command(spec.command, spec.args, environment(spec.env, os.environ), spec.cwd)
        return PipeLines(partial(_start, command, around), around)
    if spec.url is None or spec.transport == "sse":
        return Unserved(terms.slug)
    channel = HttpChannel(
        http,
        spec.url,
        headers=spec.headers,
        limits=terms.limits,
        timeouts=terms.timeouts,
        on_dropped=lambda reason: around.events.dropped(reason.value),
    )
    wire = Wire(http, connect=terms.timeouts.connect, header_bytes=terms.limits.header_bytes)
    return HttpLines(channel, around, is_old=OldTransport(wire, spec.url, spec.headers).recognised)


class Unserved:
    """Stands for the lines of a server whose transport we do not speak."""

    def __init__(self, slug: str) -> None:
        self._slug = slug

    async def take(self, call: Forward) -> Lease:
        self._refuse()

    def borrow(self, key: ScopeKey) -> Lease | None:
        return None

    def attend(self, key: ScopeKey) -> None: ...

    @property
    def attended(self) -> frozenset[ScopeKey]:
        return frozenset()

    def unattend(self, key: ScopeKey) -> None: ...

    async def attention(self, line: Line, begun: Begun) -> bool:
        self._refuse()

    async def visit(self, *, anew: bool) -> Visit:
        self._refuse()

    def doubt(self, line: Line) -> None: ...

    async def end(self, key: ScopeKey) -> None: ...

    async def sweep(self, now: float) -> None: ...

    async def close(self) -> None: ...

    def _refuse(self) -> NoReturn:
        raise old_transport(self._slug)


async def _start(command: Command, around: Surroundings, hear: OnMessage) -> StdioChannel:
    terms = around.terms
    return await StdioChannel.start(
        command,
        limits=terms.limits,
        timeouts=terms.timeouts,
        on_message=hear,
        on_dropped=lambda reason: around.events.dropped(reason.value),
    )
