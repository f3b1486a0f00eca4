"""A stdio server's process: its pipes, its group, its end.

Which question: is the process alive, what did it say on stderr, and how is it brought to an end? Touches processes,
pipes and signals. The rule: whoever started a child stops it; when `stop` returns, neither the child nor anything
that it left in its process group runs.

Ending follows MCP `basic/transports` (stdio, Shutdown): close stdin, wait, SIGTERM, wait, SIGKILL; the signals go
to the whole group, since launchers (npx, uvx, shells) do not always take their server with them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from gateway.errors import GatewayError, Kind
from gateway.upstream.command import Command, unstartable
from gateway.upstream.framing import Tail

_LEASH = str(Path(__file__).with_name("leash.py"))
_STDIN, _STDOUT = 0, 1
_POLL = 0.01


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a child gets after its stdin was closed, after SIGTERM, and after SIGKILL."""

    eof: float = 2.0
    term: float = 3.0
    kill: float = 1.0


PATIENCE = Patience()


class Child:
    """A running server process; its stdout goes to the `hear` that `start` was given."""

    def __init__(self, transport: asyncio.SubprocessTransport, pipes: _Pipes) -> None:
        self._transport = transport
        self._stdin = cast(asyncio.WriteTransport, transport.get_pipe_transport(_STDIN))
        self._pipes = pipes
        self.pid = transport.get_pid()

    @classmethod
    async def start(
        cls, command: Command, *, hear: Callable[[bytes], None], over: Callable[[], None], within: float
    ) -> Child:
        """Start `command`; `over` is called when its stdout ends, and again when it exits.

        Returns once the program itself runs. Raises `GatewayError`: SERVER_CLOSED (reason `not_found`) when it
        cannot be run, TIMEOUT after `within` seconds; both `unsent`.
        """
        path = command.locate()
        status, far_end = os.pipe()
        try:
            try:
                child = await cls._spawn(command, path, far_end, _Pipes(hear, over))
            finally:
                os.close(far_end)
            await child._becomes_program(command, status, within)
        except OSError as error:
            raise unstartable(f"the command {command.program!r} cannot be started: {error.strerror}") from error
        finally:
            os.close(status)
        return child

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number when a signal ended it."""
        return self._transport.get_returncode()

    @property
    def stderr(self) -> tuple[str, ...]:
        """The last 64 lines, of 8 KiB at most each. They may hold secrets."""
        return self._pipes.stderr.lines

    async def writable(self) -> None:
        """Wait until stdin takes more. Raises `BrokenPipeError` when it takes nothing any more."""
        await self._pipes.writable.wait()
        if self._stdin.is_closing() or self._pipes.exited.is_set():
            raise BrokenPipeError

    def write(self, data: bytes) -> None:
        """Write `data` to stdin; call it right after `writable`."""
        self._stdin.write(data)

    async def settled(self, within: float) -> bool:
        """Wait until the process has exited and all that it wrote to stdout was heard; whether that happened."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._pipes.exited.wait()
                await self._pipes.silent.wait()
                return True
        return False

    async def stop(self, patience: Patience = PATIENCE) -> None:
        """End the process and its group. Cancelled, it kills them at once."""
        try:
            await self._end(patience)
        except asyncio.CancelledError:
            self._signal(signal.SIGKILL)
            raise
        finally:
            self._transport.close()

    @classmethod
    async def _spawn(cls, command: Command, path: str, status: int, pipes: _Pipes) -> Child:
        leash = (_LEASH, str(status), str(os.getpid()), str(int("LC_CTYPE" in command.env)), path)
        transport, _ = await asyncio.get_running_loop().subprocess_exec(
            lambda: pipes,
            *(sys.executable, "-I", "-S", *leash, command.program, *command.args),
            env=dict(command.env),
            cwd=command.cwd,
            start_new_session=True,
            pass_fds=(status,),
        )
        return cls(transport, pipes)

    async def _becomes_program(self, command: Command, status: int, within: float) -> None:
        started = False
        try:
            async with asyncio.timeout(within):
                errno = await _reported(status)
            if errno is not None:
                raise unstartable(f"the command {command.program!r} cannot be run: {os.strerror(errno)}")
            started = True
        except TimeoutError:
            message = f"the command {command.program!r} did not start within {within:g} s"
            raise GatewayError(Kind.TIMEOUT, message, reason="connect", unsent=True) from None
        finally:
            if not started:
                await self.stop(Patience(eof=0.0, term=0.0))

    async def _end(self, patience: Patience) -> None:
        self._close_stdin()
        if await self._gone(patience.eof):
            return
        self._signal(signal.SIGTERM)
        if await self._gone(patience.term):
            return
        self._signal(signal.SIGKILL)
        await self._gone(patience.kill)

    def _close_stdin(self) -> None:
        """A plain close would first wait for the child to read what is still buffered."""
        if self._stdin.get_write_buffer_size():
            self._stdin.abort()
        else:
            self._stdin.close()

    async def _gone(self, within: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._pipes.exited.wait()
                while _group_lives(self.pid):  # noqa: ASYNC110 (the kernel tells nobody)
                    await asyncio.sleep(_POLL)
                return True
        return False

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


class _Pipes(asyncio.SubprocessProtocol):
    """What the event loop tells of the child."""

    def __init__(self, hear: Callable[[bytes], None], over: Callable[[], None]) -> None:
        self._hear = hear
        self._over = over
        self.stderr = Tail()
        self.exited = asyncio.Event()
        self.silent = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == _STDOUT:
            self._hear(data)
        else:
            self.stderr.feed(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == _STDOUT:
            self.silent.set()
            self._over()
        elif fd == _STDIN:
            self.writable.set()

    def process_exited(self) -> None:
        self.exited.set()
        self.writable.set()
        self._over()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()


async def _reported(status: int) -> int | None:
    """The error number that the leash reports; None when it became the program, which closes its end."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(status, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(status)
    text = os.read(status, 16)
    return int(text) if text else None


def _group_lives(group: int) -> bool:
    """Whether a process of the group is left; the dead ones that we inherited (as process 1) are reaped here.

    Called only after the leader was reaped by the event loop, whose exit code this would take.
    """
    with suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
