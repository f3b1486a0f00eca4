"""Streams towards clients, byte for byte: lateness, comments, and readers that are slow, stalled or gone."""

import asyncio
import socket

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.errors import GatewayError
from gateway.http.reply import Patience, Reply
from gateway.sink import Answer
from storage.tasks import Tasks


class Streams:
    def __init__(self) -> None:
        self.open = 0

    def stream_opened(self) -> None:
        self.open += 1

    def stream_closed(self) -> None:
        self.open -= 1


class Served:
    """An aiohttp server whose only handler answers through a `Reply` that the test moves."""

    def __init__(self, patience: Patience, *, at_once: bool = False) -> None:
        self.patience = patience
        self.at_once = at_once
        self.streams = Streams()
        self.tasks = Tasks("test")
        self.replies: asyncio.Queue[Reply] = asyncio.Queue()
        self.ends: asyncio.Queue[BaseException | None] = asyncio.Queue()
        self.finished = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        reply = Reply(request, self.tasks, self.patience, {"X-Ours": "1"}, self.streams, at_once=self.at_once)
        self.replies.put_nowait(reply)
        try:
            await self.finished.wait()
        except asyncio.CancelledError as gone:
            self.ends.put_nowait(gone)
            raise
        finally:
            reply.leave()
        self.ends.put_nowait(None)
        return reply.response

    async def __aenter__(self):
        app = web.Application()
        app.router.add_route("*", "/", self.handle)
        self.server = TestServer(app)
        await self.server.start_server()
        return self

    async def __aexit__(self, *_):
        await self.server.close()
        await self.tasks.close()

    async def connect(self, accept=b"*/*", buffer=None):
        raw = socket.create_connection(("127.0.0.1", self.server.port))
        if buffer is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        raw.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=raw)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nAccept: " + accept + b"\r\n\r\n")
        return reader, writer, await self.replies.get()


@pytest.fixture(autouse=True)
async def bounded():
    async with asyncio.timeout(20):
        yield


async def test_an_answer_that_comes_first_is_json_with_its_own_status():
    async with Served(Patience()) as served:
        reader, writer, reply = await served.connect()
        await reply.finish(Answer(b'{"x":1}', 404))
        served.finished.set()
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 404")
        assert b"Content-Type: application/json" in head
        assert b"X-Ours: 1" in head
        assert await reader.readexactly(7) == b'{"x":1}'
        writer.close()


async def test_an_empty_answer_has_no_body_and_no_type():
    async with Served(Patience()) as served:
        reader, writer, reply = await served.connect()
        await reply.finish(Answer(None, 202))
        served.finished.set()
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 202")
        assert b"Content-Length: 0" in head
        writer.close()


@pytest.mark.point(16)
@pytest.mark.trap(19)
async def test_silence_commits_a_stream_that_comments_keep_alive():
    async with Served(Patience(silence=0.01, comment=0.01)) as served:
        reader, writer, reply = await served.connect()
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"text/event-stream" in head
        assert b"X-Accel-Buffering: no" in head
        for _ in range(3):
            assert (await reader.readuntil(b"\n\n")).rstrip(b"\r\n").endswith(b":")
        assert served.streams.open == 1
        await reply.finish(Answer(b'{"late":true}', 500))
        served.finished.set()
        rest = await reader.readuntil(b'{"late":true}\n\n')
        assert b"data: " in rest
        await served.ends.get()
        assert served.streams.open == 0
        writer.close()


@pytest.mark.trap(19)
async def test_silence_primes_a_stream_that_is_followed_before_its_first_comment():
    async with Served(Patience(silence=0.01, comment=0.01)) as served:
        reader, writer, reply = await served.connect()
        assert await reply.follow(lambda number: f"s.{number}", 0)
        await reader.readuntil(b"\r\n\r\n")
        assert (await reader.readuntil(b"data: \n\n")).endswith(b"id: s.0\ndata: \n\n")
        assert b":\n\n" in await reader.readuntil(b":\n\n")
        await reply.conclude(1, Answer(b'{"late":true}'))
        served.finished.set()
        assert b'id: s.1\nevent: message\ndata: {"late":true}\n\n' in await reader.readuntil(b"true}\n\n")
        writer.close()


@pytest.mark.point(41)
@pytest.mark.trap(19)
@pytest.mark.parametrize(("first", "opening"), [(7, b"id: get-1.7\ndata: \n\n"), (None, b":\n\n")])
async def test_an_idle_get_is_answered_at_once_and_kept_alive(first, opening):
    async with Served(Patience(silence=0.01, comment=0.01), at_once=True) as served:
        reader, writer, reply = await served.connect()
        assert await reply.follow(lambda number: f"get-1.{number}", first)
        assert b"text/event-stream" in await reader.readuntil(b"\r\n\r\n")
        assert (await reader.readuntil(b"\n\n")).endswith(opening)
        for _ in range(3):
            assert (await reader.readuntil(b"\n\n")).endswith(b":\n\n")
        await reply.finish(Answer(None))
        served.finished.set()
        assert b"{" not in await reader.readuntil(b"0\r\n\r\n")
        writer.close()


async def test_a_client_that_takes_no_stream_follows_none():
    async with Served(Patience()) as served:
        reader, writer, reply = await served.connect(b"application/json")
        assert not await reply.follow(lambda number: f"s.{number}", 0)
        await reply.event(1, b'{"progress":1}')
        await reply.conclude(2, Answer(b"{}", 201))
        served.finished.set()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 201")
        writer.close()


async def test_a_client_that_takes_no_stream_waits_in_silence_for_its_json():
    async with Served(Patience(silence=0.01, comment=0.01)) as served:
        reader, writer, reply = await served.connect(b"application/json")
        await reply.send(b'{"progress":1}')
        await reply.finish(Answer(b"{}"))
        served.finished.set()
        assert b"application/json" in await reader.readuntil(b"\r\n\r\n")
        writer.close()


@pytest.mark.trap(16)
async def test_each_frame_is_on_the_wire_before_the_next_is_written():
    async with Served(Patience()) as served:
        reader, writer, reply = await served.connect()
        for number in range(3):
            await reply.send(b'{"n":%d}' % number)
            assert b'{"n":%d}' % number in await reader.readuntil(b"}\n\n")
        writer.close()
        served.finished.set()


@pytest.mark.trap(18)
async def test_a_reader_that_stalls_is_cut_and_memory_stays_bounded_while_others_go_on():
    async with Served(Patience(stalled=0.2)) as served:
        _, stalled_writer, stalled = await served.connect(buffer=4_096)
        reader, writer, lively = await served.connect()
        frame = b'{"x":"' + b"y" * 100_000 + b'"}'
        written = 0

        async def write_for_ever():
            nonlocal written
            while written < 1_000:
                await stalled.send(frame)
                written += 1

        with pytest.raises(GatewayError, match="stopped reading"):
            await write_for_ever()
        assert written < 200
        await lively.send(b'{"ok":1}')
        assert b'{"ok":1}' in await reader.readuntil(b"}\n\n")
        await stalled.finish(Answer(b"{}"))
        writer.close()
        stalled_writer.close()
        served.finished.set()


@pytest.mark.trap(28)
async def test_a_client_that_leaves_cancels_the_handler_at_once():
    async with Served(Patience()) as served:
        _, writer, _ = await served.connect()
        writer.close()
        assert isinstance(await served.ends.get(), asyncio.CancelledError)


@pytest.mark.point(16)
@pytest.mark.trap(16)
async def test_an_event_never_holds_a_line_end_of_its_own():
    async with Served(Patience()) as served:
        reader, writer, reply = await served.connect()
        await reply.send(b'{"a":\n\n"data: smuggled",\r"b":1}')
        await reader.readuntil(b"\r\n\r\n")
        event = await reader.readuntil(b"\n\n")
        assert event.count(b"data: ") == 2
        assert b'{"a":"data: smuggled","b":1}' in event
        writer.close()
        served.finished.set()


@pytest.mark.trap(18)
async def test_a_reader_that_stalls_over_a_large_json_answer_is_cut():
    async with Served(Patience(stalled=0.2)) as served:
        _, writer, reply = await served.connect(b"application/json", buffer=4_096)
        with pytest.raises(GatewayError, match="stopped reading"):
            await reply.finish(Answer(b'"' + b"y" * 20_000_000 + b'"'))
        await reply.finish(Answer(b"{}"))
        writer.close()
        served.finished.set()


async def test_a_large_json_answer_arrives_whole_with_its_length():
    async with Served(Patience()) as served:
        reader, writer, reply = await served.connect(b"application/json")
        body = b'"' + b"y" * 2_000_000 + b'"'
        writing = asyncio.get_running_loop().create_task(reply.finish(Answer(body)))
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Content-Length: %d" % len(body) in head
        assert await reader.readexactly(len(body)) == body
        await writing
        served.finished.set()
        writer.close()
