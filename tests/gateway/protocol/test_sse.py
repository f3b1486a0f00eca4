from __future__ import annotations

import re
import tracemalloc
from collections.abc import Iterable, Iterator
from itertools import count, pairwise, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.sse import Event, EventParser, EventTooLarge, comment, event
from tests.gateway.protocol.spellings import LAW, VALUES

ENDS = (b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n")
LINES = (
    *(
        b"data",
        b"data:",
        b"data: ",
        b"data:  a",
        "data: é\u2028\u0085\x0b\x0c\x1c漢".encode(),
        b"data: b:c",
        b" data: x",
    ),
    *(b":", b": ping", b"event: message", b"event", b"event: endpoint", b"DATA: x", b"unknown: x", b"\xef\xbb\xbf"),
    *(
        b"id: 7",
        b"id",
        b"id: a\0b",
        b"id: \xff",
        b"retry: 15",
        b"retry: 1x",
        b"retry:",
        b"retry: -1",
        b"retry: \xd9\xa1",
    ),
)
STREAMS = st.lists(st.sampled_from(LINES + ENDS), max_size=12).map(b"".join)


def split(text: bytes, cuts: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


def read(chunks: Iterable[bytes], limit: int = 2_000_000) -> tuple[list[Event], str, int | None]:
    parser = EventParser(limit)
    events = list(each(chunks, parser))
    return events, parser.last_id, parser.retry


def each(chunks: Iterable[bytes], parser: EventParser) -> Iterator[Event]:
    for chunk in chunks:
        yield from parser.feed(chunk)


def by_the_standard(text: bytes) -> tuple[list[Event], str, int | None]:
    """WHATWG HTML §9.2.6, on the whole text at once."""
    events: list[Event] = []
    data, name, next_id, last_id, retry = [], b"", "", "", None
    for line in re.split(rb"\r\n|\n|\r", text.removeprefix(b"\xef\xbb\xbf"))[:-1]:
        if not line:
            last_id = next_id
            if data:
                events.append(Event(b"\n".join(data), name.decode() or "message", last_id))
            data, name = [], b""
        field, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
        elif field == b"id" and b"\0" not in value:
            next_id = value.decode(errors="replace")
        elif field == b"retry" and re.fullmatch(rb"[0-9]+", value):
            retry = int(value)
    return events, last_id, retry


@pytest.mark.trap(21)
@LAW
@given(STREAMS, st.lists(st.integers(0, 200), max_size=6))
def test_events_do_not_depend_on_chunks(stream: bytes, cuts: list[int]) -> None:
    assert read(split(stream, cuts)) == by_the_standard(stream)


@pytest.mark.trap(21)
@LAW
@given(STREAMS)
def test_events_may_come_byte_by_byte(stream: bytes) -> None:
    assert read(split(stream, range(len(stream)))) == by_the_standard(stream)


@pytest.mark.trap(21)
@pytest.mark.parametrize(
    ("chunks", "data"),
    [
        ([b"data: \xc3", b"\xa9\n\n"], ["é"]),
        ([b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n"], ["a\nb"]),
        ([b"data: a\r\rdata: b\r\r"], ["a", "b"]),
        ([b"data: a\r", b"", b"\n\r\n"], ["a"]),
        ([b"\xef", b"\xbb\xbfdata: a\n\n"], ["a"]),
        ([b": ping\n\n:\n\ndata: a\n\n"], ["a"]),
        ([b"data:a\ndata: b\ndata\n\n"], ["a\nb\n"]),
        (["data: a\u2028b\u0085c\x0b\x0cd\n\n".encode()], ["a\u2028b\u0085c\x0b\x0cd"]),
        ([b"data: unfinished\n"], []),
    ],
)
def test_streams_of_every_shape_are_read(chunks: list[bytes], data: list[str]) -> None:
    assert [event.data.decode() for event in read(chunks)[0]] == data


def test_an_event_without_data_moves_the_id_and_is_no_event() -> None:
    events, last_id, retry = read([b"id: 7\nretry: 50\n\n"])
    assert (events, last_id, retry) == ([], "7", 50)


def test_a_primed_event_has_an_id_and_no_data() -> None:
    assert event(b"", id="s.1", retry=500) == b"id: s.1\nretry: 500\ndata: \n\n"
    assert read([event(b"", id="s.1")]) == ([Event(b"", id="s.1")], "s.1", None)


def test_a_delay_that_no_clock_can_hold_is_ignored() -> None:
    assert read([b"retry: " + b"9" * 5000 + b"\n\n"])[2] is None


@pytest.mark.trap(21)
def test_a_megabyte_in_one_event_is_read_in_linear_time_and_memory() -> None:
    stream = b"data: " + b"x" * 1_000_000 + b"\n\n"
    tracemalloc.start()
    [found], _, _ = read(stream[start : start + 1000] for start in range(0, len(stream), 1000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.data) == 1_000_000
    assert peak < 5_000_000


@LAW
@given(st.lists(st.integers(0, 100), max_size=5), st.sampled_from([b"data: ", b":", b"id: ", b"x"]))
def test_an_event_beyond_the_limit_ends_the_reading(cuts: list[int], start: bytes) -> None:
    small = b"data: a\n\n"
    for stream in (small + start + b"x" * 40 + b"\n\n", small + (start + b"x" * 12 + b"\ndata: y\n") * 20 + b"\n"):
        seen: list[Event] = []
        with pytest.raises(EventTooLarge, match="39 bytes"):
            seen.extend(each(split(stream, cuts), EventParser(39)))
        assert [event.data for event in seen] == [b"a"]


def test_an_endless_line_is_not_kept() -> None:
    chunks, taken = repeat(b"x"), count()
    with pytest.raises(EventTooLarge):
        list(each((chunk for chunk, _ in zip(chunks, taken, strict=False)), EventParser(1000)))
    assert next(taken) == 1001


@LAW
@given(VALUES, st.sampled_from([None, "a.1"]))
def test_no_data_makes_two_events(value: str, id: str | None) -> None:
    events, _, _ = read([event(value.encode() + b"\n\ndata: smuggled\r\revent: x", id=id), comment()])
    assert len(events) == 1
    assert (events[0].name, events[0].id) == ("message", id or "")


@pytest.mark.parametrize("id", ["a\nb", "a\rb", "a\0b"])
def test_an_id_cannot_smuggle_a_line(id: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        event(b"{}", id=id)


def test_a_comment_is_no_event() -> None:
    assert read([comment()]) == ([], "", None)
