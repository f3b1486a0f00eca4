"""JSON texts that are easy to damage, as hypothesis strategies: bytes, never Python values."""

from __future__ import annotations

from hypothesis import strategies as st

SCALARS = (
    *(b"0", b"-0", b"1.10", b"1e2", b"1E+2", b"1E400", b"-0.0", b"0.1000", b"10000000000000000000000"),
    *(b"9007199254740993", b"1.7976931348623159e308", b"3.141592653589793238462643383279"),
    *(b"true", b"false", b"null"),
    *(b'""', b'"\\u00e9"', '"é"'.encode(), b'"\\/"', b'"/"', b'"\\ud800"', b'"\\udc00 alone"', b'"\\ud83d\\ude00"'),
    *('"😀"'.encode(), '"\u2028\u2029\u0085"'.encode(), b'"\\n\\r\\t\\u0000"', b'"data: x\\n\\nid: 1"', b'"<\\u0026>"'),
)
"""Each is valid JSON that a decoder and an encoder together would change, or that a careless framing would cut."""

KEYS = (b'"b"', b'"a"', b'"\\u0061b"', b'""', b'"id"', b'"result"', b'"jsonrpc"', b'"x-vendor"', '"ü"'.encode(), b'"1"')

_blank = st.sampled_from((b"", b"", b" ", b"\t", b"  "))


def _array(items: list[bytes], blank: bytes) -> bytes:
    return b"[" + blank + (b"," + blank).join(items) + b"]"


def _object(members: list[tuple[bytes, bytes]], blank: bytes) -> bytes:
    return b"{" + blank + (blank + b"," + blank).join(key + blank + b":" + value for key, value in members) + b"}"


def objects(values: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Objects without a key that stands twice."""
    members = st.lists(st.tuples(st.sampled_from(KEYS), values), max_size=5, unique_by=lambda member: member[0])
    return st.builds(_object, members, _blank)


values = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.builds(_array, st.lists(inner, max_size=4), _blank) | objects(inner),
    max_leaves=12,
)
"""Any JSON text, without CR and LF."""

bodies = objects(values)
"""JSON objects, as `params` and `result` are."""
