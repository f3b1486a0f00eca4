"""What is kept of a payload, and that every engine takes it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text as sql

from storage import payloads
from storage.database import Database
from storage.payloads import MAX_DEPTH, MAX_KEY_BYTES, Omission, dropped, payload, refused
from storage.settings import RecordingSettings
from tests.support.recording import running, world

NESTED = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
OBJECTS = b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH
LONGEST_KEY = b'{"' + b"k" * MAX_KEY_BYTES + b'":1}'


def kept(text: bytes, **changes: Any) -> Any:
    recording = RecordingSettings(**changes)
    return payload(payloads.kept(text, recording.payload_bytes, recording.exact or "needed"), recording)


FITTING = (
    b'{"a":1.10,"a":1e2,"b":[ null ]}',
    b'"\\u00e9\\/\\ud83d\\ude00 \\\\u0000"',
    '"\u2028 é 😀"'.encode(),
    NESTED,
    OBJECTS,
    b'{"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[":"]{"}',
    b"null",
    LONGEST_KEY,
)


class TestWhatFits:
    @pytest.mark.parametrize("text", FITTING, ids=lambda text: text[:20].decode())
    def test_is_kept_as_it_is(self, text: bytes) -> None:
        found = kept(text, inline_bytes=1_000_000)
        assert (found.data, found.body, found.total_bytes) == (text, None, len(text))
        assert found.sha256 == hashlib.sha256(text).digest()

    async def test_is_taken_by_every_engine(self, database: Database) -> None:
        here = await world(database)
        async with running(database, inline_bytes=1_000_000) as writer:
            for text in FITTING:
                await here.record(writer, end={"response": text})
        rows = await here.rows()
        assert [json.loads(row.response_data) for row in rows] == [json.loads(text) for text in FITTING]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'"' + b"x" * 65_536 + b'"', Omission.SIZE),
        (b"[" + NESTED + b"]", Omission.DEPTH),
        (b"[" * 100_000 + b"]" * 100_000, Omission.SIZE),
        (b"[" * 5_000 + b"]" * 5_000, Omission.DEPTH),
        (b'["\\u0000"]', Omission.NUL),
        (b'["\\\\\\u0000"]', Omission.NUL),
        (b'["\\ud800"]', Omission.SURROGATE),
        (b'["\\udc00\\ud800"]', Omission.SURROGATE),
        (b"[1e400]", Omission.NUMBER),
        (b"[-1e400]", Omission.NUMBER),
        (b"1" + b"0" * 400, Omission.NUMBER),
        (b"1" + b"0" * 10_000, Omission.NUMBER),
        (b"[NaN]", Omission.MALFORMED),
        (b"Infinity", Omission.MALFORMED),
        (b"", Omission.MALFORMED),
        (b"{", Omission.MALFORMED),
        (b'"\xff"', Omission.MALFORMED),
        (b'"\xed\xa0\x80"', Omission.MALFORMED),
    ],
    ids=lambda value: value.value if isinstance(value, Omission) else value[:12].decode("latin-1"),
)
class TestWhatDoesNotFit:
    def test_is_told_by_reason_size_and_hash_and_kept_beside(self, text: bytes, reason: Omission) -> None:
        found = kept(text)
        digest = hashlib.sha256(text).hexdigest()
        assert json.loads(found.data) == {"$omitted": reason.value, "bytes": len(text), "sha256": digest}
        assert (found.body, found.total_bytes, found.sha256.hex()) == (text, len(text), digest)

    def test_is_kept_nowhere_if_that_is_the_rule(self, text: bytes, reason: Omission) -> None:
        assert kept(text, exact="never").body is None
        assert kept(text, payload_bytes=0).body is None


def test_a_key_that_mysql_does_not_take_is_left_out() -> None:
    text = LONGEST_KEY.replace(b'":', b'k":')
    assert json.loads(kept(text, inline_bytes=1_000_000).data)["$omitted"] == "key"
    value = b'["' + b"k" * MAX_KEY_BYTES + b'"]'
    assert kept(value, inline_bytes=1_000_000).data == value


@pytest.mark.parametrize(
    ("number", "changes"),
    [
        ("18446744073709551615", False),
        ("-9223372036854775808", False),
        ("18446744073709551616", True),
        ("-9223372036854775809", True),
        ("10000000000000000000000", False),
        ("12345678901234567890123", True),
        ("0.1", False),
        ("1.10", False),
        ("1e2", False),
        ("0.30000000000000004", False),
        ("0.3000000000000000444", True),
        ("1e-400", True),
    ],
)
def test_exact_bytes_are_kept_for_numbers_that_a_double_changes(number: str, changes: bool) -> None:
    text = f'{{"n":[{number}]}}'.encode()
    assert kept(text).data == text
    assert kept(text).body == (text if changes else None)
    assert kept(text, exact="never").body is None
    assert kept(text, exact="always").body == text


def test_the_cap_cuts_the_bytes_and_not_their_size_and_hash() -> None:
    text = b'"' + b"x" * 100_000 + b'"'
    found = kept(text, payload_bytes=10)
    assert (found.body, found.total_bytes, found.sha256) == (text[:10], len(text), hashlib.sha256(text).digest())


def test_nothing_over_the_cap_is_kept_in_the_column_either() -> None:
    assert json.loads(kept(b'"0123456789"', payload_bytes=11).data)["$omitted"] == "size"
    assert kept(b'"0123456789"', payload_bytes=12).data == b'"0123456789"'


def test_what_the_database_refuses_is_told_with_its_hash() -> None:
    found = refused(kept(b"[1]", exact="always"))
    assert json.loads(found.data) == {"$omitted": "refused", "bytes": 3, "sha256": hashlib.sha256(b"[1]").hexdigest()}
    assert found.body is None


def test_what_was_dropped_unredacted_has_no_hash() -> None:
    assert json.loads(payload(dropped(Omission.MEMORY, 7), RecordingSettings()).data) == {
        "$omitted": "memory",
        "bytes": 7,
    }


@pytest.mark.parametrize("number", ["1e-99999999999999999999", "0e99999999999999999999", "-0.0e-9999999999999999999"])
def test_an_exponent_beyond_all_bounds_is_kept_as_it_is_written(number: str) -> None:
    text = f'{{"a":{number}}}'.encode()
    assert (kept(text).data, kept(text).body) == (text, text)


class TestLaws:
    @settings(deadline=None)
    @given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
    def test_the_column_always_holds_json_that_every_engine_takes(self, text: bytes) -> None:
        data = kept(text).data
        json.loads(data.decode(), parse_constant=pytest.fail)
        assert kept(data).data == data

    @settings(deadline=None)
    @given(
        st.recursive(
            st.none() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        )
    )
    def test_json_is_kept_or_its_reason_is_told(self, value: Any) -> None:
        text = json.dumps(value).encode()
        found = kept(text)
        assert found.data == text or json.loads(found.data)["$omitted"] in list(Omission)
        assert found.total_bytes == len(text)


async def test_the_column_holds_the_text_itself_but_on_mysql_which_rewrites_it(database: Database) -> None:
    here = await world(database)
    text = b'{"b":1.10,"a":[ 1e2,"\\u00e9\\/"],"b":null}'
    async with running(database) as writer:
        call = await here.record(writer, request=text)
    held = (await here.row(call.call_uid)).request_data
    assert held == text.decode() or (await _is_mysql(database) and json.loads(held) == json.loads(text))


async def _is_mysql(database: Database) -> bool:
    if database.dialect != "mysql":
        return False
    async with database.reading() as connection:
        return "MariaDB" not in str(await connection.scalar(sql("SELECT version()")))
