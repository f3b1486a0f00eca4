"""Compressed bytes unfold in small pieces."""

from __future__ import annotations

import zlib

import pytest

from gateway.errors import GatewayError
from gateway.upstream.inflate import PIECE, Inflater


@pytest.mark.trap(26)
@pytest.mark.parametrize(("coding", "window"), [("gzip", 31), ("deflate", 15), ("deflate", -15)])
def test_a_bomb_unfolds_in_pieces_that_can_be_refused_one_by_one(coding: str, window: int) -> None:
    bomb = zlib.compress(b"\0" * 20_000_000, wbits=window)
    assert len(bomb) < 65_536
    sizes = [len(piece) for piece in Inflater(coding).feed(bomb)]
    assert max(sizes) <= PIECE
    assert sum(sizes) == 20_000_000


def test_what_follows_the_end_is_ignored_and_a_missing_end_is_told() -> None:
    inflater = Inflater("gzip")
    packed = zlib.compress(b"text", wbits=31)
    assert b"".join(inflater.feed(packed + b"more")) == b"text"
    assert b"".join(inflater.feed(b"and more")) == b""
    inflater.end()
    cut = Inflater("gzip")
    assert list(cut.feed(packed[:1])) == []
    with pytest.raises(GatewayError, match="cut short"):
        cut.end()
