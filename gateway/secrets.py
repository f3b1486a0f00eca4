"""What gives a secret away: the name of what holds it, or its own looks.

Which question: where may secrets be in this text, and which spans of these words are secrets? Pure. The rule: one
quick search finds hints, and only what follows a hint is looked at; every search is linear.

Names are those of members, headers, variables and query parameters: judged by their ending, in whatever case, with
`-`, `_` and `.` left out. Looks are the authorization schemes, the keys of well-known vendors, JWTs, PEM private keys
and passwords within URLs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from urllib.parse import parse_qsl, urlsplit

from gateway.settings import ServerSpec

SECRET_NAMES = (
    b"authorization", b"cookie", b"cookies", b"password", b"passwords", b"passwd", b"passphrase", b"pwd", b"secret",
    b"secrets", b"token", b"apikey", b"apikeys", b"accesskey", b"accountkey", b"authkey", b"encryptionkey",
    b"privatekey", b"secretkey", b"sharedkey", b"signingkey", b"subscriptionkey", b"credential", b"credentials",
)  # fmt: skip
"""Endings of names whose value is a secret: `db_password`, `X-Auth-Token`, `clientSecret`."""

WHOLE_NAMES = frozenset({b"auth", b"bearer", b"jwt", b"pass"})
"""Names of secrets when nothing stands before them."""

HARMLESS_NAMES = (
    b"progresstoken",
    b"pagetoken",
    b"nexttoken",
    b"continuationtoken",
    b"synctoken",
    b"cancellationtoken",
)
QUERY_NAMES = (b"key", b"sig", b"signature")
"""Endings that mean a secret in the query of a URL alone: elsewhere a `key` is rarely one."""

LINE_NAMES = (b"authorization", b"cookie")
"""Endings of header names: the secret runs to the end of the line."""

_HINT = re.compile(
    rb"a(?:uth|[ks]ia[a-z0-9]{12}|iza)|b(?:earer|asic)|c(?:ookie|redential)|eyj|g(?:h[oprsu]_|ithub_pat_|lpat-)|jwt|key"
    rb"|p(?:ass|wd)|s(?:ecret|ig(?:nature)?=|k-|k_live_)|token|xox|-----begin |:(?:\\*/){2}|\\u00[2-7]"
)
"""In lower case, what no secret is without: part of its name or looks, or an escape that may spell any of them."""

_LOOKS = re.compile(
    rb"(?<![A-Za-z0-9])(?i:bearer)[ \t]{1,4}(?!(?i:tokens?|schemes?|of|auth[a-z]*)\b)([A-Za-z0-9._~+/\-]++=*)"
    rb"|(?<![A-Za-z0-9])(?i:basic)[ \t]{1,4}(?!(?:[A-Z]?[a-z]++|[A-Z]++)(?![A-Za-z0-9+/=]))([A-Za-z0-9._~+/\-]++=*)"
    rb"|://[^\s/?#@:\"'<>]*+:([^\s/?#\"'<>]+)(?=@)"
    rb"|(?<![A-Za-z0-9])(eyJ[\w\-]{8,}+\.[\w\-]{4,}+(?:\.[\w\-]*+){1,3})"
    rb"|(?<![A-Za-z0-9])(sk-[\w\-]{12,}|sk_live_\w{8,}|gh[oprsu]_\w{12,}|github_pat_\w{8,}|glpat-[\w\-]{10,}"
    rb"|xox[a-z]-[\w\-]{8,}|A(?:KIA|SIA)[A-Z0-9]{12,}|AIza[\w\-]{30,})"
    rb"|(-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    rb"(?s:.*?)(?:-----END (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----|\Z))"
)
"""A secret by its looks: whichever group matched."""

_NAME_BYTES = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
_LONGEST_NAME = 64
_ASSIGNMENT = re.compile(rb"""([\w.\-]{0,64}+)(?:\\{0,8}["'])?[ \t]{0,2}(=>?|:=?)(?![:=])[ \t]{0,2}""")
"""From within a name to its value: `name=value`, `name: value`, `"name": "value"`, with quotes escaped or not."""

_VALUE = re.compile(rb"""\\{1,8}["']([^"'\\]+)|"((?:[^"\\]|\\.)++)|'([^'\r\n]+)|([^\s"'&,;<>()\[\]{}\\]+)""", re.DOTALL)
_LINE = re.compile(rb"""([^\r\n"'\\]+)""")


def hints(text: bytes) -> list[int]:
    """Where in `text`, words or JSON, a secret or its name may start, in order; of JSON, within strings alone."""
    return [match.start() for match in _HINT.finditer(text.lower())]


def names_secret(name: bytes) -> bool:
    """Whether a member of this name holds a secret."""
    return _is_secret(_normal(name))


def secrets(text: bytes, hinted: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Start and end of each secret within plain words, in order; `hinted` is what `hints` found there."""
    done = 0
    for hint in hinted:
        if hint >= done and (found := _LOOKS.match(text, hint) or _assigned(text, hint)) is not None:
            start, done = found.span(found.lastindex or 0)
            yield start, done


def _assigned(text: bytes, hint: int) -> re.Match[bytes] | None:
    """The value of the name around `hint`, if that is a secret's."""
    if (assignment := _ASSIGNMENT.match(text, hint)) is None:
        return None
    before = text[max(0, hint - _LONGEST_NAME) : hint]
    head = before[len(before.rstrip(_NAME_BYTES)) :]
    name, by_equals = _normal(head + assignment[1]), assignment[2] == b"="
    in_query = by_equals and before.removesuffix(head)[-1:] in (b"?", b"&")
    if not (in_query and name.endswith(QUERY_NAMES)) and not (
        _is_secret(name) and (by_equals or name not in WHOLE_NAMES)
    ):
        return None
    line = _LINE.match(text, assignment.end()) if name.endswith(LINE_NAMES) else None
    return line or _VALUE.match(text, assignment.end())


def _normal(name: bytes) -> bytes:
    return name.lower().translate(None, b"-_. ")


def _is_secret(normal: bytes) -> bool:
    if normal.endswith(SECRET_NAMES):
        return not normal.endswith(HARMLESS_NAMES)
    return normal in WHOLE_NAMES


_HARMLESS_HEADERS = frozenset({"accept", "accept-language", "content-type", "user-agent"})


def secret_words(spec: ServerSpec) -> Iterator[str]:
    """What a server is given that nobody else may read: the words of its headers, and what its environment, arguments
    (`--api-key X`, `--token=X`) and URL hold under the name of a secret.
    """
    for name, value in spec.headers.items():
        if name.lower() not in _HARMLESS_HEADERS:
            yield from value.split()
    for name, value in spec.env.items():
        if names_secret(name.encode()):
            yield value
    for argument, following in pairwise((*spec.args, "")):
        name, equals, value = argument.partition("=")
        if name.startswith("-") and names_secret(name.encode("utf-8", "replace")):
            yield value if equals else following
    for name, value in parse_qsl(urlsplit(spec.url or "").query):
        if names_secret(name.encode("utf-8", "replace")) or _normal(name.encode("utf-8", "replace")).endswith(
            QUERY_NAMES
        ):
            yield value
