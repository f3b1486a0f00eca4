"""Secrets hidden from whatever is written down: records, logs and error messages.

Which question: what may be kept of this text? Pure. The rule: nothing is ever re-serialised; a redacted text is the
original with some spans replaced by `[redacted]`, so that valid JSON stays valid and every other byte survives.

Names and strings are judged with their escapes undone, and a string that holds JSON is searched as JSON; what is
found there is traced back to the bytes that spelt it. What counts as a secret: `gateway.secrets`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from gateway.secrets import hints, names_secret, secrets

MARK = b"[redacted]"
SHORTEST_SECRET = 8

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"([ \t\r\n]*+:)?', re.DOTALL)
"""A string of a JSON text, with the colon after it when it is a member's name."""

_VALUE = re.compile(rb'[ \t\r\n]*("[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[{]|[^\s,\[\]{}"]+)', re.DOTALL)
"""A value, or the opening of one."""

_NESTING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)
_OPENING = re.compile(rb'[ \t\r\n]*[\[{"]')
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_SHORT_ESCAPES = {b"\\b": b"\b", b"\\f": b"\f", b"\\n": b"\n", b"\\r": b"\r", b"\\t": b"\t"}


class Redactor:
    """Hides what looks like a credential. Holds no state: one serves everybody."""

    def redact(self, text: bytes) -> bytes:
        """`text`, JSON as bytes, with its secrets replaced; the very same object when there are none."""
        return _spliced(text, _in_content(text))

    def redact_text(self, text: str) -> str:
        """`text`, any words, with its secrets replaced."""
        return self.redact(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


class KnownSecrets:
    """Hides, beside what looks like a credential, every value that is known to be one, whatever it looks like: a
    server may repeat in an error what it was sent. `know` replaces what is known in one assignment.
    """

    def __init__(self) -> None:
        self._patterns = Redactor()
        self._known: tuple[tuple[bytes, str], ...] = ()

    def know(self, words: Iterable[str]) -> None:
        """The values to hide from now on; too short ones are no secrets, and would hide half of the text."""
        longest_first = sorted({word for word in words if len(word) >= SHORTEST_SECRET}, key=len, reverse=True)
        self._known = tuple((msgspec.json.encode(word)[1:-1], word) for word in longest_first)

    def redact(self, text: bytes) -> bytes:
        text = self._patterns.redact(text)
        for spelt, _ in self._known:
            if spelt in text:
                text = text.replace(spelt, MARK)
        return text

    def redact_text(self, text: str) -> str:
        text = self._patterns.redact_text(text)
        for _, word in self._known:
            if word in text:
                text = text.replace(word, MARK.decode())
        return text


class Unredacted:
    """Stands for a redactor where the admin wants none (`recording.redact: false`)."""

    def redact(self, text: bytes) -> bytes:
        return text

    def redact_text(self, text: str) -> str:
        return text


@dataclass(frozen=True, slots=True)
class _Edit:
    """The bytes from `start` to `end` give way to `mark`."""

    start: int
    end: int
    mark: bytes = MARK


def _spliced(text: bytes, edits: Iterable[_Edit]) -> bytes:
    pieces, at = list[bytes](), 0
    for edit in edits:
        pieces += (text[at : edit.start], edit.mark)
        at = edit.end
    return b"".join((*pieces, text[at:])) if pieces else text


def _in_content(content: bytes) -> Iterator[_Edit]:
    if (hinted := hints(content)) and _OPENING.match(content) is not None and _is_json(content):
        return _in_json(content, hinted)
    return (_Edit(start, end) for start, end in secrets(content, hinted))


def _is_json(text: bytes) -> bool:
    # A lone surrogate is valid JSON that msgspec refuses; any other escape of that length serves the question.
    plain = text.replace(b"\\ud", b"\\u0").replace(b"\\uD", b"\\u0") if b"\\u" in text else text
    try:
        msgspec.json.decode(plain, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    except RecursionError:
        return True  # too deep to tell; the search of JSON does not recurse, and any bytes may be given to it
    return True


def _in_json(text: bytes, hinted: Iterable[int]) -> Iterator[_Edit]:
    done = 0
    for hint in hinted:
        if hint < done or (string := _STRING.match(text, _opening_quote(text, hint))) is None:
            continue
        start, done = string.span()
        if string.lastindex is None:
            yield from _in_string(text, start + 1, done - 1)
        elif names_secret(_plain(text[start + 1 : string.start(1) - 1])):
            edit, done = _whole_value(text, done)
            yield edit


def _opening_quote(text: bytes, within: int) -> int:
    """Where the string around `within` opens: at the nearest quote that no backslash escapes."""
    quote = text.rfind(b'"', 0, within)
    while quote > 0 and (quote - len(text[:quote].rstrip(b"\\"))) % 2:
        quote = text.rfind(b'"', 0, quote)
    return quote


def _whole_value(text: bytes, at: int) -> tuple[_Edit, int]:
    """What hides the value that follows `at`, whatever its type, and where that value ends."""
    if (value := _VALUE.match(text, at)) is None:
        return _Edit(at, at, b""), at
    start, end = value.span(1)
    if value[1][:1] == b'"':
        return _Edit(start + 1, end - 1), end
    if value[1] in (b"{", b"["):
        end = _end_of_container(text, start)
    return _Edit(start, end, b'"' + MARK + b'"'), end


def _end_of_container(text: bytes, start: int) -> int:
    depth = 0
    for token in _NESTING.finditer(text, start):
        first = text[token.start()]
        if first in b"[{":
            depth += 1
        elif first in b"]}":
            depth -= 1
            if depth == 0:
                return token.end()
    return len(text)


def _in_string(text: bytes, start: int, end: int) -> Iterator[_Edit]:
    """Secrets within the string whose content stands from `start` to `end`."""
    raw = text[start:end]
    if b"\\" not in raw:
        for edit in _in_content(raw):
            yield _Edit(start + edit.start, start + edit.end, _escaped(edit.mark))
        return
    plain = _Unescaped(raw)
    for edit in _in_content(plain.content):
        yield _Edit(start + plain.raw_start(edit.start), start + plain.raw_end(edit.end), _escaped(edit.mark))


def _escaped(mark: bytes) -> bytes:
    return mark.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def _plain(raw: bytes) -> bytes:
    return _Unescaped(raw).content if b"\\" in raw else raw


class _Unescaped:
    """A JSON string's content with its escapes undone, and the way back from its offsets to the raw ones."""

    def __init__(self, raw: bytes) -> None:
        pieces = list[bytes]()
        self._ends, self._lengths, self._raw_spans = [0], [0], [(0, 0)]
        at = length = 0
        for escape in _ESCAPE.finditer(raw):
            undone = _undone(escape)
            pieces += (raw[at : escape.start()], undone)
            length += escape.start() - at + len(undone)
            at = escape.end()
            self._ends.append(length)
            self._lengths.append(len(undone))
            self._raw_spans.append(escape.span())
        self.content = b"".join((*pieces, raw[at:]))

    def raw_start(self, offset: int) -> int:
        """Where the raw spelling of the byte at `offset` starts."""
        return self._raw(offset, 0)

    def raw_end(self, offset: int) -> int:
        """Where the raw spelling of the byte before `offset` ends."""
        return self._raw(offset, 1)

    def _raw(self, offset: int, side: int) -> int:
        after = bisect_right(self._ends, offset)
        if after < len(self._ends) and offset > self._ends[after] - self._lengths[after]:
            return self._raw_spans[after][side]
        return self._raw_spans[after - 1][1] + offset - self._ends[after - 1]


def _undone(escape: re.Match[bytes]) -> bytes:
    if (code := escape[1]) is not None:
        return chr(int(code, 16)).encode("utf-8", "surrogatepass")
    return _SHORT_ESCAPES.get(escape[0], escape[0][1:])
