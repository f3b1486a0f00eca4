"""What may be kept of a text: secrets hidden, every other byte as it was."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.redact import Redactor

SECRET = "hunter2"


def redact(text: str) -> str:
    return Redactor().redact(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


def words(text: str) -> str:
    return Redactor().redact_text(text)


NAMES = (
    *("authorization", "Authorization", "Proxy-Authorization", "auth", "X-Auth-Token", "cookie", "Set-Cookie"),
    *("X-API-Key", "api_key", "apiKey", "apikey", "private_key", "PrivateKey", "aws_secret_access_key", "credentials"),
    *("password", "DB_PASSWORD", "passwd", "pass word", "secret", "client_secret", "clientSecret"),
    *("token", "access_token", "refresh-token", "id_token"),
)


class TestNames:
    @pytest.mark.parametrize("name", NAMES)
    def test_that_look_like_authorization_hide_their_value(self, name: str) -> None:
        assert redact(f'{{"a":1.10,"{name}":"{SECRET}","b":2}}') == f'{{"a":1.10,"{name}":"[redacted]","b":2}}'

    @pytest.mark.parametrize(
        "name", ["progressToken", "nextPageToken", "tokens", "author", "keyboard", "key", "monkey", "password_hint"]
    )
    def test_that_do_not_show_theirs(self, name: str) -> None:
        text = f'{{"{name}":"{SECRET}"}}'
        assert redact(text) == text

    @pytest.mark.parametrize(
        "value",
        [
            f'"{SECRET}"',
            "12",
            "1.5e-3",
            "true",
            "null",
            '""',
            "[]",
            f'["{SECRET}",["]"]]',
            f'{{"a":{{"}}":"{SECRET}"}}}}',
        ],
    )
    def test_hide_a_value_of_any_type(self, value: str) -> None:
        assert redact(f'{{"token" : {value} , "b":[1]}}') == '{"token" : "[redacted]" , "b":[1]}'

    def test_count_at_any_depth_and_every_time(self) -> None:
        deep = '[{"x":{"token":1,"token":{"token":2}}},{"token":"3"}]'
        assert redact(deep) == '[{"x":{"token":"[redacted]","token":"[redacted]"}},{"token":"[redacted]"}]'

    @pytest.mark.parametrize("name", [r"p\u0061ssword", r"\u0050\u0041SSWORD", r"api\u005fkey", r"auth\u006frization"])
    def test_count_however_they_are_spelt(self, name: str) -> None:
        assert redact(f'{{"{name}":"{SECRET}"}}') == f'{{"{name}":"[redacted]"}}'

    def test_count_within_json_that_is_a_string(self) -> None:
        inner = json.dumps({"password": SECRET, "list": [1, {"cookie": [SECRET]}], "n": 1.10})
        twice = json.dumps({"text": json.dumps({"text": inner}), "kept": "é"})
        found = json.loads(json.loads(json.loads(redact(twice))["text"])["text"])
        assert found == {"password": "[redacted]", "list": [1, {"cookie": "[redacted]"}], "n": 1.1}

    def test_count_within_words(self) -> None:
        shown = words(
            f'DB_PASSWORD={SECRET} api_key: \'{SECRET}\' --token={SECRET}, {{"secret": "{SECRET}"}} '
            f'{{\\"secret\\":\\"{SECRET}\\"}} curl -H \'X-Api-Key: {SECRET}\' {{:password=>"{SECRET}"}}'
        )
        assert SECRET not in shown
        assert shown.count("[redacted]") == 7

    def test_of_headers_hide_the_rest_of_the_line(self) -> None:
        assert words(f"Cookie: a={SECRET}; b={SECRET}\r\nHost: x") == "Cookie: [redacted]\r\nHost: x"
        assert words(f"Authorization: Digest {SECRET}, x={SECRET}\nnext") == "Authorization: [redacted]\nnext"


class TestLooks:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("Bearer abc.DEF-123_~+/==", "Bearer [redacted]"),
            ("got bearer  xyz.", "got bearer  [redacted]"),
            ("Basic dXNlcjpwYXNz", "Basic [redacted]"),
            ("sk-proj-abcdefghijklmnop is", "[redacted] is"),
            ("(ghp_abcdefghijklmnopqrstuvwxyz0123456789)", "([redacted])"),
            ("xoxb-123456789012-abcdef", "[redacted]"),
            ("id AKIAIOSFODNN7EXAMPLE.", "id [redacted]."),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.s1g-n_ature", "[redacted]"),
            ("https://bob:p@ss:w0rd@host:1/x", "https://bob:[redacted]@host:1/x"),
            ("redis://:pw@h", "redis://:[redacted]@h"),
            ("https://h/x?access_token=abc&page=2#f", "https://h/x?access_token=[redacted]&page=2#f"),
            ("https://h/x?page=2&key=abc&sig=d%2Be", "https://h/x?page=2&key=[redacted]&sig=[redacted]"),
            ("a\n-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nb", "a\n[redacted]\nb"),
            ("-----BEGIN PRIVATE KEY-----\nMII cut off", "[redacted]"),
        ],
    )  # fmt: skip
    def test_of_a_secret_hide_it(self, text: str, shown: str) -> None:
        assert words(text) == shown
        assert json.loads(redact(json.dumps({"x": [text]}))) == {"x": [shown]}
        assert json.loads(redact(_spelt_out(text))) == shown

    @pytest.mark.parametrize(
        "text",
        [
            "the bearer token of authority",
            "Basic understanding of BASIC",
            "task-based disk-usage",
            "eyJust a word",
            "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----",
            "http://host:8080/a@b",
            "mailto:bob@example.com",
            "Asia/Shanghai",
            "keyboard: qwerty",
            "the token is here",
            "a secret.",
            "x-1234567890123456789012345678901234567890",
            "550e8400-e29b-41d4-a716-446655440000",
            "sk-short",
            "key=value",
        ],
    )
    def test_of_something_else_show_it(self, text: str) -> None:
        assert words(text) == text
        assert redact(json.dumps(text)) == json.dumps(text)

    def test_are_found_in_a_text_with_lone_surrogates(self) -> None:
        assert (
            redact(r'{"a":"\ud800","token":"x","b":"Bearer \udc00abc"}')
            == r'{"a":"\ud800","token":"[redacted]","b":"Bearer \udc00abc"}'
        )
        assert redact(r'["\ud800 sk-abcdefghijklmnop"]') == r'["\ud800 [redacted]"]'


class TestEverythingElse:
    @pytest.mark.parametrize(
        "text", ['{"a":1.10,"b":1e2,"a":"\\u00e9\\/é","c":[ ],"d":10000000000000000000000}', "", "no json", '{"a":']
    )
    def test_keeps_its_bytes_and_is_not_even_copied(self, text: str) -> None:
        raw = text.encode()
        assert Redactor().redact(raw) is raw

    def test_keeps_its_bytes_beside_a_secret(self) -> None:
        text = '{"b":1.10, "\\u00e9":"\\/\\ud83d\\ude00","token":1,"a":[1E+2 ,{}],"b":"\\u0041 é"}'
        assert redact(text) == text.replace('"token":1', '"token":"[redacted]"')

    def test_may_be_cut_off_or_no_json(self) -> None:
        assert SECRET not in redact(f'{{"password":"{SECRET}')
        assert SECRET not in redact(f"password={SECRET}\n")

    def test_may_hold_any_bytes(self) -> None:
        assert Redactor().redact(b'{"token":"\xff\xfe","x":"\xff"}') == b'{"token":"[redacted]","x":"\xff"}'


keys = st.one_of(st.sampled_from(NAMES), st.text(max_size=8))
TEXTS = (
    "Bearer abc",
    "https://u:p@h/?token=x",
    "token: x",
    '{"token": ["x"]}',
    "sk-abcdefghijklmnop",
    "\\",
    '"',
    "pass",
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(TEXTS),
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)


def _spelt_out(text: str) -> str:
    """A JSON string with every UTF-16 unit as an escape."""
    units = text.encode("utf-16-be", "surrogatepass")
    return '"' + "".join(f"\\u{units[at]:02X}{units[at + 1]:02x}" for at in range(0, len(units), 2)) + '"'


def _hidden(value: Any) -> Any:
    """What redaction must make of a value without secret-looking strings."""
    if isinstance(value, dict):
        return {key: "[redacted]" if key in NAMES else _hidden(inner) for key, inner in value.items()}
    return [_hidden(inner) for inner in value] if isinstance(value, list) else value


plain = st.recursive(
    st.none()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('xyzß\\"/ {}[],:\n\u2028😀', max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text('xyz\\"{}[]:,', max_size=6), inner, max_size=4)
    ),
    max_leaves=15,
)


class TestLaws:
    @settings(deadline=None)
    @given(values, st.booleans(), st.sampled_from([None, 1]))
    def test_json_stays_json(self, value: Any, ascii_only: bool, indent: int | None) -> None:
        json.loads(redact(json.dumps(value, ensure_ascii=ascii_only, indent=indent)))

    @settings(deadline=None)
    @given(values)
    def test_redacting_again_changes_nothing(self, value: Any) -> None:
        once = redact(json.dumps(value))
        assert redact(once) == once

    @settings(deadline=None)
    @given(plain, st.booleans())
    def test_members_with_secret_names_change_and_nothing_else_does(self, value: Any, ascii_only: bool) -> None:
        assert json.loads(redact(json.dumps(value, ensure_ascii=ascii_only))) == _hidden(value)

    @settings(deadline=None)
    @given(st.sampled_from(NAMES), st.text(min_size=1, max_size=20), st.integers(0, 3))
    def test_a_secret_is_gone_however_deep_its_json_is_quoted(self, name: str, noise: str, depth: int) -> None:
        text = json.dumps({noise: noise, name: f"{noise}{SECRET}{noise}"})
        for _ in range(depth):
            text = json.dumps([noise, text])
        assert SECRET not in redact(text)

    @settings(deadline=None)
    @given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
    @example(b'"token\\')
    @example(b'{"token":')
    @example(b'{"token"')
    def test_any_bytes_are_taken(self, raw: bytes) -> None:
        Redactor().redact(raw)


PATTERNS = (
    *(
        b"eyJ",
        b'\\"',
        b"token=",
        b"-----BEGIN PRIVATE KEY-----",
        b"://a:",
        b"a",
        b"[",
        b'{"token":',
        b"Bearer ",
        b"sk-",
    ),
    *(
        b"\\",
        b"token: ",
        b'token=\\"',
        b"cookie:",
        b"a@",
        b"gh",
        b"\\u0061",
        b'["',
        b'{"a":"token',
        b"password\\",
        b"key",
    ),
    b"eyJaaaaaaaaaa.aaaa",
)


@pytest.mark.parametrize("pattern", PATTERNS, ids=repr)
@pytest.mark.parametrize("frame", [b"%s", b'"%s"', b'{"token":"x","a":"%s"}'], ids=["bare", "string", "member"])
def test_time_grows_with_length_alone(pattern: bytes, frame: bytes) -> None:
    """A quadratic search would take minutes for what is allowed seconds here."""
    begun = time.process_time()
    Redactor().redact(frame % (pattern * (200_000 // len(pattern))))
    assert time.process_time() - begun < 3
