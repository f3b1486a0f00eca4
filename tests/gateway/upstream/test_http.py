"""The HTTP channel against a server that writes exactly the bytes of each test."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import gzip
import ipaddress
import os
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError, Kind
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.settings import Limits, Timeouts
from gateway.upstream.answer import SHORTEST_RETRY
from gateway.upstream.exchange import Dropped, RefusedByStatus, WireRequest
from gateway.upstream.http import HttpChannel, client_session
from gateway.upstream.pace import LONGEST_RETRY
from storage.tasks import Tasks
from tests.support import texts
from tests.support.proc import open_sockets
from tests.support.scripted import PATIENCE, Call, Script, ScriptedServer, answer, failure, progress

RESULT = b'{"content":[],"x":1.10}'

one_loop = pytest.mark.asyncio(loop_factories=["uvloop"])
"""For long tables in which the event loop makes no difference."""


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with client_session() as own:
        yield own


class Bench:
    """A scripted server and a channel to it."""

    def __init__(self, server: ScriptedServer, channel: HttpChannel, dropped: list[Dropped]) -> None:
        self.server = server
        self.channel = channel
        self.dropped = dropped

    async def ask(self, request: WireRequest | None = None) -> list[Message]:
        """All that one exchange yields."""
        async with asyncio.timeout(PATIENCE), self.channel.exchange(request or ask()) as exchange:
            return [message async for message in exchange]

    async def failed(self) -> GatewayError:
        """The error that one exchange ends with."""
        return await self.failed_with(ask())

    async def failed_with(self, request: WireRequest) -> GatewayError:
        with pytest.raises(GatewayError) as raised:
            await self.ask(request)
        return raised.value


@asynccontextmanager
async def bench(
    session: aiohttp.ClientSession,
    script: Script,
    *,
    path: str = "",
    headers: dict[str, str] | None = None,
    limit: int = 1_000_000,
    first_byte: float = PATIENCE,
    idle: float = PATIENCE,
) -> AsyncIterator[Bench]:
    dropped: list[Dropped] = []
    async with ScriptedServer(script) as server:
        channel = HttpChannel(
            session,
            server.url + path,
            headers=headers or {},
            limits=Limits(response_bytes=limit),
            timeouts=Timeouts(connect=PATIENCE, first_byte=first_byte, idle=idle),
            on_dropped=dropped.append,
        )
        try:
            yield Bench(server, channel, dropped)
        finally:
            await channel.close()


def ask(id: int = 7, params: bytes = b"{}", headers: dict[str, str] | None = None) -> WireRequest:
    body = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":%b}' % (id, params)
    return WireRequest(id, body, headers or {})


def replies(*args: object, **kwargs: object) -> Script:
    """A script that answers each request alike."""

    async def script(call: Call) -> None:
        await call.answer(*args, **kwargs)  # type: ignore[arg-type]

    return script


async def proper(call: Call) -> None:
    await call.answer(answer(call.body, RESULT))


def kinds(messages: list[Message]) -> list[str]:
    return [message.method or message.kind.value for message in messages]


def body_of(message: Message) -> bytes:
    return bytes(message.body or b"")


# Answers.


async def test_a_json_answer_is_the_response_with_its_own_bytes(session: aiohttp.ClientSession) -> None:
    async with bench(session, proper) as b, b.channel.exchange(ask()) as exchange:
        messages = [message async for message in exchange]
        assert exchange.head is not None
        assert exchange.head.status == 200
    assert kinds(messages) == ["result"]
    assert body_of(messages[0]) == RESULT
    assert bytes(messages[0].id or b"") == b"7"


@pytest.mark.trap(16)
async def test_events_come_through_one_by_one(session: aiohttp.ClientSession) -> None:
    seen = asyncio.Semaphore(0)

    async def script(call: Call) -> None:
        await call.stream()
        for done in (1, 2):
            await call.event(progress(7, done))
            await seen.acquire()
        await call.event(answer(call.body, RESULT))
        await call.event(progress(7, 3))
        await call.end()

    got = []
    async with asyncio.timeout(PATIENCE), bench(session, script) as b, b.channel.exchange(ask()) as exchange:
        async for message in exchange:
            got.append(message)
            seen.release()
    assert kinds(got) == ["notifications/progress", "notifications/progress", "result"]


@pytest.mark.point(53)
@pytest.mark.trap(17)
@pytest.mark.parametrize("label", ["text/event-stream", "application/json", None])
async def test_json_and_streams_are_told_apart_whatever_their_label(
    session: aiohttp.ClientSession, label: str | None
) -> None:
    async def stream(call: Call) -> None:
        await call.answer(b"\r\nevent: message\ndata: " + answer(call.body, RESULT) + b"\n\n", media_type=label)

    async def plain(call: Call) -> None:
        await call.answer(b" \n" + answer(call.body, RESULT), media_type=label)

    for script in (stream, plain):
        async with bench(session, script) as b:
            assert [body_of(message) for message in await b.ask()] == [RESULT]


@pytest.mark.trap(21)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
async def test_a_stream_may_be_cut_anywhere(session: aiohttp.ClientSession, end: bytes) -> None:
    text = '{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"é\u2028😀"}}'.encode()
    head, tail = text[:20], text[20:]

    async def script(call: Call) -> None:
        await call.stream()
        lines = (b"\xef\xbb\xbf: hello", b"", b"data: " + text, b"", b"id: 1", b"data", b"", b"event:other", b"data: x")
        lines += (b"", b"data:" + answer(call.body, b"{}")[:-1], b"data:}", b"", b"")
        for byte in end.join(lines):
            await call.chunk(bytes((byte,)))
        await call.end()

    assert head + tail == text
    async with bench(session, script) as b:
        messages = await b.ask()
    assert kinds(messages) == ["notifications/message", "result"]
    assert bytes(messages[0].params or b"") == text[text.index(b'{"data') : -1]


@pytest.mark.trap(21)
async def test_one_large_event_comes_through(session: aiohttp.ClientSession) -> None:
    text = b'{"text":"' + b"x" * 1_500_000 + b'"}'

    async def script(call: Call) -> None:
        await call.stream()
        await call.event(answer(call.body, text))

    async with bench(session, script, limit=2_000_000) as b:
        assert [body_of(message) for message in await b.ask()] == [text]


@pytest.mark.trap(69)
async def test_megabytes_pass_both_ways(session: aiohttp.ClientSession) -> None:
    text = b'{"text":"' + b"y" * 5_000_000 + b'"}'

    async def script(call: Call) -> None:
        assert call.header("Content-Length") == str(len(call.body))
        await call.answer(answer(call.body, text))

    async with bench(session, script, limit=6_000_000) as b:
        assert [body_of(message) for message in await b.ask(ask(params=text))] == [text]
        assert b.server.calls[0].body == ask(params=text).body


async def test_an_event_that_the_server_did_not_finish_counts_when_it_is_whole(session: aiohttp.ClientSession) -> None:
    async def script(call: Call) -> None:
        await call.answer(b"data: " + answer(call.body, RESULT), media_type="text/event-stream")

    async with bench(session, script) as b:
        assert kinds(await b.ask()) == ["result"]


async def test_session_id_and_cookies_stand_in_the_head(session: aiohttp.ClientSession) -> None:
    async def script(call: Call) -> None:
        cookies = [("Set-Cookie", "a=1; Path=/; HttpOnly"), ("set-cookie", "b=2")]
        await call.answer(answer(call.body, RESULT), headers=[("mcp-session-id", "s-1"), *cookies])

    async with bench(session, script) as b:
        async with b.channel.exchange(ask()) as exchange:
            assert exchange.head is not None
            assert exchange.head.session_id == "s-1"
            assert exchange.head.set_cookies == ("a=1", "b=2")
        await b.ask()
        assert b.server.calls[1].header("Cookie") is None


# Requests.


@pytest.mark.trap(25)
async def test_a_request_carries_the_headers_that_it_should_and_no_other(session: aiohttp.ClientSession) -> None:
    configured = {"Authorization": "Bearer configured", "X-Team": "blue"}
    own = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Name": "=?base64?w6k=?=", "x-team": "red"}
    async with bench(session, proper, headers=configured) as b:
        await b.ask(ask(headers=own))
        call = b.server.calls[0]
        length = str(len(ask().body))
    assert call.method == "POST"
    assert sorted((name.lower(), value) for name, value in call.headers) == [
        ("accept", "application/json, text/event-stream"),
        ("accept-encoding", "identity"),
        ("authorization", "Bearer configured"),
        ("content-length", length),
        ("content-type", "application/json"),
        ("host", b.server.origin.removeprefix("http://")),
        ("mcp-name", "=?base64?w6k=?="),
        ("mcp-protocol-version", "2026-07-28"),
        ("user-agent", "mcp-gateway/0.1.0"),
        ("x-team", "red"),
    ]


@pytest.mark.trap(23)
async def test_headers_of_one_hop_never_travel(session: aiohttp.ClientSession) -> None:
    hop = {
        "Connection": "X-Secret, close",
        "Content-Length": "1",
        "Expect": "100-continue",
        "Keep-Alive": "1",
        "Proxy-Authorization": "Basic eDp5",
        "TE": "trailers",
        "Transfer-Encoding": "chunked",
        "Upgrade": "h2c",
    }
    own = {**hop, "Host": "evil.example", "Accept": "*/*", "Content-Type": "text/plain", "Accept-Encoding": "br"}
    async with bench(session, proper, headers=hop) as b:
        await b.ask(ask(headers=own))
        call = b.server.calls[0]
    assert {name.lower() for name, _ in call.headers} == {
        *("accept", "accept-encoding", "content-length", "content-type", "host", "user-agent")
    }
    assert call.header("Content-Length") == str(len(call.body))
    assert call.header("Host") == b.server.origin.removeprefix("http://")
    assert call.header("Accept-Encoding") == "identity"


async def test_credentials_in_the_url_become_a_header(session: aiohttp.ClientSession) -> None:
    async with ScriptedServer(proper) as server:
        url = server.url.replace("://", "://user:p%40ss@")
        for headers, expected in (({}, "Basic dXNlcjpwQHNz"), ({"authorization": " Bearer b\n"}, "Bearer b")):
            channel = HttpChannel(session, url, headers=headers, limits=Limits(), timeouts=Timeouts())
            await channel.send(ask().body, {})
            assert server.calls[-1].header("Authorization") == expected


async def test_a_header_that_holds_a_line_break_is_never_sent(session: aiohttp.ClientSession) -> None:
    async with bench(session, proper) as b:
        with pytest.raises(GatewayError, match="holds what no header can") as raised:
            await b.channel.send(b"{}", {"X-A": "1\r\nX-B: 2"})
        assert raised.value.unsent
        assert not b.server.calls


@pytest.mark.trap(65)
async def test_connections_are_shared_and_streams_starve_nobody(session: aiohttp.ClientSession) -> None:
    async def script(call: Call) -> None:
        if b'"id":1,' in call.body:
            await proper(call)
        else:
            await call.stream()
            await call.event(progress(7, 1))

    async with bench(session, script) as b:
        async with asyncio.timeout(PATIENCE):
            for _ in range(20):
                await b.ask(ask(1))
            assert b.server.connections == 1
            streams = [b.channel.exchange(ask(100 + n)) for n in range(120)]
            opened = await asyncio.gather(*(stream.__aenter__() for stream in streams))
            await asyncio.gather(*(anext(aiter(exchange)) for exchange in opened))
            assert kinds(await b.ask(ask(1))) == ["result"]
            await asyncio.gather(*(stream.__aexit__(None, None, None) for stream in streams))


async def test_a_connection_serves_again_after_a_stream_that_ended(session: aiohttp.ClientSession) -> None:
    async def script(call: Call) -> None:
        await call.stream()
        await call.event(answer(call.body, RESULT))
        await call.end()

    async with bench(session, script) as b:
        for _ in range(5):
            await b.ask()
            await b.channel._tasks.close(PATIENCE)
        assert b.server.connections == 1


async def test_a_stream_that_stays_open_after_the_answer_is_closed(session: aiohttp.ClientSession) -> None:
    async def script(call: Call) -> None:
        await call.stream()
        await call.event(answer(call.body, RESULT))
        await call.gone()

    async with bench(session, script) as b:
        assert kinds(await b.ask()) == ["result"]
        await b.server.abandoned()


@pytest.mark.point(53)
@one_loop
@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("absolute", [False, True])
async def test_a_redirect_within_the_origin_is_followed_with_the_same_message(
    session: aiohttp.ClientSession, status: int, absolute: bool
) -> None:
    async def script(call: Call) -> None:
        if call.target == "/mcp":
            prefix = b.server.origin if absolute else ""
            await call.answer(b"", status, None, [("Location", f"{prefix}/mcp/")])
        else:
            await proper(call)

    async with bench(session, script, headers={"Authorization": "Bearer x"}) as b:
        assert kinds(await b.ask()) == ["result"]
        second = b.server.calls[1]
    assert (second.method, second.target, second.body) == ("POST", "/mcp/", ask().body)
    assert second.header("Authorization") == "Bearer x"


@pytest.mark.point(53)
@one_loop
@pytest.mark.parametrize(
    ("status", "location"),
    [
        (301, "/mcp/"),
        (302, "/mcp/"),
        (303, "/mcp/"),
        (307, "http://127.0.0.1:1/mcp"),
        (308, "//evil.example/"),
        (307, None),
    ],
)
async def test_every_other_redirect_is_a_refusal(
    session: aiohttp.ClientSession, status: int, location: str | None
) -> None:
    script = replies(b"", status, None, [("Location", location)] if location else [])
    async with bench(session, script) as b:
        error = await b.failed()
        assert len(b.server.calls) == 1
        if location is not None and location.startswith("/mcp"):
            assert f"a redirect to {b.server.origin};" in error.message
    assert (error.kind, error.reason) == (Kind.SERVER_STATUS, f"status_{status}")


async def test_redirects_in_circles_end(session: aiohttp.ClientSession) -> None:
    async with bench(session, replies(b"", 307, None, [("Location", "/mcp")])) as b:
        error = await b.failed()
    assert (error.kind, error.reason) == (Kind.SERVER_PROTOCOL, "redirects")


# Refusals and nonsense.


@pytest.mark.point(53)
@one_loop
@pytest.mark.parametrize("status", [401, 403, 404, 405, 406, 410, 429, 500, 502, 503])
async def test_a_page_of_an_error_is_a_refusal_with_its_status(session: aiohttp.ClientSession, status: int) -> None:
    page = b"<html><h1>Bad Gateway</h1></html>"
    async with bench(session, replies(page, status, "text/html", [("Mcp-Session-Id", "s")])) as b:
        error = await b.failed()
        assert (error.kind, error.reason, error.unsent) == (Kind.SERVER_STATUS, f"status_{status}", False)
        assert isinstance(error, RefusedByStatus)
        assert (error.head.status, error.head.session_id) == (status, "s")
        assert "html" not in error.message
        assert str(status) in error.message


@one_loop
@pytest.mark.parametrize("status", [200, 400, 404, 429, 500])
@pytest.mark.parametrize("id", [b'"id":7,', b'"id":null,', b""])
async def test_a_jsonrpc_error_counts_at_any_status(session: aiohttp.ClientSession, status: int, id: bytes) -> None:
    error = b'{"code":-32022,"message":"no","data":{"supported":["1.0"]}}'
    script = replies(b'{"jsonrpc":"2.0",' + id + b'"error":' + error + b"}", status)
    async with bench(session, script) as b, b.channel.exchange(ask()) as exchange:
        messages = [message async for message in exchange]
        assert exchange.head is not None
        assert exchange.head.status == status
    assert kinds(messages) == ["error"]
    assert body_of(messages[0]) == error
    assert bytes(messages[0].id or b"") == b"7"


async def test_a_refusal_may_carry_an_invented_id(session: aiohttp.ClientSession) -> None:
    text = b'{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Session not found"}}'
    async with bench(session, replies(text, 404)) as b:
        assert kinds(await b.ask()) == ["error"]


async def test_a_refusal_in_words_tells_them_without_our_credentials(session: aiohttp.ClientSession) -> None:
    async def script(call: Call) -> None:
        text = f'{{"error": "No valid session;\n you sent {call.header("Authorization")}"}}'
        await call.answer(text.encode(), 400)

    async with bench(session, script, path="?key=hush-hush", headers={"Authorization": "Bearer hunter2-hunter2"}) as b:
        message = (await b.failed()).message
    assert message == 'the server answered with HTTP status 400: {"error": "No valid session; you sent Bearer ***"}'


async def test_a_refusal_in_a_coding_that_we_do_not_know_is_a_refusal_all_the_same(
    session: aiohttp.ClientSession,
) -> None:
    async with bench(session, replies(b"\x0b\x02", 503, "text/html", [("Content-Encoding", "br")])) as b:
        assert (await b.failed()).reason == "status_503"


async def test_the_head_is_known_though_the_body_is_beyond_us(session: aiohttp.ClientSession) -> None:
    async with bench(session, too_long_announced) as b, b.channel.exchange(ask()) as exchange:
        assert exchange.head is not None
        with pytest.raises(GatewayError):
            await anext(exchange)


async def test_a_refusal_that_never_ends_is_cut(session: aiohttp.ClientSession) -> None:
    async def script(call: Call) -> None:
        await call.raw(b"HTTP/1.1 503 Busy\r\nContent-Type: text/plain\r\n\r\n")
        while True:
            await call.raw(b"busy " * 10_000)

    async with bench(session, script) as b:
        error = await b.failed()
        assert error.reason == "status_503"
        await b.server.abandoned()


@pytest.mark.point(53)
@one_loop
@pytest.mark.parametrize(
    ("script", "kind", "reason"),
    [
        (replies(b"<html>hello</html>", 200, "text/html"), Kind.SERVER_PROTOCOL, "media_type"),
        (replies(b"hello there", 200, "application/json"), Kind.SERVER_PROTOCOL, "malformed"),
        (replies(b"hi", 200, "application/json"), Kind.SERVER_PROTOCOL, "malformed"),
        (replies(b'{"jsonrpc":"2.0","id":7,"result":{"a":', 200), Kind.SERVER_PROTOCOL, "malformed"),
        (replies(b'{"jsonrpc":"2.0","id":7,"result":{"a":NaN}}', 200), Kind.SERVER_PROTOCOL, "malformed"),
        (replies(b'{"jsonrpc":"2.0","id":7,"result":{"a":"\xff"}}', 200), Kind.SERVER_PROTOCOL, "malformed"),
        (replies(b'\xef\xbb\xbf{"jsonrpc":"2.0","id":7,"result":{}}', 200), Kind.SERVER_PROTOCOL, "malformed"),
        (
            replies(b'{"jsonrpc":"2.0","id":7,"result":' + b"[" * 500 + b"]" * 500 + b"}"),
            Kind.SERVER_PROTOCOL,
            "malformed",
        ),
        (replies(b'{"ok":true}', 200), Kind.SERVER_PROTOCOL, "malformed"),
        (replies(b"data: {oops\n\n", 200, "text/event-stream"), Kind.SERVER_PROTOCOL, "malformed"),
        (replies(b"", 200), Kind.SERVER_PROTOCOL, "no_answer"),
        (replies(b"", 202, None), Kind.SERVER_PROTOCOL, "no_answer"),
        (replies(b"", 204, None), Kind.SERVER_PROTOCOL, "no_answer"),
        (replies(b": nothing\n\n", 200, "text/event-stream"), Kind.SERVER_CLOSED, "stream_ended"),
        (replies(b"", 200, "text/event-stream"), Kind.SERVER_CLOSED, "stream_ended"),
    ],
)
async def test_nonsense_has_a_name(session: aiohttp.ClientSession, script: Script, kind: Kind, reason: str) -> None:
    async with bench(session, script) as b:
        error = await b.failed()
    assert (error.kind, error.reason, error.unsent) == (kind, reason, False)


@pytest.mark.point(53)
@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata:",
    ],
)
async def test_an_answer_that_breaks_off_is_told_from_one_that_ended(
    session: aiohttp.ClientSession, raw: bytes
) -> None:
    async def script(call: Call) -> None:
        await call.raw(raw)
        call.close()

    async with bench(session, script) as b:
        error = await b.failed()
    assert (error.kind, error.reason, error.unsent) == (Kind.SERVER_CLOSED, "truncated", False)


@pytest.mark.parametrize(
    "raw",
    [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"],
    ids=["another protocol", "a head without end"],
)
async def test_what_is_no_http_is_named(session: aiohttp.ClientSession, raw: bytes) -> None:
    async def script(call: Call) -> None:
        await call.raw(raw)

    async with bench(session, script) as b:
        error = await b.failed()
    assert (error.kind, error.reason) == (Kind.SERVER_PROTOCOL, "http")


async def test_responses_to_others_are_counted_and_skipped(session: aiohttp.ClientSession) -> None:
    async def script(call: Call) -> None:
        await call.stream()
        for other in (b"8", b'"7"', b"70"):
            await call.event(b'{"jsonrpc":"2.0","id":%b,"result":{}}' % other)
        await call.event(answer(call.body, RESULT))

    async with bench(session, script) as b:
        assert [body_of(message) for message in await b.ask()] == [RESULT]
        assert b.dropped == [Dropped.UNMATCHED] * 3


async def test_a_json_answer_to_another_request_is_none(session: aiohttp.ClientSession) -> None:
    async with bench(session, replies(b'{"jsonrpc":"2.0","id":8,"result":{}}')) as b:
        assert (await b.failed()).reason == "no_answer"
        assert b.dropped == [Dropped.UNMATCHED]


# Limits.


async def too_long_announced(call: Call) -> None:
    await call.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n{")


async def too_long_json(call: Call) -> None:
    await call.stream(media_type="application/json")
    while True:
        await call.chunk(b'{"jsonrpc":"2.0","id":7,"result":"' + b"x" * 50_000)


async def too_long_event(call: Call) -> None:
    await call.stream()
    while True:
        await call.chunk(b"data: " + b"x" * 50_000)


async def too_many_lines(call: Call) -> None:
    await call.stream()
    while True:
        await call.chunk(b"data: x\n" * 5_000)


async def bomb(call: Call) -> None:
    packed = gzip.compress(b'{"jsonrpc":"2.0","id":7,"result":"' + b"0" * 30_000_000, 1)
    await call.answer(packed, headers=[("Content-Encoding", "gzip")])


@pytest.mark.trap(26)
@pytest.mark.parametrize("script", [too_long_announced, too_long_json, too_long_event, too_many_lines, bomb])
async def test_an_answer_beyond_the_limit_is_cut(session: aiohttp.ClientSession, script: Script) -> None:
    async with bench(session, script) as b:
        error = await b.failed()
        assert error.kind is Kind.ANSWER_TOO_LARGE
        assert "limits.response_bytes (1000000)" in error.message
        await b.server.abandoned()


@pytest.mark.point(53)
@one_loop
@pytest.mark.trap(26)
@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)),
        ("identity", bytes),
        ("GZIP", gzip.compress),
    ],
)
async def test_a_server_that_compresses_unasked_is_understood(
    session: aiohttp.ClientSession, coding: str, pack: Callable[[bytes], bytes]
) -> None:
    async def script(call: Call) -> None:
        data = pack(answer(call.body, RESULT))
        await call.stream([("Content-Encoding", coding)], "application/json")
        for byte in data:
            await call.chunk(bytes((byte,)))
        await call.end()

    async with bench(session, script) as b:
        assert [body_of(message) for message in await b.ask()] == [RESULT]


@pytest.mark.trap(26)
async def test_compressed_events_come_through_one_by_one(session: aiohttp.ClientSession) -> None:
    seen = asyncio.Event()

    async def script(call: Call) -> None:
        packer = zlib.compressobj(wbits=31)
        await call.stream([("Content-Encoding", "gzip")])
        await call.chunk(packer.compress(b"data: " + progress(7, 1) + b"\n\n") + packer.flush(zlib.Z_SYNC_FLUSH))
        await seen.wait()
        await call.chunk(packer.compress(b"data: " + answer(call.body, RESULT) + b"\n\n") + packer.flush())
        await call.end()

    got = []
    async with asyncio.timeout(PATIENCE), bench(session, script) as b, b.channel.exchange(ask()) as exchange:
        async for message in exchange:
            got.append(message)
            seen.set()
    assert kinds(got) == ["notifications/progress", "result"]


@one_loop
@pytest.mark.trap(26)
@pytest.mark.parametrize(
    ("coding", "data", "said"),
    [
        ("br", b"\x0b\x02\x80", "'br'"),
        ("zstd", b"\x28\xb5\x2f\xfd", "'zstd'"),
        ("gzip, gzip", b"", "'gzip, gzip'"),
        ("gzip", b"not gzip at all", "damaged"),
        ("gzip", gzip.compress(b'{"jsonrpc":"2.0","id":7,"result":{}}', mtime=0)[:-9], "cut short"),
    ],
)
async def test_what_cannot_be_unpacked_is_named(
    session: aiohttp.ClientSession, coding: str, data: bytes, said: str
) -> None:
    async with bench(session, replies(data, headers=[("Content-Encoding", coding)])) as b:
        error = await b.failed()
    assert (error.kind, error.reason) == (Kind.SERVER_PROTOCOL, "coding")
    assert said in error.message


# Time.


@pytest.mark.point(53)
async def test_a_server_that_never_answers_times_out(session: aiohttp.ClientSession) -> None:
    async def script(call: Call) -> None:
        await call.gone()

    async with bench(session, script, first_byte=0.05) as b:
        error = await b.failed()
        assert (error.kind, error.reason, error.unsent) == (Kind.TIMEOUT, "first_byte", False)
        await b.server.abandoned()


@pytest.mark.point(53)
async def test_bytes_that_are_no_message_keep_nobody_waiting(session: aiohttp.ClientSession) -> None:
    async def comments(call: Call) -> None:
        await call.stream()
        while True:
            await call.chunk(b": still here\n\n")
            await asyncio.sleep(0.01)

    async def loris(call: Call) -> None:
        await call.stream(media_type="application/json")
        for byte in answer(call.body, b'"' + b"x" * 10_000 + b'"'):
            await call.chunk(bytes((byte,)))
            await asyncio.sleep(0.01)

    for script in (comments, loris):
        async with bench(session, script, idle=0.1) as b:
            error = await b.failed()
            assert (error.kind, error.reason) == (Kind.TIMEOUT, "idle")
            await b.server.abandoned()


@pytest.mark.trap(29)
async def test_progress_outlives_the_idle_timeout(session: aiohttp.ClientSession) -> None:
    async def script(call: Call) -> None:
        await call.stream()
        for done in range(4):
            await call.event(progress(7, done))
            await asyncio.sleep(0.15)
        await call.event(answer(call.body, RESULT))

    async with bench(session, script, idle=0.4) as b:
        assert len(await b.ask()) == 5


# Connections.


def refused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:{port}/mcp?token=hush", "refused"),
        ("http://user:hush@127.0.0.1:{port}/mcp", "refused"),
        ("http://no-such-host.invalid/hush", "dns"),
        ("http://255.255.255.255/hush", "unreachable"),
    ],
)
async def test_a_server_that_cannot_be_reached_has_seen_nothing(
    session: aiohttp.ClientSession, url: str, reason: str
) -> None:
    channel = HttpChannel(
        session, url.format(port=refused_port()), headers={}, limits=Limits(), timeouts=Timeouts(connect=PATIENCE)
    )
    for attempt in (channel.exchange(ask()).__aenter__, lambda: channel.send(b"{}", {}), lambda: channel.delete({})):
        with pytest.raises(GatewayError) as raised:
            await attempt()
        assert (raised.value.kind, raised.value.reason, raised.value.unsent) == (Kind.SERVER_CLOSED, reason, True)
        assert "hush" not in raised.value.message


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nobody")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    clear = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "pem").write_bytes(certificate.public_bytes(pem) + key.private_bytes(pem, *clear))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "pem")
    return context


async def test_an_unknown_certificate_is_refused(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with ScriptedServer(proper, tls=self_signed(tmp_path)) as server:
        channel = HttpChannel(session, server.url, headers={}, limits=Limits(), timeouts=Timeouts())
        with pytest.raises(GatewayError, match="self-signed") as raised:
            await channel.exchange(ask()).__aenter__()
        assert not server.calls
    assert (raised.value.reason, raised.value.unsent) == ("tls", True)


async def test_a_server_without_tls_is_no_https_server(session: aiohttp.ClientSession) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        await reader.read(1)
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        channel = HttpChannel(session, f"https://127.0.0.1:{port}/", headers={}, limits=Limits(), timeouts=Timeouts())
        with pytest.raises(GatewayError) as raised:
            await channel.exchange(ask()).__aenter__()
    assert (raised.value.reason, raised.value.unsent) == ("tls", True)


async def test_a_handshake_that_never_comes_times_out_unsent(session: aiohttp.ClientSession) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        channel = HttpChannel(session, url, headers={}, limits=Limits(), timeouts=Timeouts(connect=0.05))
        with pytest.raises(GatewayError) as raised:
            await channel.exchange(ask()).__aenter__()
    assert (raised.value.kind, raised.value.reason, raised.value.unsent) == (Kind.TIMEOUT, "connect", True)


@pytest.mark.trap(28)
async def test_leaving_early_is_seen_by_the_server_at_once(session: aiohttp.ClientSession) -> None:
    gone = asyncio.Semaphore(0)

    async def silent(call: Call) -> None:
        await call.gone()
        gone.release()

    async def streaming(call: Call) -> None:
        await call.stream()
        await call.event(progress(7, 1))
        await silent(call)

    async with asyncio.timeout(PATIENCE):
        async with bench(session, silent) as b:
            asking = asyncio.get_running_loop().create_task(b.ask())
            await b.server.called(0)
            asking.cancel()
            await gone.acquire()
            await asyncio.wait({asking})
        async with bench(session, streaming) as b:
            async with b.channel.exchange(ask()) as exchange:
                await anext(aiter(exchange))
            await gone.acquire()


@pytest.mark.trap(66)
async def test_an_exchange_may_change_hands(session: aiohttp.ClientSession) -> None:
    """Opened in one task, read in another, left in a third."""
    tasks = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE), bench(session, proper) as b:
        context = b.channel.exchange(ask())
        exchange = await tasks.create_task(context.__aenter__())
        assert (await tasks.create_task(exchange.__anext__())).kind is MessageKind.RESULT
        await tasks.create_task(context.__aexit__(None, None, None))


async def test_a_server_that_does_not_read_is_left_all_the_same(session: aiohttp.ClientSession) -> None:
    """A polite close would wait until the megabytes had left."""
    loop = asyncio.get_running_loop()
    before = open_sockets()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        channel = HttpChannel(session, url, headers={}, limits=Limits(), timeouts=Timeouts())
        request = ask(params=b'{"x":"' + b"x" * 20_000_000 + b'"}')
        asking = loop.create_task(channel.exchange(request).__aenter__())
        async with asyncio.timeout(PATIENCE):
            connection, _ = await loop.sock_accept(listener)
            assert await loop.sock_recv(connection, 4) == b"POST"
            asking.cancel()
            await asyncio.wait({asking})
            await until(lambda: open_sockets() == before + 2)
        connection.close()


@pytest.mark.trap(65)
async def test_a_thousand_exchanges_that_were_left_leave_no_socket(session: aiohttp.ClientSession) -> None:
    async def script(call: Call) -> None:
        if b'"id":1' in call.body:
            await call.stream()
            await call.event(progress(7, 1))
        await call.gone()

    async def leave(n: int) -> None:
        async with b.channel.exchange(ask(1)) as exchange:
            await anext(aiter(exchange))

    async def cancel(n: int) -> None:
        asking = asyncio.get_running_loop().create_task(b.ask(ask(2)))
        await b.server.called(n)
        asking.cancel()
        await asyncio.wait({asking})

    before = open_sockets()
    async with asyncio.timeout(PATIENCE * 2), bench(session, script) as b:
        for batch in range(10):
            await asyncio.gather(*(leave(n) for n in range(50)))
            await asyncio.gather(*(cancel(100 * batch + 50 + n) for n in range(50)))
            await b.server.abandoned()
        assert b.server.connections == 1_000
        assert len(b.server.calls) == 1_000
    await until(lambda: open_sockets() == before)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what nothing announces."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@pytest.mark.trap(70)
async def test_a_request_that_may_have_arrived_is_never_sent_again(session: aiohttp.ClientSession) -> None:
    """The second request goes over a kept connection, is read, and the connection is closed without an answer."""

    async def script(call: Call) -> None:
        if len(b.server.calls) == 1:
            await proper(call)
        else:
            call.reset()

    async with bench(session, script) as b:
        await b.ask()
        error = await b.failed()
        assert (error.kind, error.unsent) == (Kind.SERVER_CLOSED, False)
        assert len(b.server.calls) == 2


@pytest.mark.trap(70)
@pytest.mark.parametrize("head_start", [0, 1])
async def test_a_connection_that_closes_as_we_send_costs_no_second_execution(
    session: aiohttp.ClientSession, head_start: int
) -> None:
    """Where nothing can have been written the request is sent again, elsewhere the error says that it may have been."""
    async with bench(session, proper) as b:
        await b.ask()
        own = b.server.calls[0].connection.writer.get_extra_info("socket")
        asking = asyncio.get_running_loop().create_task(b.ask(ask(8)))
        for _ in range(head_start):
            await asyncio.sleep(0)
        with socket.socket(fileno=os.dup(own.fileno())) as twin:
            twin.shutdown(socket.SHUT_RDWR)
        (end,) = await asyncio.gather(asking, return_exceptions=True)
        executed = len(b.server.calls) - 1
    if isinstance(end, GatewayError):
        assert (end.kind, end.unsent) == (Kind.SERVER_CLOSED, False)
        assert executed <= 1
    else:
        assert (kinds(end), executed) == (["result"], 1)


async def test_a_closed_channel_ends_what_is_in_flight_and_what_comes_later(session: aiohttp.ClientSession) -> None:
    async def script(call: Call) -> None:
        if b'"id":2' in call.body:
            await call.stream()
        await call.gone()

    async with bench(session, script) as b:
        asking = [asyncio.get_running_loop().create_task(b.ask(ask(n))) for n in (1, 2)]
        await b.server.called(1)
        await b.channel.close()
        async with asyncio.timeout(PATIENCE):
            ends = await asyncio.gather(*asking, b.ask(), return_exceptions=True)
            await b.server.abandoned()
    assert [(type(end), getattr(end, "reason", "")) for end in ends] == [(GatewayError, "closed")] * 3


async def test_after_the_session_nothing_is_sent() -> None:
    async with client_session() as session:
        pass
    channel = HttpChannel(session, "http://127.0.0.1:1/", headers={}, limits=Limits(), timeouts=Timeouts())
    with pytest.raises(GatewayError, match="stopping") as raised:
        await channel.send(b"{}", {})
    assert raised.value.unsent


# Notifications, and the end of a session.


@one_loop
@pytest.mark.parametrize("status", [200, 202, 204])
async def test_send_is_content_with_any_success(session: aiohttp.ClientSession, status: int) -> None:
    async with bench(session, replies(b"", status, None)) as b:
        await b.channel.send(b'{"jsonrpc":"2.0","method":"notifications/initialized"}', {"Mcp-Session-Id": "s"})
        call = b.server.calls[0]
    assert (call.method, call.header("Mcp-Session-Id")) == ("POST", "s")
    assert call.body == b'{"jsonrpc":"2.0","method":"notifications/initialized"}'


async def test_a_notification_that_is_refused_says_so(session: aiohttp.ClientSession) -> None:
    text = failure(b'{"id":null}', -32600, "Session terminated")
    for script, said in ((replies(text, 404), "Session terminated"), (replies(b"gone", 404, "text/plain"), "gone")):
        async with bench(session, script) as b:
            with pytest.raises(RefusedByStatus, match=said) as raised:
                await b.channel.send(b"{}", {})
            assert raised.value.head.status == 404


async def test_delete_ends_a_session(session: aiohttp.ClientSession) -> None:
    async with bench(session, replies(b"", 204, None)) as b:
        await b.channel.delete({"Mcp-Session-Id": "s"})
        call = b.server.calls[0]
    assert (call.method, call.target, call.body, call.header("Mcp-Session-Id")) == ("DELETE", "/mcp", b"", "s")


# Streams that are fetched in pieces (MCP 2025-11-25).


@pytest.mark.parametrize("politely", [True, False])
async def test_a_stream_that_its_server_keeps_is_fetched_to_the_end(
    session: aiohttp.ClientSession, politely: bool
) -> None:
    async def script(call: Call) -> None:
        await call.stream()
        if call.method == "POST":
            await call.event(b"", id="a/1", retry=1)
            await call.event(progress(7, 1), id="a/2")
        elif call.header("Last-Event-ID") == "a/2":
            await call.event(progress(7, 2), id="a/3")
        else:
            await call.event(answer(ask().body, RESULT), id="a/4")
        if politely:
            await call.end()
        else:
            await call.raw(b"5")
        call.close()

    async with bench(session, script) as b:
        messages = await b.ask(ask(headers={"Mcp-Session-Id": "s"}))
        gets = b.server.calls[1:]
    assert kinds(messages) == ["notifications/progress", "notifications/progress", "result"]
    assert [(get.method, get.header("Last-Event-ID"), get.header("Mcp-Session-Id")) for get in gets] == [
        ("GET", "a/2", "s"),
        ("GET", "a/3", "s"),
    ]
    assert gets[0].header("Content-Type") is None


@pytest.mark.parametrize(
    ("politely", "retry", "told"), [(True, 1, [1]), (True, None, []), (False, 1, [])], ids=["asked", "silent", "broken"]
)
async def test_whoever_waits_hears_that_its_server_asked_to_be_polled(
    session: aiohttp.ClientSession, politely: bool, retry: int | None, told: list[int]
) -> None:
    async def script(call: Call) -> None:
        await call.stream()
        if call.method == "POST":
            await call.event(b"", id="1", retry=retry)
        else:
            await call.event(answer(ask().body, RESULT), id="2")
        if politely:
            await call.end()
        else:
            await call.raw(b"5")
        call.close()

    heard: list[int] = []
    async with bench(session, script) as b:
        assert kinds(await b.ask(dataclasses.replace(ask(), on_pause=heard.append))) == ["result"]
    assert heard == told


async def test_a_server_that_is_polled_for_long_is_not_silent(session: aiohttp.ClientSession) -> None:
    async def script(call: Call) -> None:
        await call.stream()
        if len(b.server.calls) < 5:
            await call.event(b"", id=str(len(b.server.calls)), retry=1)
        else:
            await call.event(answer(ask().body, RESULT), id="last")
        await call.end()

    async with bench(session, script, idle=2.5 * SHORTEST_RETRY) as b:
        assert kinds(await b.ask()) == ["result"]


async def test_a_server_that_is_polled_for_nothing_is_silent(session: aiohttp.ClientSession) -> None:
    async def script(call: Call) -> None:
        await call.stream()
        await call.event(b"", id="1", retry=1)
        await call.end()

    async with bench(session, script, idle=2.5 * SHORTEST_RETRY) as b:
        error = await b.failed()
    assert (error.kind, error.reason) == (Kind.TIMEOUT, "idle")


async def test_a_server_that_says_when_to_come_back_is_not_silent_until_then(session: aiohttp.ClientSession) -> None:
    async def script(call: Call) -> None:
        await call.stream()
        if call.method == "POST":
            await call.event(b"", id="1", retry=600)
        else:
            await call.event(answer(ask().body, RESULT), id="2")
        await call.end()

    async with bench(session, script, idle=0.3) as b:
        assert kinds(await b.ask()) == ["result"]


async def test_a_server_that_never_wants_to_be_asked_again_sends_nobody_away_for_ever(
    session: aiohttp.ClientSession,
) -> None:
    told: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def script(call: Call) -> None:
        await call.stream()
        await call.event(b"", id="1", retry=10**17)
        await call.end()

    async with bench(session, script) as b:
        tasks = Tasks("test")
        waiting = tasks.spawn(b.failed_with(dataclasses.replace(ask(), on_pause=told.set_result)), "ask")
        async with asyncio.timeout(PATIENCE):
            assert await told == LONGEST_RETRY * 1_000
    assert (await waiting).reason == "closed"


async def test_a_stream_that_its_server_does_not_keep_has_ended(session: aiohttp.ClientSession) -> None:
    async def script(call: Call) -> None:
        if call.method == "GET":
            await call.answer(b"", 405, None)
        else:
            await call.stream()
            await call.event(b"", id="1", retry=1)
            await call.end()

    async with bench(session, script) as b:
        error = await b.failed()
    assert (error.kind, error.reason) == (Kind.SERVER_CLOSED, "stream_ended")


async def test_a_server_that_asks_to_be_asked_again_at_once_is_given_a_breath(session: aiohttp.ClientSession) -> None:
    asked: list[float] = []

    async def script(call: Call) -> None:
        asked.append(asyncio.get_running_loop().time())
        await call.stream()
        if call.method == "POST":
            await call.event(b"", id="1", retry=0)
        else:
            await call.event(answer(ask().body, RESULT), id="2")
        await call.end()

    async with bench(session, script) as b:
        assert kinds(await b.ask(ask())) == ["result"]
    assert asked[1] - asked[0] >= SHORTEST_RETRY


# Faithfulness.


@pytest.mark.trap(22)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(params=texts.bodies, result=texts.bodies, streamed=st.booleans())
async def test_every_value_keeps_its_bytes_both_ways(
    session: aiohttp.ClientSession, params: bytes, result: bytes, streamed: bool
) -> None:
    note = b'{"jsonrpc":"2.0","method":"notifications/message","params":%b}' % result

    async def script(call: Call) -> None:
        if streamed:
            await call.stream()
            await call.event(note)
            await call.event(answer(call.body, result))
            await call.end()
        else:
            await call.answer(answer(call.body, result))

    async with bench(session, script) as b:
        messages = await b.ask(ask(params=params))
        assert b.server.calls[0].body == ask(params=params).body
    assert body_of(messages[-1]) == result
    assert messages[-1].kind is MessageKind.RESULT
    assert [bytes(message.params or b"") for message in messages[:-1]] == [result] * streamed
