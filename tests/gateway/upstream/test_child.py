"""Real processes: how they start, what they inherit, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.errors import GatewayError, Kind
from gateway.upstream.child import Child, Patience
from gateway.upstream.command import Command, environment
from tests.support.pipes import PATIENCE, Peer, ScriptedProgram
from tests.support.proc import alive, as_first_process, children, command_line, open_files, state, zombies

HASTY = Patience(eof=0.01, term=0.05, kill=5.0)
"""For children that need the next step: nothing is gained by waiting."""
GENTLE = Patience(eof=60.0, term=60.0, kill=60.0)
"""For children that do not need it: a test that waits so long has failed by its own bound."""


class Ear:
    """Keeps what a child said."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self._news = asyncio.Event()
        self.overs = 0

    def hear(self, data: bytes) -> None:
        self.heard += data
        self._news.set()

    def over(self) -> None:
        self.overs += 1

    async def until(self, data: bytes) -> None:
        async with asyncio.timeout(PATIENCE):
            while data not in self.heard:
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def running(command: Command) -> AsyncIterator[tuple[Child, Ear]]:
    ear = Ear()
    child = await Child.start(command, hear=ear.hear, over=ear.over, within=PATIENCE)
    try:
        yield child, ear
    finally:
        await child.stop(HASTY)


@asynccontextmanager
async def puppet() -> AsyncIterator[tuple[Child, Peer, Ear]]:
    async with ScriptedProgram() as program, running(program.command) as (child, ear):
        yield child, await program.peer(), ear


# Pipes.


async def test_a_child_reads_and_writes_exact_bytes() -> None:
    async with puppet() as (child, peer, ear):
        await child.writable()
        child.write(b'{"a":"\xc3\xa9\\u00e9"}\n')
        assert await peer.line() == b'{"a":"\xc3\xa9\\u00e9"}'
        await peer.say(b"\x00\xff\r\n")
        await ear.until(b"\x00\xff\r\n")
        assert bytes(peer.received) == b'{"a":"\xc3\xa9\\u00e9"}\n'


async def test_a_stdin_that_nobody_reads_is_not_writable_until_it_is_read() -> None:
    async with puppet() as (child, peer, _):
        await peer.stop_listening()
        child.write(b"x" * 1_000_000 + b"\n")
        waiting = asyncio.get_running_loop().create_task(child.writable())
        await peer.fence()
        assert not waiting.done()
        await peer.listen()
        async with asyncio.timeout(PATIENCE):
            await waiting
        assert len(await peer.line()) == 1_000_000


async def test_a_closed_stdin_breaks_the_pipe_and_not_the_gateway() -> None:
    async with puppet() as (child, peer, _):
        await peer.close_stdin()
        await peer.fence()
        with pytest.raises(BrokenPipeError):
            await write_on(child)


async def write_on(child: Child) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            await child.writable()
            child.write(b"x" * 65_536)
            await asyncio.sleep(0)


@pytest.mark.point(52)
@pytest.mark.trap(42)
async def test_a_flood_on_stderr_keeps_the_last_lines_only_and_blocks_nobody() -> None:
    async with puppet() as (child, peer, _):
        for _ in range(40):
            await peer.complain(b"".join(b"%d noise\n" % n for n in range(20_000)))
        await peer.complain(b"w" * 100_000 + b"\nlast words")
        await peer.exit(0)
        assert await child.settled(PATIENCE)
        lines = child.stderr
        assert len(lines) <= 65
        assert lines[-1] == "last words"
        assert lines[-2] == "w" * 8_192
        assert lines[-3] == "19999 noise"


# Starting.


async def test_the_program_that_runs_is_the_command_itself_under_its_own_name() -> None:
    async with puppet() as (child, peer, _):
        assert child.pid == peer.pid
        assert b"leash" not in b" ".join(command_line(child.pid))
        assert os.getpgid(child.pid) == child.pid
        assert os.getsid(child.pid) == child.pid


@pytest.mark.trap(58)
async def test_of_the_gateways_environment_a_child_sees_only_the_harmless_part(tmp_path: Path) -> None:
    ambient = {"HOME": "/h", "LC_TIME": "C", "TERM": "vt", "DATABASE_URL": "mysql://u:p@h/d", "PYTHONPATH": "/x"}
    async with ScriptedProgram() as program:
        env = environment({"TOKEN": "t"}, ambient)
        async with running(Command(sys.executable, program.command.args, env, str(tmp_path))):
            folder, seen = await (await program.peer()).environment()
    assert folder == str(tmp_path)
    assert seen == {
        "HOME": "/h",
        "LC_TIME": "C",
        "TERM": "vt",
        "TOKEN": "t",
        "PATH": f"{os.defpath}:{os.path.dirname(sys.executable)}",
    }


async def test_a_locale_that_is_asked_for_is_kept() -> None:
    async with ScriptedProgram(env={"LC_CTYPE": "C.UTF-8"}) as program, running(program.command):
        _, seen = await (await program.peer()).environment()
    assert seen["LC_CTYPE"] == "C.UTF-8"


async def test_a_child_starts_with_the_systems_signals_and_three_files() -> None:
    command = Command("sh", ("-c", "grep SigIgn /proc/self/status; ls /proc/$$/fd"), environment({}, os.environ))
    async with running(command) as (child, ear):
        assert await child.settled(PATIENCE)
    _, ignored, *files = ear.heard.split()
    assert int(ignored, 16) & 0x7FFFFFFF == 0  # beyond 31 are the C library's own, which make leaves ignored
    assert files == [b"0", b"1", b"2"]


async def test_a_console_script_beside_the_interpreter_is_found_without_activation(tmp_path: Path) -> None:
    beside = Path(sys.executable).parent
    env = environment({}, {"PATH": str(tmp_path)})
    assert env["PATH"].split(os.pathsep) == [str(tmp_path), str(beside)]
    assert Command("mcp-server-time", (), env).locate() == str(beside / "mcp-server-time")


async def test_a_relative_command_is_looked_up_in_the_childs_folder(tmp_path: Path) -> None:
    script = tmp_path / "serve"
    script.write_text("#!/bin/sh\necho here\n")
    script.chmod(0o755)
    async with running(Command("./serve", (), environment({}, os.environ), str(tmp_path))) as (child, ear):
        assert await child.settled(PATIENCE)
    assert ear.heard == b"here\n"


@pytest.mark.parametrize(
    ("program", "cwd", "said"),
    [
        ("no-such-server-here", None, "the command 'no-such-server-here' is not on PATH"),
        ("/no/such/file", None, "the command '/no/such/file' does not exist"),
        ("./plain", ".", "the command './plain' is not an executable file"),
        ("./badshebang", ".", "the command './badshebang' cannot be run: No such file or directory"),
        ("./nobinary", ".", "the command './nobinary' cannot be run: Exec format error"),
        ("sh", "missing", "missing' of the server's command does not exist"),
    ],
)
async def test_a_command_that_cannot_run_is_named_and_nothing_is_left(
    tmp_path: Path, program: str, cwd: str | None, said: str
) -> None:
    (tmp_path / "plain").write_text("text")
    for name, text in {"badshebang": "#!/no/such/interpreter\n", "nobinary": "no shebang\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    ear = Ear()
    folder = str(tmp_path / cwd) if cwd else None
    with pytest.raises(GatewayError) as raised:
        await Child.start(
            Command(program, (), environment({}, os.environ), folder), hear=ear.hear, over=ear.over, within=PATIENCE
        )
    assert raised.value.kind is Kind.SERVER_CLOSED
    assert raised.value.reason == "not_found"
    assert raised.value.unsent
    assert said in raised.value.message
    assert not zombies()


async def test_arguments_that_the_system_refuses_are_an_error_and_no_traceback() -> None:
    with pytest.raises(GatewayError, match="Argument list too long") as raised:
        async with running(Command("sh", ("x" * 200_000,), environment({}, os.environ))):
            pass
    assert raised.value.unsent


async def test_a_start_that_takes_too_long_or_is_given_up_leaves_nothing() -> None:
    command = Command("sleep", ("60",), environment({}, os.environ))
    ear = Ear()
    files, others = open_files(), set(children())
    with pytest.raises(GatewayError) as raised:
        await Child.start(command, hear=ear.hear, over=ear.over, within=0.0)
    assert (raised.value.kind, raised.value.reason, raised.value.unsent) == (Kind.TIMEOUT, "connect", True)
    for patience in range(5):
        starting = asyncio.get_running_loop().create_task(
            Child.start(command, hear=ear.hear, over=ear.over, within=PATIENCE)
        )
        for _ in range(patience):
            await asyncio.sleep(0)
        starting.cancel()
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait({starting})
            while set(children()) - others:  # noqa: ASYNC110 (uvloop reaps what it killed a moment later)
                await asyncio.sleep(0.001)
    assert open_files() <= files + 1


# Ending.


@pytest.mark.trap(41)
async def test_a_closed_stdin_is_enough_for_a_server_that_listens() -> None:
    async with running(Command("cat", (), environment({}, os.environ))) as (child, _):
        async with asyncio.timeout(PATIENCE):
            await child.stop(GENTLE)
        assert child.exit_code == 0
    assert not zombies()


@pytest.mark.trap(42)
async def test_a_child_that_ignores_the_end_of_stdin_gets_sigterm() -> None:
    async with puppet() as (child, peer, _):
        async with asyncio.timeout(PATIENCE):
            await child.stop(Patience(eof=0.01, term=60.0, kill=60.0))
        assert child.exit_code == -signal.SIGTERM
        assert bytes(peer.received) == b""


@pytest.mark.trap(41)
async def test_a_child_that_ignores_sigterm_too_is_killed() -> None:
    async with puppet() as (child, peer, _):
        await peer.deafen()
        await child.stop(HASTY)
        assert child.exit_code == -signal.SIGKILL
    assert not zombies()


@pytest.mark.point(52)
@pytest.mark.trap(41)
@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_what_a_launcher_left_behind_ends_with_it() -> None:
    async with puppet() as (child, peer, _):
        orphan = await peer.fork(deaf=True)
        await peer.exit(0)
        async with asyncio.timeout(PATIENCE):
            await peer.ended.wait()
        assert alive(orphan)
        await child.stop(HASTY)
        assert not alive(orphan)


@pytest.mark.trap(41)
async def test_as_first_process_of_a_container_the_gateway_reaps_orphans() -> None:
    with as_first_process():
        async with puppet() as (child, peer, _):
            orphans = [await peer.fork(), await peer.fork(deaf=True)]
            await peer.exit(0)
            async with asyncio.timeout(PATIENCE):
                await peer.ended.wait()
            await child.stop(HASTY)
            assert [state(pid) for pid in orphans] == ["", ""]
    assert not zombies()


async def test_an_exit_is_noticed_although_a_grandchild_holds_the_pipes() -> None:
    with as_first_process():
        async with puppet() as (child, peer, ear):
            await peer.fork()
            await peer.exit(7)
            assert not await child.settled(0.2)
            assert child.exit_code == 7
            assert ear.overs == 1
            await child.stop(HASTY)


async def test_a_cancelled_stop_kills_at_once() -> None:
    async with puppet() as (child, peer, _):
        await peer.deafen()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await child.stop(GENTLE)
        async with asyncio.timeout(PATIENCE):
            await peer.ended.wait()
    assert not alive(child.pid)


@pytest.mark.trap(41)
async def test_a_child_dies_with_a_gateway_that_was_killed() -> None:
    """The middle process stands for the gateway; it starts a child that ignores its stdin, and is killed."""
    middle = """
import asyncio, os, sys
from gateway.upstream.child import Child
from gateway.upstream.command import Command, environment
async def main():
    command = Command("sleep", ("60",), environment({}, os.environ))
    child = await Child.start(command, hear=print, over=print, within=10)
    print(child.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    gateway = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", middle), stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    async with asyncio.timeout(PATIENCE):
        assert gateway.stdout is not None
        child = int(await gateway.stdout.readline())
        assert alive(child)
        handle = os.pidfd_open(child)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(handle, ended.set)
        gateway.kill()
        await gateway.wait()
        await ended.wait()
    asyncio.get_running_loop().remove_reader(handle)
    os.close(handle)
    assert not alive(child)


@pytest.mark.point(52)
@pytest.mark.trap(41)
async def test_many_children_come_and_go_without_a_trace() -> None:
    async with ScriptedProgram() as program:
        counts = []
        for batch in range(3):
            await come_and_go(program, batch)
            counts.append(open_files())
    assert not zombies()
    assert counts[0] == counts[2]


async def come_and_go(program: ScriptedProgram, batch: int) -> None:
    ears = [Ear() for _ in range(8)]
    starts = (Child.start(program.command, hear=ear.hear, over=ear.over, within=PATIENCE) for ear in ears)
    children = await asyncio.gather(*starts)
    peers = [await program.peer(8 * batch + n) for n in range(8)]
    await asyncio.gather(*(child.stop(HASTY) for child in children))
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(peer.ended.wait() for peer in peers))
    assert not any(alive(child.pid) for child in children)
