"""Lines out of chunks, whatever the chunks."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.framing import Edges, LineSplitter, Tail

texts = st.lists(st.binary(max_size=12) | st.just(b"\n") | st.just(b"x" * 9), max_size=30).map(b"".join)


def cut(text: bytes, places: list[int]) -> list[bytes]:
    """`text` in pieces, empty ones included."""
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


def lines_of(chunks: list[bytes], limit: int) -> list[bytes | Edges]:
    splitter = LineSplitter(limit)
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    return [*lines, splitter.end()]


@given(texts, st.lists(st.integers(0, 1_000), max_size=10))
def test_whatever_the_chunks_the_lines_are_the_same(text: bytes, places: list[int]) -> None:
    assert lines_of(cut(text, places), 1_000_000) == text.split(b"\n")


@given(texts, st.lists(st.integers(0, 1_000), max_size=10), st.integers(0, 12))
def test_a_line_beyond_the_limit_becomes_its_edges_and_its_neighbours_stay(
    text: bytes, places: list[int], limit: int
) -> None:
    expected = [line if len(line) <= limit else Edges.of(line) for line in text.split(b"\n")]
    assert lines_of(cut(text, places), limit) == expected


def test_of_a_huge_line_only_the_edges_are_kept() -> None:
    splitter = LineSplitter(1_000)
    for _ in range(10_000):
        assert list(splitter.feed(b"x" * 1_000)) == []
    assert list(splitter.feed(b"end\n")) == [Edges(b"x" * 256, b"x" * 253 + b"end")]


def test_edges_tell_a_response_from_everything_else() -> None:
    assert Edges.of(b' { "id" : 12 , "error" : {}}').response_id == 12
    assert Edges.of(b'{"error":{"id":3},"id":12}').response_id == 12
    assert Edges.of(b'{"result":{"id":3}}').response_id is None
    assert Edges.of(b'{"result":{"x":",\\"id\\":3}"}}').response_id is None
    assert Edges.of(b'{"method":"x","params":{},"id":12}').response_id is None
    assert Edges.of(b'{"id":12,"method":"x"}').response_id is None
    assert not Edges.of(b'{"jsonrpc":"2.0","id":"a","params":[').may_be_response
    assert Edges.of(b"what?").may_be_response


@given(texts, st.lists(st.integers(0, 1_000), max_size=10))
def test_a_tail_keeps_the_last_lines_cut_to_their_width(text: bytes, places: list[int]) -> None:
    tail = Tail(lines=3, width=5)
    for chunk in cut(text, places):
        tail.feed(chunk)
    *ended, open_line = (line[:5] for line in text.split(b"\n"))
    shown = [line.decode("utf-8", "replace").rstrip() for line in (*ended[-3:], open_line)]
    assert list(tail.lines) == [line for line in shown if line]
