"""Lines to a server that is a program.

Which question: which child serves this call? Touches children through their channel. The rule: a modern server has
one child for everybody, a legacy one has a child for each scope.

The house child serves probes, discovery and `isolation: shared`; it stays as long as the server is registered.
"""

from __future__ import annotations

from gateway.errors import GatewayError
from gateway.protocol.versions import Era
from gateway.upstream.asking import question
from gateway.upstream.children import Children, Start
from gateway.upstream.greeter import Greeter
from gateway.upstream.legacy import Guest
from gateway.upstream.line import Begun, Greeting, Lease, Line, Visit
from gateway.upstream.modern import discover
from gateway.upstream.news import advertised, changed
from gateway.upstream.scopes import HOUSE, Pool, ScopeKeys
from gateway.upstream.surroundings import Surroundings
from gateway.upstream.values import Forward, ScopeKey
from gateway.upstream.wishes import Memories


class _EndedAtSight(Exception):
    """The child ended when it was asked for its era, as some legacy servers do at a method that they do not know."""


class PipeLines:
    """Opens lines over children that `start` starts."""

    def __init__(self, start: Start, around: Surroundings) -> None:
        spec = around.terms.spec
        self._around = around
        self._eras = around.eras
        self._shared = spec.isolation == "shared"
        self._keys = ScopeKeys(spec.isolation)
        self._children = Children(start, around)
        self._greeter = Greeter(around)
        self._memories = Memories()
        self._pool = Pool(self._open, around, most=spec.max_children)

    async def take(self, call: Forward) -> Lease:
        if self._shared or self._eras.belief is not Era.LEGACY:
            lease = await self._house()
            if self._shared or lease.line.era is Era.MODERN:
                return lease
            lease.release()
        return await self._pool.take(self._keys.of(call), call)

    async def visit(self, *, anew: bool) -> Visit:
        lease = await self._house()
        try:
            return Visit(lease.line, await self._said(lease.line), lease.release)
        except BaseException:
            lease.release()
            raise

    def doubt(self, line: Line) -> None:
        self._eras.forget(line.era)

    def borrow(self, key: ScopeKey) -> Lease | None:
        return self._pool.borrow(key)

    def attend(self, key: ScopeKey) -> None:
        """Pipes are always listened to."""

    @property
    def attended(self) -> frozenset[ScopeKey]:
        return frozenset()

    def unattend(self, key: ScopeKey) -> None:
        """Pipes are always listened to."""

    async def attention(self, line: Line, begun: Begun) -> bool:
        begun(True)
        await line.life.wait_ended()
        return True

    async def end(self, key: ScopeKey) -> None:
        self._memories.forget(key)
        await self._pool.end(key)

    async def sweep(self, now: float) -> None:
        kept = self._memories.subscribed | {HOUSE}
        await self._pool.sweep(now - self._around.terms.lifecycle.child_idle, keep=kept)

    async def close(self) -> None:
        await self._pool.close()

    async def _house(self) -> Lease:
        return await self._pool.take(HOUSE, question("initialize"))

    async def _said(self, line: Line) -> Greeting:
        """A modern server is asked again; a legacy one said it when its session was opened."""
        if line.greeting is None or line.era is Era.MODERN:
            return await discover(self._around.asker, line)
        return line.greeting

    async def _open(self, key: ScopeKey, call: Forward) -> Line:
        self._children.check(key)
        guest = Guest(call, self._memories.of(key))
        try:
            return await self._child(key, guest)
        except _EndedAtSight:
            self._eras.presume(Era.LEGACY)
            return await self._child(key, guest)

    async def _child(self, key: ScopeKey, guest: Guest) -> Line:
        """Start a child and greet it."""
        undecided = self._eras.belief is None
        life = await self._children.start(key)
        line: Line | None = None
        try:
            line = await self._greeter.greet(life, guest)
        except GatewayError as error:
            ended = error.reason in ("closed", "exited")
            if undecided and ended:
                raise _EndedAtSight from error
            self._give_up(ended)
            self._children.crashed(life)
            raise
        finally:
            if line is None:
                await life.end()
        self._eras.prove(line.era)
        self._children.greeted(life, line)
        told = None if line.greeting is None else line.greeting.capabilities
        for message in changed(advertised(told)) if self._memories.opened(key) else ():
            self._around.audience.heard(key, message)
        return line

    def _give_up(self, ended: bool) -> None:
        """A server that was modern, and whose child ended when it was asked, may have become such a legacy one."""
        if ended:
            self._eras.forget(Era.MODERN)
        self._eras.fail()
