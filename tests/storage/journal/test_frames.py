"""The format of a journal: whatever happens to the bytes, every whole frame among them is found, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.journal.frames import (
    SEGMENT_BYTES,
    SYNC,
    Damage,
    Frame,
    SegmentHeader,
    Type,
    decode_header,
    encode,
    encode_header,
    scan,
)

ID = 0x1234_5678_9ABC_DEF0
bodies = st.lists(st.binary(max_size=60) | st.just(SYNC * 3), min_size=1, max_size=8)


def written(texts: list[bytes], first: int = 1) -> list[bytes]:
    return [encode(ID, number, Type.STARTED, text) for number, text in enumerate(texts, first)]


def found(text: bytes) -> list[tuple[int, bytes]]:
    return [(part.number, part.body) for part in scan(ID, text) if isinstance(part, Frame)]


def damage(text: bytes) -> list[Damage]:
    return [part for part in scan(ID, text) if isinstance(part, Damage)]


@given(bodies, st.integers(0, 200))
def test_what_was_written_is_found_and_unused_room_is_none(texts: list[bytes], room: int) -> None:
    text = b"".join(written(texts)) + bytes(room)
    assert found(text) == list(enumerate(texts, 1))
    assert damage(text) == []


@pytest.mark.trap(49)
@given(bodies, st.data())
def test_a_torn_tail_costs_the_last_frame_alone(texts: list[bytes], data: st.DataObject) -> None:
    frames = written(texts)
    cut = data.draw(st.integers(0, len(frames[-1]) - 1))
    text = b"".join(frames[:-1]) + frames[-1][:cut]
    assert found(text) == list(enumerate(texts, 1))[:-1]
    assert all(one.torn for one in damage(text))
    whole = not frames[-1][cut:].strip(b"\0")  # what was cut off were zeros, which unused room is made of
    assert found(text + bytes(500)) == list(enumerate(texts, 1))[: None if whole else -1]


@given(bodies, st.data())
def test_a_flipped_bit_costs_its_frame_alone_and_is_told(texts: list[bytes], data: st.DataObject) -> None:
    frames = written(texts)
    index = data.draw(st.integers(0, len(frames) - 1))
    at, bit = data.draw(st.integers(0, len(frames[index]) - 1)), data.draw(st.integers(0, 7))
    frames[index] = frames[index][:at] + bytes([frames[index][at] ^ 1 << bit]) + frames[index][at + 1 :]
    rest = [pair for pair in enumerate(texts, 1) if pair[0] != index + 1]
    text = b"".join(frames)
    assert found(text) == rest
    assert len(damage(text)) == 1
    assert damage(text)[0].torn == (index == len(frames) - 1)


@given(bodies)
def test_frames_of_another_journal_inside_a_damaged_one_are_none(texts: list[bytes]) -> None:
    inner = b"".join(encode(ID + 1, number, Type.STARTED, text) for number, text in enumerate(texts, 5))
    outer = bytearray(encode(ID, 1, Type.STARTED, inner))
    outer[8] ^= 1
    assert found(bytes(outer) + encode(ID, 2, Type.FINISHED, b"x")) == [(2, b"x")]


def test_frames_whose_numbers_go_back_are_none() -> None:
    text = encode(ID, 3, Type.STARTED, b"a") + encode(ID, 3, Type.STARTED, b"b") + encode(ID, 4, Type.SEALED, b"")
    assert found(text) == [(3, b"a"), (4, b"")]


@given(st.binary(max_size=300))
def test_any_bytes_can_be_looked_through(text: bytes) -> None:
    assert all(isinstance(part, Damage) for part in scan(ID, text))


def test_a_header_is_read_whole_or_not_at_all() -> None:
    header = SegmentHeader(ID, 7, 1_790_000_000_000_000)
    text = encode_header(header)
    assert (len(text), decode_header(text + b"more")) == (SEGMENT_BYTES, header)
    for at in range(len(text)):
        assert decode_header(text[:at]) is None
        assert decode_header(text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :]) is None
