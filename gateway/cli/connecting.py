"""The servers of a configuration, asked directly with the official SDK.

Which question: does each server answer a client that is not ours, and what does it offer? Touches the servers. The
rule: nothing here outlives its timeout, and no server's trouble is another's.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, TextIO

import httpx2
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from pydantic import ValidationError

from gateway.cli.rendering import counted
from gateway.errors import GatewayError
from gateway.protocol.versions import MODERN_VERSIONS, Era
from gateway.redact import KnownSecrets
from gateway.secrets import secret_words
from gateway.settings import ServerSpec
from gateway.upstream.command import Command, environment

MAX_PAGES = 100
AT_ONCE = 8
FAULT_CHARS = 200

_FAULTS = (MCPError, GatewayError, httpx2.HTTPError, OSError, TimeoutError, ValidationError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Report:
    """What one server answered; `fault` is why it did not. `seconds` is how long all of it took."""

    slug: str
    seconds: float
    version: str = ""
    tools: int = 0
    fault: str | None = None

    @property
    def era(self) -> str:
        return "" if not self.version else Era.MODERN if self.version in MODERN_VERSIONS else Era.LEGACY


async def connect_all(servers: Mapping[str, ServerSpec], timeout: float) -> list[Report]:
    """Ask each enabled server, at most eight at once, each within `timeout` seconds."""
    logging.getLogger().addHandler(logging.NullHandler())  # the SDK logs what it was sent, tracebacks included
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(spec: ServerSpec) -> Report:
        async with gate:
            return await ask(spec, timeout)

    return await asyncio.gather(*(one(spec) for spec in servers.values() if spec.enabled))


async def ask(spec: ServerSpec, timeout: float) -> Report:
    """Connect, list all tools, disconnect. Never raises for what the server did."""
    began = monotonic()
    try:
        async with asyncio.timeout(timeout), _connected(spec) as client:
            version, tools = client.protocol_version, await _count_tools(client)
        return Report(spec.slug, monotonic() - began, version, tools)
    except* _FAULTS as group:
        fault = _told(_fault(group, timeout), spec)
    return Report(spec.slug, monotonic() - began, fault=fault)


def table(reports: Sequence[Report]) -> Iterator[str]:
    """One line per server, in columns."""
    width = max((len(report.slug) for report in reports), default=0)
    for report in reports:
        answer = report.fault or f"{report.era} {report.version}, {counted(report.tools, 'tool')}"
        yield f"{report.slug:<{width}}  {'failed' if report.fault else 'ok':<6}  {report.seconds:6.2f} s  {answer}"


@asynccontextmanager
async def _connected(spec: ServerSpec) -> AsyncIterator[Client]:
    mode = {"modern": MODERN_VERSIONS[-1]}.get(spec.era, spec.era)
    async with AsyncExitStack() as stack:
        transport = await _transport(spec, stack)
        yield await stack.enter_async_context(Client(transport, mode=mode))


async def _transport(spec: ServerSpec, stack: AsyncExitStack) -> Any:
    if spec.command is not None:
        env = environment(spec.env, os.environ)
        program = Command(spec.command, spec.args, env, spec.cwd).locate()
        silent = stack.enter_context(_nowhere())
        parameters = StdioServerParameters(command=program, args=list(spec.args), env=env, cwd=spec.cwd)
        return stdio_client(parameters, errlog=silent)
    url = spec.url or ""
    if spec.transport == "sse":
        return sse_client(url, headers=dict(spec.headers))
    client = await stack.enter_async_context(httpx2.AsyncClient(headers=spec.headers))
    return streamable_http_client(url, http_client=client)


@contextmanager
def _nowhere() -> Iterator[TextIO]:
    with open(os.devnull, "w", encoding="utf-8") as sink:
        yield sink


async def _count_tools(client: Client) -> int:
    count, cursor = 0, None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        count, cursor = count + len(page.tools), page.next_cursor
        if cursor is None:
            break
    return count


def _fault(group: BaseExceptionGroup[BaseException], timeout: float) -> str:
    """One line about the first failure. Texts of HTTP errors are left out: they quote the URL."""
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    match first:
        case TimeoutError():
            return f"no answer within {timeout:g} s"
        case GatewayError():
            return first.message
        case httpx2.HTTPStatusError():
            return f"answered with HTTP status {first.response.status_code}"
        case httpx2.HTTPError():
            return f"cannot be reached ({type(first).__name__})"
        case MCPError():
            return str(first)
        case ValidationError():
            return "answered with what is no MCP"
    return f"{type(first).__name__}: {first}"


def _told(fault: str, spec: ServerSpec) -> str:
    """One line of it, without what the server was sent, which it may repeat."""
    secrets = KnownSecrets()
    secrets.know(secret_words(spec))
    return " ".join(secrets.redact_text(fault).split())[:FAULT_CHARS]
