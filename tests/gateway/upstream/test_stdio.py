"""The stdio channel against real child processes whose every byte the test decides."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings

from gateway.errors import GatewayError, Kind
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.settings import Limits, Timeouts
from gateway.upstream.child import Patience
from gateway.upstream.command import Command, environment
from gateway.upstream.exchange import ChildEnded, Dropped, WireRequest
from gateway.upstream.stdio import StdioChannel
from tests.support import texts
from tests.support.pipes import PATIENCE, Peer, ScriptedProgram, idle
from tests.support.pipes import Script as PipeScript
from tests.support.proc import alive, as_first_process
from tests.support.scripted import answer, id_of, progress

RESULT = b'{"content":[],"x":1.10}'
HASTY = Patience(eof=0.01, term=0.05, kill=5.0)

one_loop = pytest.mark.asyncio(loop_factories=["uvloop"])
"""For long tables in which the event loop makes no difference."""


class Bench:
    """A scripted program, one child of it, and the channel to that child."""

    def __init__(self, channel: StdioChannel, peer: Peer, dropped: list[Dropped], heard: list[Message]) -> None:
        self.channel = channel
        self.peer = peer
        self.dropped = dropped
        self.heard = heard

    async def ask(self, request: WireRequest | None = None) -> list[Message]:
        """All that one exchange yields."""
        async with asyncio.timeout(PATIENCE), self.channel.exchange(request or ask()) as exchange:
            return [message async for message in exchange]

    def asking(self, request: WireRequest | None = None) -> asyncio.Task[list[Message]]:
        return asyncio.get_running_loop().create_task(self.ask(request))

    async def failed(self, request: WireRequest | None = None) -> GatewayError:
        """The error that one exchange ends with."""
        with pytest.raises(GatewayError) as raised:
            await self.ask(request)
        return raised.value


@asynccontextmanager
async def bench(
    script: PipeScript = idle,
    *,
    limit: int = 1_000_000,
    first_byte: float = PATIENCE,
    idle: float = PATIENCE,
    patience: Patience = HASTY,
) -> AsyncIterator[Bench]:
    dropped: list[Dropped] = []
    heard: list[Message] = []
    async with ScriptedProgram(script) as program:
        channel = await StdioChannel.start(
            program.command,
            limits=Limits(response_bytes=limit),
            timeouts=Timeouts(connect=PATIENCE, first_byte=first_byte, idle=idle),
            on_message=heard.append,
            on_dropped=dropped.append,
            patience=patience,
        )
        try:
            yield Bench(channel, await program.peer(), dropped, heard)
        finally:
            await channel.close()


def ask(id: int = 7, params: bytes = b"{}") -> WireRequest:
    return WireRequest(id, b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":%b}' % (id, params))


def reply(id: int, result: bytes = RESULT) -> bytes:
    return answer(ask(id).body, result) + b"\n"


def note(words: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"%b"}}\n' % words


async def proper(peer: Peer) -> None:
    """Answers each request."""
    while line := await peer.line():
        await peer.say(answer(line, RESULT) + b"\n")


def kinds(messages: list[Message]) -> list[str]:
    return [message.method or message.kind.value for message in messages]


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what nothing announces."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def body_of(message: Message) -> bytes:
    return bytes(message.body or b"")


# Messages.


async def test_a_request_is_one_line_and_so_is_its_answer() -> None:
    async with bench(proper) as b, b.channel.exchange(ask()) as exchange:
        messages = [message async for message in exchange]
        assert exchange.head is None
        assert bytes(b.peer.received) == ask().body + b"\n"
    assert kinds(messages) == ["result"]
    assert body_of(messages[0]) == RESULT


async def test_no_line_break_of_a_body_becomes_a_line() -> None:
    smuggled = b'{"jsonrpc":"2.0","id":7,\r\n"method":"tools/call",\n"params":{}}'

    async def script(peer: Peer) -> None:
        await peer.say(answer(await peer.line(), RESULT) + b"\n")
        await peer.line()
        await peer.say(answer(await peer.line(), RESULT) + b"\n")

    async with bench(script) as b:
        await b.ask(WireRequest(7, smuggled))
        await b.channel.send(b'{"jsonrpc":"2.0",\n\r"method":"notifications/x"}', {"Ignored": "here"})
        await b.ask(ask(8))
        lines = bytes(b.peer.received).splitlines()
    assert lines[0] == ask().body
    assert lines[1] == b'{"jsonrpc":"2.0","method":"notifications/x"}'
    assert len(lines) == 3


@pytest.mark.point(14)
@pytest.mark.trap(31)
async def test_exchanges_in_flight_get_their_own_answers_in_any_order() -> None:
    async def script(peer: Peer) -> None:
        lines = [await peer.line() for _ in range(20)]
        for line in reversed(lines):
            await peer.say(answer(line, b'{"for":' + id_of(line) + b"}") + b"\n")

    async with bench(script) as b:
        answers = await asyncio.gather(*(b.ask(ask(n)) for n in range(20)))
    assert [body_of(messages[-1]) for messages in answers] == [b'{"for":%d}' % n for n in range(20)]


@one_loop
@pytest.mark.trap(21)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n  \n"])
async def test_lines_may_be_cut_anywhere(end: bytes) -> None:
    text = '{"a":"é😀\u2028\u0085"}'.encode()

    async def script(peer: Peer) -> None:
        line = answer(await peer.line(), text) + end
        for byte in range(len(line)):
            await peer.say(line[byte : byte + 1])
            await peer.fence()

    async with bench(script) as b:
        assert [body_of(message) for message in await b.ask()] == [text]
        assert not b.dropped


async def test_a_last_line_without_its_end_counts() -> None:
    async def script(peer: Peer) -> None:
        await peer.say(answer(await peer.line(), RESULT))
        await peer.exit(0)

    async with bench(script) as b:
        assert [body_of(message) for message in await b.ask()] == [RESULT]


async def test_arrays_of_messages_are_unpacked() -> None:
    data = b'{"data":[1e2,"\\ud800",10000000000000000000000]}'
    items = b' [ {"jsonrpc":"2.0","method":"notifications/message","params":%b} ,' % data

    async def script(peer: Peer) -> None:
        line = await peer.line()
        await peer.say(items + b"\t5 ," + answer(line, RESULT) + b"]\n[\n[1,\n[]\n[x]\n")
        await peer.fence()

    async with bench(script) as b:
        messages = await b.ask()
        await b.peer.fence()
    assert kinds(messages) == ["notifications/message", "result"]
    assert bytes(messages[0].params or b"") == data
    assert body_of(messages[1]) == RESULT
    assert b.dropped == [Dropped.NOT_A_MESSAGE] + [Dropped.NOT_JSON] * 3


@pytest.mark.trap(32)
async def test_progress_goes_to_the_exchange_whose_token_it_carries() -> None:
    async def script(peer: Peer) -> None:
        lines = [await peer.line(), await peer.line()]
        for token in (2, 1, 2, 99, b'"1"'):
            await peer.say(progress(token, 1) + b"\n")
        for line in lines:
            await peer.say(answer(line, RESULT) + b"\n")

    async with bench(script) as b:
        first, second = await asyncio.gather(b.ask(ask(1)), b.ask(ask(2)))
        assert kinds(first) == ["notifications/progress", "result"]
        assert kinds(second) == ["notifications/progress"] * 2 + ["result"]
        assert b.dropped == [Dropped.UNMATCHED] * 2
        assert not b.heard


async def test_a_subscriptions_notifications_go_to_it() -> None:
    listed = (
        b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed",'
        b'"params":{"_meta":{"io.modelcontextprotocol/subscriptionId":2}}}\n'
    )

    async def script(peer: Peer) -> None:
        lines = [await peer.line(), await peer.line()]
        await peer.say(listed)
        for line in lines:
            await peer.say(answer(line, RESULT) + b"\n")

    async with bench(script) as b:
        first, second = await asyncio.gather(b.ask(ask(1)), b.ask(ask(2)))
    assert kinds(first) == ["result"]
    assert kinds(second) == ["notifications/tools/list_changed", "result"]


async def test_what_names_nobody_goes_to_the_one_exchange_in_flight_or_to_the_owner() -> None:
    question = b'{"jsonrpc":"2.0","id":"s1","method":"roots/list"}\n'

    async def script(peer: Peer) -> None:
        await peer.say(note(b"before"))
        line = await peer.line()
        await peer.say(question + note(b"during") + answer(line, RESULT) + b"\n")
        lines = [await peer.line(), await peer.line()]
        await peer.say(question + note(b"between"))
        for line in lines:
            await peer.say(answer(line, RESULT) + b"\n")

    async with bench(script) as b:
        await until(lambda: len(b.heard) == 1)
        assert kinds(await b.ask()) == ["roots/list", "notifications/message", "result"]
        await asyncio.gather(b.ask(ask(1)), b.ask(ask(2)))
        assert kinds(b.heard) == ["notifications/message", "roots/list", "notifications/message"]


async def test_an_error_without_an_id_answers_the_one_exchange_in_flight() -> None:
    error = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}\n'

    async def script(peer: Peer) -> None:
        await peer.line()
        await peer.say(error)
        await peer.line()
        await peer.line()
        await peer.say(error + reply(1) + reply(2))

    async with bench(script) as b:
        assert kinds(await b.ask()) == ["error"]
        await asyncio.gather(b.ask(ask(1)), b.ask(ask(2)))
        assert b.dropped == [Dropped.UNMATCHED]


@pytest.mark.point(52)
@pytest.mark.trap(42)
async def test_what_is_no_message_is_counted_and_harms_nobody() -> None:
    async def script(peer: Peer) -> None:
        await peer.say(b"Starting server...\n\xff\xfe\n{\n{}\n[]\n5\n\n \n" + note(b"first"))
        while line := await peer.line():
            await peer.say(b"handling a call\n\x00\n" + reply(99) + answer(line, RESULT) + b"\n")

    async with bench(script) as b:
        for n in range(3):
            assert kinds(await b.ask(ask(n)))[-1] == "result"
        assert b.dropped.count(Dropped.NOT_JSON) == 3 + 2 * 3
        assert b.dropped.count(Dropped.NOT_A_MESSAGE) == 2
        assert b.dropped.count(Dropped.UNMATCHED) == 3


@one_loop
@pytest.mark.parametrize(
    "result",
    [b'{"a":NaN}', b'{"a":"\xff"}', b"[" * 300 + b"]" * 300, b'{"a":1', b'{"a":1},"error":{"code":1}'],
    ids=["no number", "no UTF-8", "too deep", "cut", "both result and error"],
)
@pytest.mark.parametrize("id_last", [False, True])
async def test_an_answer_that_cannot_be_read_ends_its_exchange_and_no_other(result: bytes, id_last: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.line()
        await peer.line()
        if id_last:
            await peer.say(b'{"result":%b,"jsonrpc":"2.0","id":1}\n' % result)
        else:
            await peer.say(b'{"jsonrpc":"2.0","id":1,"result":%b}\n' % result)
        await peer.say(reply(2))

    async with bench(script) as b:
        broken, whole = b.asking(ask(1)), b.asking(ask(2))
        with pytest.raises(GatewayError) as raised:
            await broken
        assert (raised.value.kind, raised.value.reason) == (Kind.SERVER_PROTOCOL, "malformed")
        assert kinds(await whole) == ["result"]
        assert len(b.dropped) == 1


# Long lines.


@pytest.mark.trap(42)
async def test_a_line_of_ten_megabytes_is_a_message_like_any_other() -> None:
    text = b'{"x":"' + b"y" * 10_000_000 + b'"}'

    async def script(peer: Peer) -> None:
        await peer.say(answer(await peer.line(), text) + b"\n")

    async with bench(script, limit=64_000_000) as b:
        assert [body_of(message) for message in await b.ask(ask(params=text))] == [text]
        assert len(b.peer.received) == len(ask(params=text).body) + 1


@pytest.mark.point(52)
@one_loop
@pytest.mark.trap(42)
@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc":"2.0","id":1,"result":{"x":"%b"}}',
        b'{"id": 1, "jsonrpc": "2.0", "result":{"x":"%b"}}',
        b'{"id":1,"result":{"x":"%b"},"jsonrpc":"2.0"}',
        b'{"result":{"x":"%b","y":{"id":2}},"jsonrpc":"2.0","id":1}',
        b'{"jsonrpc":"2.0","error":{"code":5,"message":"%b"},"id" : 1 , "jsonrpc":"2.0"}\r',
    ],
)
async def test_a_line_beyond_the_limit_ends_the_exchange_that_it_answers(line: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.line()
        await peer.line()
        await peer.say(line % (b"z" * 300_000) + b"\n" + reply(2))

    async with bench(script, limit=100_000) as b:
        large, small = b.asking(ask(1)), b.asking(ask(2))
        with pytest.raises(GatewayError) as raised:
            await large
        assert raised.value.kind is Kind.ANSWER_TOO_LARGE
        assert kinds(await small) == ["result"]
        assert b.dropped == [Dropped.OVERLONG]


@one_loop
@pytest.mark.trap(42)
@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"%b","id":7}}',
        b'{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{"x":"%b"}}',
        b'{"method":"x","params":{"x":"%b"},"jsonrpc":"2.0","id":7}',
    ],
)
async def test_a_line_beyond_the_limit_that_is_no_answer_ends_no_exchange(line: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.line()
        await peer.say(line % (b"z" * 300_000) + b"\n" + reply(7))

    async with bench(script, limit=100_000) as b:
        assert kinds(await b.ask()) == ["result"]
        assert b.dropped == [Dropped.OVERLONG]


@pytest.mark.trap(42)
async def test_a_line_beyond_the_limit_that_tells_nothing_ends_the_only_exchange() -> None:
    async def script(peer: Peer) -> None:
        await peer.line()
        for _ in range(20):
            await peer.say(b"z" * 100_000)
        await peer.say(b"\n")

    async with bench(script, limit=100_000) as b:
        assert (await b.failed()).kind is Kind.ANSWER_TOO_LARGE


@pytest.mark.trap(18)
async def test_a_reader_that_does_not_read_costs_bounded_memory_and_holds_up_nobody() -> None:
    async def script(peer: Peer) -> None:
        await peer.line()
        await peer.say(b"".join(progress(1, n) + b"\n" for n in range(5_000)))
        await peer.say(progress(1, 0)[:-2] + b',"message":"' + b"m" * 5_000_000 + b'"}}\n')
        await peer.say(answer(await peer.line(), RESULT) + b"\n")
        await peer.line()
        await peer.say(reply(1))

    async with asyncio.timeout(PATIENCE), bench(script, limit=64_000_000) as b, b.channel.exchange(ask(1)) as slow:
        assert kinds(await b.ask(ask(2))) == ["result"]
        assert b.dropped == [Dropped.OVERFLOW] * (5_001 - 1_024)
        await b.channel.send(b"{}", {})
        messages = [message async for message in slow]
    assert kinds(messages) == ["notifications/progress"] * 1_024 + ["result"]


# Leaving, and time.


@pytest.mark.point(17)
@pytest.mark.trap(28)
async def test_leaving_early_leaves_the_child_alone_and_its_late_answer_is_nobodys() -> None:
    async with bench() as b:
        asking = b.asking(ask(1))
        line = await b.peer.line()
        asking.cancel()
        await asyncio.wait({asking})
        await b.peer.say(progress(1, 1) + b"\n" + answer(line, RESULT) + b"\n")
        later = b.asking(ask(2))
        await b.peer.say(answer(await b.peer.line(), RESULT) + b"\n")
        assert kinds(await later) == ["result"]
        assert b.dropped == [Dropped.UNMATCHED] * 2
        assert alive(b.channel.pid)


@pytest.mark.trap(66)
async def test_an_exchange_may_change_hands() -> None:
    """Opened in one task, read in another, left in a third; so may the channel."""
    tasks = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE), ScriptedProgram(proper) as program:
        starting = StdioChannel.start(program.command, limits=Limits(), timeouts=Timeouts(), patience=HASTY)
        channel = await tasks.create_task(starting)
        context = channel.exchange(ask())
        exchange = await tasks.create_task(context.__aenter__())
        assert (await tasks.create_task(exchange.__anext__())).kind is MessageKind.RESULT
        await tasks.create_task(context.__aexit__(None, None, None))
        await tasks.create_task(channel.close())


async def test_a_silent_server_times_out_and_lives_on() -> None:
    async def script(peer: Peer) -> None:
        await peer.line()
        await peer.line()
        await peer.say(progress(2, 1) + b"\n")
        await proper(peer)

    async with bench(script, first_byte=0.05, idle=0.05) as b:
        for n, reason in ((1, "first_byte"), (2, "idle")):
            error = await b.failed(ask(n))
            assert (error.kind, error.reason, error.unsent) == (Kind.TIMEOUT, reason, False)
        assert alive(b.channel.pid)


async def test_an_id_is_in_flight_once() -> None:
    async with bench() as b, b.channel.exchange(ask(1)):
        with pytest.raises(ValueError, match="in flight"):
            await b.ask(ask(1))


async def test_a_child_that_does_not_read_gets_a_bounded_number_of_bytes() -> None:
    async with bench(first_byte=0.2) as b:
        await b.peer.stop_listening()
        await b.peer.fence()
        with pytest.raises(GatewayError) as raised:
            await send_on(b.channel, b'"' + b"x" * 100_000 + b'"')
        assert (raised.value.kind, raised.value.reason, raised.value.unsent) == (Kind.TIMEOUT, "stalled", True)


async def send_on(channel: StdioChannel, body: bytes) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            await channel.send(body, {})
            await asyncio.sleep(0)


async def test_writers_take_turns_when_the_pipe_is_full() -> None:
    async with bench() as b:
        await b.peer.stop_listening()
        await b.peer.fence()
        sending = [
            asyncio.get_running_loop().create_task(b.channel.send(b'"%d%b"' % (n, b"x" * 300_000), {}))
            for n in range(8)
        ]
        await b.peer.fence()
        assert not all(task.done() for task in sending)
        await b.peer.listen()
        assert [(await b.peer.line())[:2] for _ in range(8)] == [b'"%d' % n for n in range(8)]
        await asyncio.gather(*sending)


# The end of a child.


@pytest.mark.point(52)
@pytest.mark.parametrize("way", ["exit", "signal"])
async def test_a_child_that_ends_takes_its_exchanges_along_and_says_why(way: str) -> None:
    async with bench() as b:
        asking = [b.asking(ask(1)), b.asking(ask(2))]
        await b.peer.line()
        await b.peer.line()
        await b.peer.complain(b"Traceback\nKeyError: 'TOKEN'\n")
        await (b.peer.exit(3) if way == "exit" else b.peer.kill(signal.SIGSEGV))
        ends = await asyncio.gather(*asking, return_exceptions=True)
        await b.channel.wait_over()
    message = (
        "the server's process exited with code 3" if way == "exit" else "the server's process was ended by signal 11"
    )
    for end in ends:
        assert isinstance(end, ChildEnded)
        assert (end.kind, end.reason, end.unsent) == (Kind.SERVER_CLOSED, "exited", False)
        assert end.message == message
        assert end.exit_code == (3 if way == "exit" else -11)
        assert end.detail == f"{message}; it last said: KeyError: 'TOKEN'"


async def test_what_a_child_said_before_it_ended_still_counts() -> None:
    async def script(peer: Peer) -> None:
        await peer.say(progress(7, 1) + b"\n" + answer(await peer.line(), RESULT) + b"\n")
        await peer.exit(1)

    async with bench(script) as b:
        assert kinds(await b.ask()) == ["notifications/progress", "result"]
        await b.channel.wait_over()
        error = await b.failed()
    assert (error.reason, error.unsent) == ("exited", True)


async def test_a_child_that_closes_its_output_is_of_no_use_and_is_stopped() -> None:
    async with bench() as b:
        asking = b.asking()
        await b.peer.line()
        await b.peer.close_stdout()
        with pytest.raises(ChildEnded) as raised:
            await asking
        assert (raised.value.reason, raised.value.exit_code) == ("closed", None)
        async with asyncio.timeout(PATIENCE):
            await b.channel.wait_over()
        assert not alive(b.channel.pid)


async def test_a_child_that_closes_its_input_is_of_no_use_either() -> None:
    async with bench() as b:
        await b.peer.close_stdin()
        await b.peer.fence()
        with pytest.raises(ChildEnded) as raised:
            await send_on(b.channel, b"{}")
        assert raised.value.unsent
        assert b.channel.over


@pytest.mark.trap(41)
async def test_a_launcher_that_leaves_its_server_behind_is_over() -> None:
    with as_first_process():
        async with asyncio.timeout(PATIENCE), bench() as b:
            asking = b.asking()
            await b.peer.line()
            orphan = await b.peer.fork(deaf=True)
            await b.peer.exit(0)
            with pytest.raises(ChildEnded, match="exited with code 0"):
                await asking
            await b.channel.wait_over()
            assert not alive(orphan)


@pytest.mark.trap(42)
async def test_close_ends_a_child_that_ignores_everything_and_its_exchanges_at_once() -> None:
    async with bench(patience=Patience(eof=0.2, term=0.2, kill=5.0)) as b:
        asking = b.asking()
        await b.peer.line()
        await b.peer.deafen()
        closing = asyncio.get_running_loop().create_task(b.channel.close())
        with pytest.raises(GatewayError) as raised:
            await asking
        assert (raised.value.kind, raised.value.reason) == (Kind.SERVER_CLOSED, "closed")
        assert not closing.done()
        assert (await b.failed()).unsent
        await closing
        assert not alive(b.channel.pid)
        await b.channel.close()


async def test_a_command_that_does_not_exist_was_sent_nothing() -> None:
    command = Command("no-such-server-here", (), environment({}, os.environ))
    with pytest.raises(GatewayError) as raised:
        await StdioChannel.start(command, limits=Limits(), timeouts=Timeouts())
    assert (raised.value.kind, raised.value.reason, raised.value.unsent) == (Kind.SERVER_CLOSED, "not_found", True)


@pytest.mark.trap(41)
async def test_a_thousand_calls_go_through_one_process() -> None:
    async with ScriptedProgram(proper) as program:
        channel = await StdioChannel.start(program.command, limits=Limits(), timeouts=Timeouts(), patience=HASTY)

        async def agent(number: int) -> int:
            answered = 0
            for n in range(100):
                async with channel.exchange(ask(100 * number + n)) as exchange:
                    answered += len([message async for message in exchange])
            return answered

        async with asyncio.timeout(PATIENCE):
            assert await asyncio.gather(*(agent(number) for number in range(10))) == [100] * 10
        assert len(program.peers) == 1
        await channel.close()


async def test_a_published_server_speaks_over_the_channel() -> None:
    command = Command("mcp-server-time", ("--local-timezone=Asia/Shanghai",), environment({}, os.environ))
    channel = await StdioChannel.start(command, limits=Limits(), timeouts=Timeouts())
    hello = (
        b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",'
        b'"capabilities":{},"clientInfo":{"name":"test","version":"1"}}}'
    )
    async with channel.exchange(WireRequest(1, hello)) as exchange:
        messages = [message async for message in exchange]
    assert kinds(messages) == ["result"]
    assert b'"mcp-time"' in body_of(messages[0])
    await channel.close()
    assert not alive(channel.pid)


# Faithfulness.


@pytest.mark.trap(22)
async def test_every_value_keeps_its_bytes_both_ways() -> None:
    async def script(peer: Peer) -> None:
        while line := await peer.line():
            result = line[line.index(b'"params":') + 9 : -1]
            await peer.say(b'{"jsonrpc":"2.0","method":"notifications/message","params":%b}\n' % result)
            await peer.say(b'{"jsonrpc":"2.0","id":%b,"result":%b}\n' % (id_of(line), result))

    @settings(max_examples=60, deadline=None)
    @given(params=texts.bodies)
    def collect(params: bytes) -> None:
        samples.append(params)

    samples: list[bytes] = []
    collect()
    async with bench(script) as b:
        for number, params in enumerate(samples):
            messages = await b.ask(ask(number, params))
            assert [bytes(messages[0].params or b""), body_of(messages[1])] == [params, params]
        sent = b"".join(ask(number, params).body + b"\n" for number, params in enumerate(samples))
        assert bytes(b.peer.received) == sent
