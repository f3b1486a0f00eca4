"""Waits that have a bound, and that one word ends together.

Which question: how long may this still take? Touches the event loop's clock. The rule: nothing waits for an HTTP
server outside of these.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from gateway.errors import GatewayError, Kind
from gateway.upstream.pause import Pause, Silence


class Waits:
    """The waits of one channel."""

    def __init__(self) -> None:
        self.clocks: set[asyncio.Timeout] = set()
        self.ended = False

    def within(
        self, seconds: float | None, late: Callable[[], GatewayError], pause: Pause | None = None
    ) -> Wait | PausedWait:
        """A context to wait in for `seconds` at most, `pause` not counted; None: for ever. Raises `late()` after that,
        SERVER_CLOSED (reason `closed`) after `end`.
        """
        clock = asyncio.timeout(seconds)
        wait = Wait(self, clock, late)
        return wait if pause is None else PausedWait(wait, pause, Silence(clock, seconds))

    def end(self) -> None:
        """Nothing is waited for any more."""
        self.ended = True
        now = asyncio.get_running_loop().time()
        for clock in self.clocks:
            if not clock.expired():
                clock.reschedule(now)


class Wait:
    """One bounded wait. A class, since a generator here costs each exchange several microseconds."""

    def __init__(self, waits: Waits, clock: asyncio.Timeout, late: Callable[[], GatewayError]) -> None:
        self._waits = waits
        self._clock = clock
        self._late = late

    @property
    def ending(self) -> bool:
        return self._waits.ended

    def grant(self, seconds: float) -> None:
        """So much longer: the other side has said when it wants to be asked again."""
        if (when := self._clock.when()) is not None and not (self._clock.expired() or self.ending):
            self._clock.reschedule(when + seconds)

    async def __aenter__(self) -> None:
        if self._waits.ended:
            raise closed()
        await self._clock.__aenter__()
        self._waits.clocks.add(self._clock)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waits.clocks.discard(self._clock)
        try:
            await self._clock.__aexit__(kind, error, trace)
        except TimeoutError:
            raise (closed() if self._waits.ended else self._late()) from None


class PausedWait:
    """A wait whose clock stands still while `pause` is held."""

    def __init__(self, wait: Wait, pause: Pause, silence: Silence) -> None:
        self._wait = wait
        self._pause = pause
        self._silence = silence

    def grant(self, seconds: float) -> None:
        """As `Wait.grant`; while the pause is held no time passes anyway."""
        self._wait.grant(seconds)

    async def __aenter__(self) -> None:
        await self._wait.__aenter__()
        self._pause.join(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pause.part(self)
        await self._wait.__aexit__(kind, error, trace)

    def stop(self) -> None:
        if not self._wait.ending:
            self._silence.stop()

    def go(self) -> None:
        if not self._wait.ending:
            self._silence.go()


def closed(*, unsent: bool = False) -> GatewayError:
    """The error of an exchange whose channel was closed."""
    message = "the connection to the server was closed by the gateway"
    return GatewayError(Kind.SERVER_CLOSED, message, reason="closed", unsent=unsent)
