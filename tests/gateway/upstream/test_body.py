"""Messages out of the bytes of an answer, whatever the chunks."""

from __future__ import annotations

import gzip

from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.body import BodyReader
from tests.support import texts

ends = st.sampled_from((b"\n", b"\r\n", b"\r"))


def read(media_type: str, chunks: list[bytes], coding: str = "") -> list[bytes]:
    """The parameters or the result of each message."""
    reader = BodyReader(media_type, coding, 1_000_000)
    messages = [message for chunk in chunks for message in reader.feed(chunk)]
    return [bytes(message.params or message.body or b"") for message in (*messages, *reader.end())]


def cut(text: bytes, size: int) -> list[bytes]:
    return [text[start : start + size] for start in range(0, len(text), size)]


@given(st.lists(texts.bodies, max_size=4), ends, st.integers(1, 40), st.booleans())
def test_the_events_of_a_stream_are_the_same_however_it_is_cut(
    bodies: list[bytes], end: bytes, size: int, labelled: bool
) -> None:
    lines = [line for body in bodies for line in (b"event: message", b"data: " + note(body), b"")]
    stream = end.join((b": hello", b"", *lines, b""))
    assert read("text/event-stream" if labelled else "application/json", cut(stream, size)) == bodies


@given(texts.bodies, st.integers(1, 40), st.sampled_from(("application/json", "text/event-stream", "", "text/plain")))
def test_a_json_text_is_one_message_however_it_is_cut_and_labelled(body: bytes, size: int, media_type: str) -> None:
    assert read(media_type, cut(b"\r\n " + note(body) + b"\n", size)) == [body]
    assert read(media_type, cut(gzip.compress(note(body)), size), "gzip") == [body]


@given(st.lists(texts.bodies, min_size=1, max_size=4), st.integers(1, 40))
def test_an_array_is_its_messages_with_their_own_bytes(bodies: list[bytes], size: int) -> None:
    array = b"[" + b" ,\n\t".join(note(body) for body in bodies) + b" ]"
    assert read("application/json", cut(array, size)) == bodies


def note(params: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","method":"notifications/message","params":%b}' % params
