"""What tests of the upstream side share: terms, calls, and how their answers are read."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from msgspec import Raw

from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.protocol.versions import Era
from gateway.settings import Lifecycle, Limits, ServerSpec, Timeouts
from gateway.upstream.server import Upstream
from gateway.upstream.values import ClientFacts, Forward, Scope, Terms
from health.settings import HealthSettings

PATIENCE = 10.0
LEGACY_CLIENT = ClientFacts(Era.LEGACY, "2025-06-18", info=Raw(b'{"name":"old","version":"1"}'))
MODERN_CLIENT = ClientFacts(
    Era.MODERN, "2026-07-28", capabilities=Raw(b'{"elicitation":{}}'), info=Raw(b'{"name":"new","version":"2"}')
)
ALICE, BOB = Scope(None, 1), Scope(None, 2)


class Counted:
    """Upstream events, by name."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()

    def __getitem__(self, name: str) -> int:
        return self.events[name]

    def session_opened(self) -> None:
        self.events["opened"] += 1

    def session_ended(self) -> None:
        self.events["ended"] += 1

    def session_reinitialised(self, reason: str) -> None:
        self.events[f"reinitialised {reason}"] += 1

    def child_started(self) -> None:
        self.events["started"] += 1

    def child_ended(self) -> None:
        self.events["gone"] += 1

    def stream_opened(self, kind: str) -> None:
        self.events[f"{kind} opened"] += 1

    def stream_closed(self, kind: str, *, broken: bool) -> None:
        self.events[f"{kind} closed"] += 1
        self.events[f"{kind} broke"] += broken

    def following(self, resources: int) -> None:
        self.events["following"] = resources

    def dropped(self, reason: str) -> None:
        self.events[f"dropped {reason}"] += 1


class Clock:
    """Monotonic time that a test can put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


def terms(
    *, timeouts: Timeouts | None = None, health: HealthSettings | None = None, silence: float = 3.0, **spec: Any
) -> Terms:
    """The terms of a server named `peer`, with the defaults of the configuration."""
    return Terms(
        slug="peer",
        spec=ServerSpec(**spec),
        timeouts=timeouts or Timeouts(),
        limits=Limits(),
        lifecycle=Lifecycle(),
        health=health or HealthSettings(),
        silence=silence,
    )


def call(
    name: str,
    arguments: Any = None,
    *,
    client: ClientFacts = LEGACY_CLIENT,
    scope: Scope = ALICE,
    meta: Mapping[str, Raw] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Forward:
    """A `tools/call` of `name`."""
    params = {"name": Raw(json.dumps(name).encode()), "arguments": Raw(json.dumps(arguments or {}).encode())}
    return Forward("tools/call", name, params, meta or {}, client, scope, headers or {})


async def messages(upstream: Upstream, forward: Forward) -> list[Message]:
    async with asyncio.timeout(PATIENCE), upstream.forward(forward) as relay:
        return [message async for message in relay]


async def answer(upstream: Upstream, forward: Forward) -> Any:
    """The result of a call, or its error object."""
    return body((await messages(upstream, forward))[-1])


async def said(upstream: Upstream, forward: Forward) -> str:
    """The text that a tool answered."""
    return (await answer(upstream, forward))["content"][0]["text"]


def body(message: Message) -> Any:
    assert message.kind in (MessageKind.RESULT, MessageKind.ERROR)
    return json.loads(bytes(message.body))


def params(message: Message) -> Any:
    return json.loads(bytes(message.params))
