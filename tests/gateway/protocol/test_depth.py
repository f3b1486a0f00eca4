from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given

from gateway.protocol.depth import nests_deeper
from tests.gateway.protocol.spellings import LAW, VALUES

MIB = 1 << 20


def depth_of(text: str) -> int:
    deepest, waiting = 0, [(json.loads(text), 1)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, list | dict):
            deepest = max(deepest, depth)
            waiting += [(child, depth + 1) for child in (value.values() if isinstance(value, dict) else value)]
    return deepest


@LAW
@given(VALUES)
def test_the_depth_is_exact(value: str) -> None:
    unrepeated = json.dumps(json.loads(value))  # of equal names the reader below sees the last one only
    depth = depth_of(unrepeated)
    for text in (unrepeated, f'{{"[{{":{unrepeated},"]}}":[[]]}}'):
        limit = depth if text is unrepeated else max(depth + 1, 3)
        assert not nests_deeper(text.encode(), limit)
        assert limit == 0 or nests_deeper(text.encode(), limit - 1)


@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}"), ('[{"a\\\\":', "}]"), ('["]","\\"]",', "]")])
@pytest.mark.parametrize("depth", [1, 7, 8, 9, 127, 128, 129, 500])
def test_exactly_the_limit_is_allowed(brackets: tuple[str, str], depth: int) -> None:
    opening, closing = brackets
    levels = depth * sum(opening.count(bracket) for bracket in "[{")
    text = f"{opening * depth}1{closing * depth}".encode()
    assert not nests_deeper(text, levels)
    assert nests_deeper(text, levels - 1)


def test_many_shallow_containers_are_shallow() -> None:
    assert not nests_deeper(b"[" + b"[{}]," * 100_000 + b"[]]", 3)
    assert nests_deeper(b"[" + b"[{}]," * 100_000 + b"[[[]]]]", 3)


@pytest.mark.parametrize("unit", ['"[",{},', '"]",[[]],', '"\\"[",{},', "[],", '"[","]",{},'])
def test_long_texts_are_measured_like_short_ones(unit: str) -> None:
    text = f"[{unit * 50_000}[[[[]]]]]".encode()
    assert not nests_deeper(text, 5)
    assert nests_deeper(text, 4)


def test_brackets_in_strings_do_not_count() -> None:
    assert not nests_deeper(json.dumps(["[" * 1000, "{" * 1000, '\\"[{' * 1000, "\\"]).encode(), 1)


@pytest.mark.parametrize(
    "hostile",
    [
        b"[" * (4 * MIB),
        b"[]" * (2 * MIB),
        b'{"a":' * MIB,
        b'"[' * (2 * MIB),
        b'"' * (4 * MIB),
        b"\\" * (4 * MIB),
        b'\\"' * (2 * MIB),
        b'["[",[],' * (MIB // 2),
        (b"[" * 100 + b"]" * 100) * (MIB // 50),
    ],
    ids=lambda text: text[:8].decode(),
)
def test_hostile_texts_take_little_memory_and_no_recursion(hostile: bytes) -> None:
    tracemalloc.start()
    nests_deeper(hostile, 128)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * len(hostile)
