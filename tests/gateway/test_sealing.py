import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.sealing import BadSeal, Sealer

OLD, NEW = b"o" * 32, b"n" * 32
NONCE = b"123456789012"


@given(st.binary(max_size=2_000))
def test_what_was_sealed_comes_back_byte_for_byte(plain):
    sealer = Sealer([NEW], "session")
    assert sealer.unseal(sealer.seal(plain, NONCE)) == plain


def test_a_token_is_visible_ascii_without_padding():
    token = Sealer([NEW], "session").seal(b"\xff" * 100, NONCE)
    assert all(0x21 <= ord(char) <= 0x7E for char in token)
    assert "=" not in token


@example(31, 229)  # "-" for "+", which another alphabet of base64 takes for the same
@given(st.integers(min_value=0, max_value=10_000), st.integers(min_value=1, max_value=255))
def test_a_changed_token_is_refused(position, change):
    sealer = Sealer([NEW], "session")
    token = bytearray(sealer.seal(b"user 7", NONCE).encode())
    position %= len(token) - 1  # the last character may hold unused bits
    token[position] = 33 + (token[position] - 33 + 1 + change % 92) % 94
    with pytest.raises(BadSeal):
        sealer.unseal(token.decode())


def test_a_seal_of_another_purpose_is_refused():
    token = Sealer([NEW], "session").seal(b"x", NONCE)
    with pytest.raises(BadSeal):
        Sealer([NEW], "state").unseal(token)


@pytest.mark.point(61)
def test_rotation_keeps_old_tokens_alive_until_the_key_leaves_the_ring():
    token = Sealer([OLD], "session").seal(b"x", NONCE)
    assert Sealer([NEW, OLD], "session").unseal(token) == b"x"
    with pytest.raises(BadSeal):
        Sealer([NEW], "session").unseal(token)


@pytest.mark.parametrize("token", ["", "a", "!!!!", "é", "AAAA", "A" * 5_000])
def test_anything_else_is_refused(token):
    with pytest.raises(BadSeal):
        Sealer([NEW], "session").unseal(token)


def test_a_short_key_is_a_programming_error():
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer([b"short"], "session")


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_what_is_sealed_alike_is_alike_when_it_is_equal_and_then_alone(one, other):
    sealer = Sealer([NEW, OLD], "task")
    assert sealer.unseal(sealer.seal_alike(one)) == one
    assert (sealer.seal_alike(one) == Sealer([NEW], "task").seal_alike(other)) == (one == other)


def test_purposes_and_keys_seal_otherwise():
    tokens = {Sealer([key], purpose).seal_alike(b"x") for key in (OLD, NEW) for purpose in ("task", "state")}
    assert len(tokens) == len({token[6:22] for token in tokens}) == 4
